"""Examples of kinds of objects: shown, and applied to planes, stacks and folders."""
