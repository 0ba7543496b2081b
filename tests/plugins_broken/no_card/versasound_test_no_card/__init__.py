"""It has no card."""
