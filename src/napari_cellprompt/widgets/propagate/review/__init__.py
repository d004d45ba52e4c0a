"""Looking through a propagation: correct, lock, compare, accept or take back."""
