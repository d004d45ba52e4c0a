"""The SAM family: a tile encoded once, prompts decoded against it, memories of frames."""
