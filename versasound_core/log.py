"""Logging under the name `versasound`: silent unless asked, and nobody else's logging touched."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import InvalidInputError

if TYPE_CHECKING:
    from .config import LoggingConfig

ROOT = "versasound"
_CONSOLE, _FILE = "versasound-console", "versasound-file"
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

# Without a handler of any kind Python would print warnings to stderr by itself.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


def get_logger(name: str = ROOT) -> logging.Logger:
    """Return the logger of a module, below the logger `versasound`.

    Args:
        name: Usually `__name__`. `versasound_core.events` gives `versasound.events`, any other module `mine` gives
            `versasound.mine`.
    """
    package, dot, rest = name.partition(".")
    return logging.getLogger(f"{ROOT}{dot}{rest}" if package in {ROOT, "versasound_core"} else f"{ROOT}.{name}")


def configure_logging(config: LoggingConfig) -> None:
    """Say what happens on stderr, and in a file if the configuration asks for one.

    Handlers go to the logger `versasound` alone, and records still reach the handlers that a program gave the root
    logger. Calling it again replaces what the last call set up.

    Args:
        config: Level, and whether and where a file is appended to, in UTF-8.

    Raises:
        InvalidInputError: If the file cannot be written; the logging set up before stays.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].set_name(_CONSOLE)
    if config.log_to_file:
        try:
            handlers.append(logging.FileHandler(config.log_file, encoding="utf-8"))
        except OSError as error:
            raise InvalidInputError(
                f"logging.log_file={config.log_file!r} cannot be written: {error.strerror}.",
                "Name another file, or set logging.log_to_file to false.",
            ) from error
        handlers[1].set_name(_FILE)
    logger = logging.getLogger(ROOT)
    for old in [handler for handler in logger.handlers if handler.name in {_CONSOLE, _FILE}]:
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(config.level)
