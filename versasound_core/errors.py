"""What can go wrong, each naming the culprit, the cause and the step that mends it."""

from __future__ import annotations


class VersaSoundError(Exception):
    """Anything VersaSound refuses or fails at.

    Args:
        message: The culprit and the cause.
        hint: The command or step that mends it.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidInputError(VersaSoundError):
    """A value, shape, option or configuration that cannot be used."""

    exit_code = 3


class MediaError(VersaSoundError):
    """A file that cannot be read, decoded or written."""

    exit_code = 4


class PluginError(VersaSoundError):
    """A backend that cannot be used."""

    exit_code = 5


class UnknownBackendError(PluginError):
    """No installed distribution offers this backend."""


class BrokenPluginError(PluginError):
    """A backend whose card or code fails."""


class IncompatiblePluginError(PluginError):
    """A backend written for another version of the contracts."""


class AmbiguousBackendError(PluginError):
    """Two distributions claim one name."""


class ModelLoadError(VersaSoundError):
    """Weights that are missing, gated or unreadable."""

    exit_code = 6


class DeviceError(VersaSoundError):
    """A device that is absent or out of memory."""

    exit_code = 7


class Cancelled(VersaSoundError):  # noqa: N818  (the published name)
    """The user asked to stop; nothing was written."""

    exit_code = 130


def in_words(error: BaseException) -> str:
    """Say on one line what went wrong in somebody else's code."""
    if isinstance(error, VersaSoundError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
