"""What every test of the house shares: property tests are judged by what they find, never by how long they take."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tiny_hub"]  # in tests/support

settings.register_profile("versasound", deadline=None, print_blob=True)
settings.load_profile("versasound")
