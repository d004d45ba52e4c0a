"""A model that learns from the objects accepted in Segment."""
