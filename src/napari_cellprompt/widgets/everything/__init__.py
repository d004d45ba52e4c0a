"""All objects of an image at once."""
