"""What is done to masks: coding, comparing, linking, cutting; no network."""
