"""The only writer of Labels layers: objects accepted, undone, on one plane or many."""
