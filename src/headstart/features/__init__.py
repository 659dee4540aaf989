"""Data x source -> arrays: decoded in parallel, cached on disk."""
