"""What is done to images: contrast, planes, tiles, fingerprints, cached features."""
