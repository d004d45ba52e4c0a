"""Files of labels, prompts and images: plain functions on arrays and paths."""
