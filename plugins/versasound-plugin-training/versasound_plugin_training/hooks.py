"""What this plugin adds to the command line."""

from __future__ import annotations
