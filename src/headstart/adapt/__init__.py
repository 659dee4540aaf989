"""What moves weights: strategies that train part of a source's graph, or all of it, on the target's own labels."""
