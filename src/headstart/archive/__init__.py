"""A .headstart file as a container: named parts, checked byte by byte. It knows nothing of models."""
