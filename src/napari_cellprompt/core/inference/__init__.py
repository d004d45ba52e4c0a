"""Running a loaded model; the last to know networks by name."""
