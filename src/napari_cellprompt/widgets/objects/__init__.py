"""Objects: the table of what was accepted, what is done with it, and its quality."""
