"""Many images, on one computer or on many: jobs, workers and outcomes."""
