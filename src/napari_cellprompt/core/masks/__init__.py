"""What is done to masks: run lengths, label images, boxes, stability."""
