"""Processors, configuration, devices, errors and logging of the published API."""
