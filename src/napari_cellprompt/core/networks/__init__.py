"""The neural networks, built from explicit keyword arguments."""
