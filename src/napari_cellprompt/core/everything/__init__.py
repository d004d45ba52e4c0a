"""All objects of a plane or a stack, without a prompt."""
