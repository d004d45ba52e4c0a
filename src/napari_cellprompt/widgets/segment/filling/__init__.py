"""Fills the selected object in between the planes on which it is known."""
