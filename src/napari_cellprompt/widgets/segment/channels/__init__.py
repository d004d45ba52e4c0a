"""The controls for the channels that the model is shown together."""
