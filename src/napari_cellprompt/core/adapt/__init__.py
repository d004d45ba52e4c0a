"""A crop-wise model that learns from a few objects that its user accepted."""
