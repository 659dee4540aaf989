"""Data x source -> arrays: decoded in parallel, cached on disk; and descriptors that need no source.

An item takes this way: `files` (bytes and their names), `images` or `texts` (the graph's input), `encoder` (the row).
`stream` does it for many with a pool of threads; `embed` does each distinct item once and asks the `cache` first.
"""
