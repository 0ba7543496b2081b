"""Work done ahead of the reader, in a thread of its own: decoding goes on while frames are looked at."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
_END = object()


def ahead(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """Yield what `items` yields, which runs up to `depth` items ahead in another thread.

    What it raises is raised here. When the reader stops early, `items` is closed before this returns, unless the reader
    was interrupted: who interrupts does not wait for work that may never end.
    """
    ready: queue.Queue[object] = queue.Queue(depth)
    stopped = threading.Event()
    failure: list[BaseException] = []
    patient = True

    def work() -> None:
        try:
            for item in items:
                ready.put(item)
                if stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  (handed to the reader)
            failure.append(error)
        finally:
            if isinstance(items, Generator):
                items.close()
            ready.put(_END)

    worker = threading.Thread(target=work, name="versasound-ahead", daemon=True)
    worker.start()
    try:
        while (item := ready.get()) is not _END:
            yield item  # type: ignore[misc]
    except BaseException as error:
        # Interrupted while it waited here, or elsewhere and closes this on its way out.
        patient = not any(isinstance(one, KeyboardInterrupt) for one in (error, error.__context__))
        raise
    finally:
        stopped.set()
        while patient and worker.is_alive():  # the worker may wait for room
            try:
                ready.get(timeout=0.01)
            except queue.Empty:
                continue
    if failure:
        raise failure[0]
