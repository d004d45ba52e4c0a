"""Sessions in files: what is kept, who writes it, and how it is done again."""
