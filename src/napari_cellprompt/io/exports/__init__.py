"""Labels and what is said of their objects, as files that other programs read."""
