"""What one viewer asks, on one thread, as futures."""
