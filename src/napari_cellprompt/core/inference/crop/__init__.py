"""The crop-wise family: a network on a crop zoomed to one object, prompts as its input."""
