"""How good a model is on images with known objects."""
