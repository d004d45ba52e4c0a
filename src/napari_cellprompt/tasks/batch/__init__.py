"""Many images, on one computer or on many: jobs, items, a cluster, and what became of them."""
