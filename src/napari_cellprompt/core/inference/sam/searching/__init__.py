"""Segment everything by clicks: many of them asked at once, and what they found."""
