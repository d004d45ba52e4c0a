"""What Segment does on the canvas: its prompt layers, keys and overlays."""
