"""Dock widgets; the only package that uses Qt and magicgui."""
