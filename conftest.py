"""What every test of the house shares: property tests have no deadline, and logging is left as it was found."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tiny_hub"]  # in tests/support

settings.register_profile("versasound", deadline=None, print_blob=True)
settings.load_profile("versasound")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Whatever a test configures of VersaSound's logging ends with it."""
    logger = logging.getLogger("versasound")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    for handler in [handler for handler in logger.handlers if handler not in handlers]:
        logger.removeHandler(handler)
        handler.close()
