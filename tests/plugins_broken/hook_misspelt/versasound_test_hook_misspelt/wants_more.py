"""An observer that asks for an argument its hook does not have."""

from versasound_core import hookimpl


@hookimpl
def versasound_progress(fraction, seconds_left):
    raise AssertionError("nobody calls this")
