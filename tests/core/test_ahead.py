"""Work done ahead of its reader ends with the reader, however that ends."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from versasound_core.media.ahead import ahead


def test_everything_comes_in_order() -> None:
    assert list(ahead(iter(range(50)))) == list(range(50))


def test_what_it_raises_is_raised_here() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)


def test_a_reader_that_stops_early_closes_it_first() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with closing(ahead(endless())) as items:
        next(items)
    assert closed.is_set()


def interrupted_elsewhere(items: Generator[int]) -> None:
    with closing(items):
        raise KeyboardInterrupt


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting for an item", "busy elsewhere"])
def test_an_interrupted_reader_does_not_wait_for_work_that_never_ends(waiting: bool) -> None:
    release, reached = threading.Event(), threading.Event()

    def stuck() -> Iterator[int]:
        yield 0
        reached.set()
        release.wait()

    items = ahead(stuck())
    next(items)
    assert reached.wait(60)
    with pytest.raises(KeyboardInterrupt):
        items.throw(KeyboardInterrupt) if waiting else interrupted_elsewhere(items)
    workers = [thread for thread in threading.enumerate() if thread.name == "versasound-ahead"]
    assert any(thread.is_alive() for thread in workers)
    release.set()
    for thread in workers:
        thread.join()
