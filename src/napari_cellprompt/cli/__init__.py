"""The command line: the same as the widgets, without a window."""
