"""All objects that look like a few examples."""
