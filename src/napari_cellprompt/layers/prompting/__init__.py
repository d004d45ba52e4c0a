"""Points and Shapes layers: what is drawn in them, as prompts."""
