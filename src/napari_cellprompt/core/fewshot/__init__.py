"""All objects of a plane that look like a few that were shown."""
