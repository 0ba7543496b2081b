"""Decode, load, save, measure and mux."""
