"""What is chosen before the first click: image, model, layers, overlaps."""
