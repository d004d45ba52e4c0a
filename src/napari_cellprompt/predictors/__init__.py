"""The published predictor classes, with Meta's numerics; nothing is built on them."""
