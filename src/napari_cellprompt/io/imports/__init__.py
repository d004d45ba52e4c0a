"""Labels and what is said of their objects, from files that other programs wrote."""
