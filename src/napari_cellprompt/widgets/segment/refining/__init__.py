"""Objects of any Labels layer as mask prompts: one that is drawn, or all at once."""
