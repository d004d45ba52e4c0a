"""napari layers <-> core types: all coordinates, the only writer of Labels."""
