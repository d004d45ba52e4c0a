"""Following objects with a SAM network: by views that move along, memories, masks."""
