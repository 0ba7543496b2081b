"""An observer that fails in everything it is told."""

from versasound_core import hookimpl


@hookimpl(tryfirst=True)
def versasound_register(registry):
    raise KeyError("register")


@hookimpl(tryfirst=True)
def versasound_run_started(clip, recipe):
    raise ValueError(f"no {recipe} for {clip}")


@hookimpl(tryfirst=True)
def versasound_progress(fraction, message):
    raise SystemExit(f"gave up at {fraction}")


@hookimpl(tryfirst=True)
def versasound_backend_loaded(backend):
    raise OSError(backend.name)
