"""Writes down what it is told, and registers a backend of its own."""

from versasound_core import hookimpl

told = []


class Late:
    """Made at run time."""


@hookimpl
def versasound_register(registry):
    registry.register("aligner", "late", Late)


@hookimpl
def versasound_backend_loaded(backend):
    told.append(("loaded", backend.name))


@hookimpl
def versasound_run_started(clip):
    told.append(("started", clip))


@hookimpl
def versasound_progress(fraction):
    told.append(("progress", fraction))


@hookimpl
def versasound_run_finished():
    told.append(("finished",))
