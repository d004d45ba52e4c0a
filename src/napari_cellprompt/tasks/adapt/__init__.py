"""A model learns from labelled objects: for a notebook, a folder or a window."""
