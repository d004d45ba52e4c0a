"""Whole images or files in, labels out: blocking functions without a screen."""
