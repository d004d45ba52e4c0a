"""Overlays that show masks before anything is written."""
