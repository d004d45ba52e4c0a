"""From a name to a loaded model: which exist, whose weights, are they what they claim."""
