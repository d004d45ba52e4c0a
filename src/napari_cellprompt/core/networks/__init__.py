"""Neural networks from keyword arguments; they import torch and nothing of ours."""
