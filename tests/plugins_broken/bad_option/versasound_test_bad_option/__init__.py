"""The default of an option is out of its bounds."""
