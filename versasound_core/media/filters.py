"""FFmpeg's audio filters over blocks of sound: same length out as in, in constant memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs
import av
import av.filter
import numpy as np
import torch

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from av.filter.context import FilterContext

LAYOUTS = {1: "mono", 2: "stereo"}
# A few milliseconds of work: small enough for the processor's cache, large enough that Python's share is small.
_FRAME = 16384


class FilterGraph:
    """A chain of FFmpeg filters, each written as on FFmpeg's command line (`"bass=g=3:f=100"`).

    Raises:
        InvalidInputError: More than two channels, whose order a waveform does not tell.
    """

    def __init__(self, filters: Sequence[str], sample_rate: int, channels: int) -> None:
        if channels not in LAYOUTS:
            raise InvalidInputError(f"{channels} channels cannot be filtered: one or two can.", "Call .to_mono() first.")
        self._layout = LAYOUTS[channels]
        self._rate = sample_rate
        self._pushed = 0
        # A graph frees its filters when it goes, whoever still holds one.
        self._graph = av.filter.Graph()
        self._source = self._graph.add_abuffer(sample_rate=sample_rate, format="fltp", layout=self._layout)
        node: FilterContext = self._source
        for text in filters:
            name, _, arguments = text.partition("=")
            following = self._graph.add(name, arguments or None)
            node.link_to(following)
            node = following
        self._sink = self._graph.add("abuffersink")
        node.link_to(self._sink)
        self._graph.configure()

    def push(self, samples: np.ndarray) -> Iterator[av.AudioFrame]:
        """Put in `samples` (`[C, N]`, float32) and yield what comes out."""
        for start in range(0, samples.shape[1], _FRAME):
            part = np.ascontiguousarray(samples[:, start : start + _FRAME])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self._layout)
            frame.sample_rate = self._rate
            frame.pts = self._pushed
            self._pushed += part.shape[1]
            self._source.push(frame)
            yield from self._pull()

    def finish(self) -> Iterator[av.AudioFrame]:
        """Say that nothing follows and yield what is left."""
        self._source.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[av.AudioFrame]:
        while True:
            try:
                yield self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return


def samples_of(block: AudioData) -> np.ndarray:
    """Return the samples of a block that holds one sound, `[C, N]`, float32.

    Raises:
        InvalidInputError: If the batch is not one.
    """
    if block.shape[0] != 1:
        raise InvalidInputError(f"One sound was expected, not a batch of {block.shape[0]}.", "Pass them one by one.")
    return block.waveform[0].detach().to("cpu", torch.float32).numpy()


def filtered(blocks: Iterable[AudioData], filters: Sequence[str], latency: int = 0) -> Iterator[AudioData]:
    """Run one sound through FFmpeg filters.

    Args:
        blocks: Consecutive blocks of one sound, `[1, C, N]` each, of one rate and channel count.
        filters: The chain, as on FFmpeg's command line.
        latency: By how many samples the chain delays the sound; undone here.

    Yields:
        For every block in, one block of its length, place, device and type.

    Raises:
        InvalidInputError: More than one sound or more than two channels.
    """
    graph: FilterGraph | None = None
    waiting: deque[AudioData] = deque()
    ready = np.zeros((0, 0), np.float32)
    skip = latency

    def take(frames: Iterable[av.AudioFrame]) -> None:
        nonlocal ready, skip
        parts = [ready, *(frame.to_ndarray() for frame in frames)]
        whole = np.concatenate(parts, axis=1)
        ready, skip = whole[:, skip:], max(0, skip - whole.shape[1])

    def give(block: AudioData) -> AudioData:
        nonlocal ready
        length = block.shape[-1]
        samples, ready = ready[:, :length], ready[:, length:]
        return attrs.evolve(block, waveform=torch.from_numpy(samples.copy())[None].to(block.device, block.waveform.dtype))

    for block in blocks:
        samples = samples_of(block)
        if graph is None:
            graph = FilterGraph([*filters, "aformat=sample_fmts=fltp"], block.sample_rate, block.num_channels)
            ready = samples[:, :0]
        waiting.append(block)
        take(graph.push(samples))
        while waiting and ready.shape[1] >= waiting[0].shape[-1]:
            yield give(waiting.popleft())
    if graph is not None:
        take(graph.push(np.zeros((ready.shape[0], latency), np.float32)))
        take(graph.finish())
        while waiting:
            yield give(waiting.popleft())
