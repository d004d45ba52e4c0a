"""What the widgets of several features need."""
