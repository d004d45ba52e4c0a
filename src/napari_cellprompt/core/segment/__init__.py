"""One object on one plane from its prompts, at a scale the model resolves."""
