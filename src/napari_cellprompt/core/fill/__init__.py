"""An object that is known on some planes, on the planes between."""
