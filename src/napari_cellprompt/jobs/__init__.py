"""Requests, the one inference thread and the object store: a session without a screen."""
