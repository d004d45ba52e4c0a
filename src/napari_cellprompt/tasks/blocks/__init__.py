"""Everything on an image larger than memory: block by block, and stitched where they meet.

Blocks overlap. Each is labelled for itself and kept as a file; what two blocks both show is
counted once, by a rule that does not depend on who was ready first; then every block draws
its own part of the result. Memory is bounded by the size of a block and the number of
workers, and a run that was interrupted goes on where it was.
"""
