"""Sphinx configuration: `tox -e docs` builds the pages, without network and with warnings as errors."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

project = "VersaSound"
author = "VersaSound contributors"
release = version = installed("versasound-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_pages"]
exclude_patterns = ["_build", "examples", "reference/api.md"]  # the published page; "published-api" shows it
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say it in words
autodoc_member_order = "bysource"
autodoc_mock_imports = ["av", "numpy", "soxr", "torch"]

html_theme = "furo"
html_title = f"VersaSound {release}"
