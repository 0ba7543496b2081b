"""VersaSound: sound for silent video."""
