"""From a request to what a task works on: image, plane, prompts, a loaded model."""
