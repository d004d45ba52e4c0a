"""The model zoo: which models exist, where weights come from, loading and saving."""
