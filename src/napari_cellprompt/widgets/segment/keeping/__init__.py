"""Keeps what is done in a session file, and offers to go on with it another day."""
