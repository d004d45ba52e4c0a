"""Segmentation without a screen or a session: numpy and torch."""
