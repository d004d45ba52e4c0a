"""What a crop-wise network learns from: samples with simulated prompts, and losses."""
