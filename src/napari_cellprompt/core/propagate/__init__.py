"""Objects followed from the planes on which they are known through a stack or movie."""
