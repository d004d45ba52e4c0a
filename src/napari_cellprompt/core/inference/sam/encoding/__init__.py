"""Pixels of a tile become features, once, and are kept."""
