"""Its card is no YAML."""
