"""Dock widgets: the only place for Qt and magicgui."""
