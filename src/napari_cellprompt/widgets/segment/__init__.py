"""Objects from clicks and boxes."""
