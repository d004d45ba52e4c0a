"""Files <-> arrays and exchanged types; knows no model."""
