"""FFmpeg's audio filters over blocks of sound: same length out as in, in constant memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs
import av
import av.filter
import numpy as np
import torch
from av.audio.frame import AudioFrame

from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from av.filter.context import FilterContext

    from versasound_core.containers import AudioData

_LAYOUTS = {1: "mono", 2: "stereo"}
# A few milliseconds of work: small enough for the processor's cache, large enough that Python's share is small.
FRAME = 16384


class FilterGraph:
    """A chain of FFmpeg filters, each written as on FFmpeg's command line (`"bass=g=3:f=100"`).

    Args:
        filters: The chain.
        sample_rate: Hz, of what goes in.
        layout: FFmpeg's name for the channels that go in.
        sample_format: FFmpeg's name for the kind of samples that go in.
    """

    def __init__(self, filters: Sequence[str], sample_rate: int, layout: str, sample_format: str = "fltp") -> None:
        self._rate, self._layout = sample_rate, layout
        self._pushed = 0
        # A graph frees its filters when it goes, whoever still holds one.
        self._graph = av.filter.Graph()
        self._source = self._graph.add_abuffer(sample_rate=sample_rate, format=sample_format, layout=layout)
        node: FilterContext = self._source
        for text in filters:
            name, _, arguments = text.partition("=")
            following = self._graph.add(name, arguments or None)
            node.link_to(following)
            node = following
        self._sink = self._graph.add("abuffersink")
        node.link_to(self._sink)
        self._graph.configure()

    def push(self, samples: np.ndarray) -> Iterator[AudioFrame]:
        """Put in `samples` (`[C, N]`, float32) and yield what comes out."""
        for start in range(0, samples.shape[1], FRAME):
            part = np.ascontiguousarray(samples[:, start : start + FRAME])
            frame = AudioFrame.from_ndarray(part, format="fltp", layout=self._layout)
            frame.sample_rate = self._rate
            yield from self.push_frame(frame)

    def push_frame(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Put in the frame that follows the last one and yield what comes out."""
        frame.pts = self._pushed
        self._pushed += frame.samples
        self._source.push(frame)
        yield from self._pull()

    def finish(self) -> Iterator[AudioFrame]:
        """Say that nothing follows and yield what is left."""
        self._source.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[AudioFrame]:
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, AudioFrame)  # noqa: S101  (for the type checker)
            yield frame


def layout_of(block: AudioData) -> str:
    """Return FFmpeg's name for the channels of a block.

    Raises:
        InvalidInputError: More than two channels, whose order a waveform does not tell.
    """
    if block.num_channels not in _LAYOUTS:
        raise InvalidInputError(
            f"One or two channels were expected, not {block.num_channels}.", "Call .to_mono() first."
        )
    return _LAYOUTS[block.num_channels]


def samples_of(block: AudioData) -> np.ndarray:
    """Return the samples of a block that holds one sound, `[C, N]`, float32.

    Raises:
        InvalidInputError: If the batch is not one.
    """
    if block.shape[0] != 1:
        raise InvalidInputError(f"One sound was expected, not a batch of {block.shape[0]}.", "Pass them one by one.")
    return block.waveform[0].detach().to("cpu", torch.float32).numpy()


class Filtered:
    """One sound run through FFmpeg filters; may be iterated as often as the blocks it is made of.

    For every block in, one block of its length, place, device and type comes out.

    Args:
        blocks: Consecutive blocks of one sound, `[1, C, N]` each, of one rate and channel count.
        filters: The chain, as on FFmpeg's command line.
        latency: By how many samples the chain delays the sound; undone here.
    """

    def __init__(self, blocks: Iterable[AudioData], filters: Sequence[str], latency: int = 0) -> None:
        self._blocks = blocks
        self._filters = [*filters, "aformat=sample_fmts=fltp"]
        self._latency = latency

    def __iter__(self) -> Iterator[AudioData]:
        """Yield the filtered blocks.

        Raises:
            InvalidInputError: More than one sound or more than two channels.
        """
        graph: FilterGraph | None = None
        ready = _Queue(self._latency)
        waiting: deque[AudioData] = deque()
        for block in self._blocks:
            if graph is None:
                graph = FilterGraph(self._filters, block.sample_rate, layout_of(block))
            waiting.append(block)
            ready.put(graph.push(samples_of(block)))
            while waiting and ready.length >= waiting[0].shape[-1]:
                yield _with_samples(waiting[0], ready.get(waiting.popleft().shape[-1]))
        if graph is None or not waiting:
            return
        ready.put(graph.push(np.zeros((waiting[0].num_channels, self._latency), np.float32)))
        ready.put(graph.finish())
        for block in waiting:
            yield _with_samples(block, ready.get(block.shape[-1]))


class _Queue:
    """Samples between the graph and the blocks, less the first `skip`."""

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._parts: list[np.ndarray] = []
        self.length = 0

    def put(self, frames: Iterable[AudioFrame]) -> None:
        for frame in frames:
            samples = frame.to_ndarray()
            kept = samples[:, self._skip :]
            self._skip -= samples.shape[1] - kept.shape[1]
            self._parts.append(kept)
            self.length += kept.shape[1]

    def get(self, length: int) -> np.ndarray:
        whole = np.concatenate(self._parts, axis=1)
        self._parts = [whole[:, length:]]
        self.length -= length
        return whole[:, :length]


def _with_samples(block: AudioData, samples: np.ndarray) -> AudioData:
    waveform = torch.from_numpy(samples.copy())[None]
    return attrs.evolve(block, waveform=waveform.to(block.device, block.waveform.dtype))
