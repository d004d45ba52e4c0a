"""Objects followed through stacks and movies, reviewed and corrected."""
