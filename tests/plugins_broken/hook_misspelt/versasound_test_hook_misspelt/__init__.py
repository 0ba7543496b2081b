"""An observer of a hook that there is not, beside one that there is."""

from versasound_core import hookimpl

told = []


@hookimpl
def versasound_run_begun(clip):
    raise AssertionError("nobody calls this")


@hookimpl
def versasound_run_finished(result):
    told.append(result)
