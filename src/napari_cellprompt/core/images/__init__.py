"""What is done to images: planes, stacks, contrast, sampling, tiles; no network."""
