"""Running a loaded model: what is asked of it, its caches, precision and memory limits."""
