"""A picture decoded in parts, side by side: each from a key frame on, by a decoder and a thread of its own.

The threads of one decoder wait for each other at every frame, and a third of two processors' time is lost. Parts do
not, but what a part has made waits until its turn comes, so that they are for pictures that are made small.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import attrs
import numpy as np

from .video import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from av import VideoFrame

    from .probe import VideoInfo

    Made = TypeVar("Made")
    Pictures = Iterator[tuple[float, VideoFrame]]

_LEAST_S = 1.0  # shorter parts are joined: a decoder has to be started for each
_MOST = 4  # processors that are more than enough
_BYTES = 32 * 2**20  # that may wait


@attrs.frozen(kw_only=True)
class Parts:
    """How to part a picture.

    Args:
        info: The file.
        start_s: Where the first part begins, seconds after the first frame.
        end_s: Where the last one ends.
        borders: Where each of the others begins, in ticks: a choice of the file's `parts`.
        workers: How many are decoded at a time.
    """

    info: VideoInfo
    start_s: float
    end_s: float
    borders: list[int]
    workers: int

    @classmethod
    def of(cls, info: VideoInfo, start_s: float, end_s: float, frame_bytes: int) -> Parts | None:
        """Choose the parts between two times of a picture of which a frame becomes so many bytes.

        Returns:
            None where there are too few to keep the processors busy, or they are too large to wait.
        """
        borders: list[int] = []
        last_s = start_s
        for tick in info.parts.tolist():
            time_s = info.seconds(tick)
            if last_s + _LEAST_S <= time_s <= end_s - _LEAST_S:
                borders.append(tick)
                last_s = time_s
        first, last = (int(info.pts[0] + time_s / info.time_base) for time_s in (start_s, end_s))
        largest = int(np.diff(np.searchsorted(info.pts, [first, *borders, last])).max()) + 1
        workers = min(_processors(), _MOST, _BYTES // (largest * frame_bytes) - 1)
        if workers < 2 or len(borders) + 1 < 2 * workers:  # noqa: PLR2004
            return None
        return cls(info=info, start_s=start_s, end_s=end_s, borders=borders, workers=workers)

    def each(
        self, make: Callable[[Pictures, float, float], Iterable[Made]], *, draft: bool, early_s: float = 0.0
    ) -> Generator[Made]:
        """Yield, in order, what is made of the parts.

        Args:
            make: Given the pictures of a part, where it begins and where it ends, in seconds.
            draft: As for `Decoder`.
            early_s: A part begins so much before its first picture, and the one before it ends there.
        """
        idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        stopped = threading.Event()

        def made(first: int | None, last: int | None) -> list[Made]:
            begin_s = self.start_s if first is None else self.info.seconds(first)
            end_s = self.end_s if last is None else self.info.seconds(last) - early_s
            try:
                decoder = idle.get_nowait()
            except queue.Empty:
                decoder = Decoder(self.info, draft=draft, threads=1)
            try:
                pictures = _until(stopped, decoder.frames(begin_s, last))
                return list(make(pictures, begin_s if first is None else begin_s - early_s, end_s))
            finally:
                idle.put(decoder)

        waiting: deque[Future[list[Made]]] = deque()
        with ThreadPoolExecutor(self.workers, "versasound-part") as pool:
            try:
                for first, last in zip([None, *self.borders], [*self.borders, None], strict=True):
                    waiting.append(pool.submit(made, first, last))
                    if len(waiting) > self.workers:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)
                while not idle.empty():
                    idle.get().__exit__()


def _until(stopped: threading.Event, pictures: Pictures) -> Pictures:
    for picture in pictures:
        if stopped.is_set():
            return
        yield picture


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
