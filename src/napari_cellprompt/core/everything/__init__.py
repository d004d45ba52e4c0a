"""All objects of a plane, without a prompt."""
