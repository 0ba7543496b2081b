"""From a data set to batches: features from the cache, sound at the generator's rate, in an order that a seed gives."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from torch.nn import functional

from versasound_core.adapters import adapter_inputs
from versasound_core.errors import MediaError, VersaSoundError, in_words
from versasound_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .dataset import VideoAudioDataset
    from .features import Features

Place = tuple[int, int, int]  # epoch, index in the data set, place in the step
Item = tuple[torch.Tensor, torch.Tensor, torch.Tensor, str, int]
_TRIES = 100
_AHEAD = 2
_log = get_logger(__name__)


@attrs.frozen(eq=False)
class Batch:
    """What one process computes at a time.

    Args:
        seen: `[B, T, D + 8]`, as `adapter_inputs` makes them.
        times_s: `[T]`.
        sound: `[B, C, S]` at the generator's rate.
        prompts: What is said of each.
        places: The place of each in its step, by which it draws.
    """

    seen: torch.Tensor
    times_s: torch.Tensor
    sound: torch.Tensor
    prompts: list[str]
    places: list[int]


class Crops:
    """Crops with their features; what can no longer be read is told of, and the next one taken.

    Args:
        dataset: The crops.
        features: Of whole videos.
        sample_rate: That the generator learns from, Hz.
        channels: That the generator learns from.
    """

    def __init__(self, dataset: VideoAudioDataset, features: Features, sample_rate: int, channels: int) -> None:
        self.dataset, self.features = dataset, features
        self.sample_rate, self.channels = sample_rate, channels

    def item(self, place: Place) -> Item:
        """Return features, their times, sound, words and place of a crop."""
        epoch, index, number = place
        for step in range(min(_TRIES, len(self.dataset))):
            try:
                return (*self._made(epoch, (index + step) % len(self.dataset)), number)
            except VersaSoundError as error:
                _log.warning("a crop is left out: %s", in_words(error))
        raise MediaError(f"{_TRIES} crops in a row cannot be read any more.", "Check the folders of the data set.")

    def _made(self, epoch: int, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, str]:
        example = self.dataset.example(index, epoch)
        whole = self.features.of(example.video)
        assert whole.fps is not None  # noqa: S101  (looked at when they were made)
        wanted = max(1, round(example.duration_s * whole.fps))
        window = whole.window(example.start_s, example.start_s + example.duration_s)
        lack = wanted - window.shape[1]
        if lack > 0:  # the last picture stays
            values = window.features if window.shape[1] else whole.features[:, -1:]
            values = torch.cat([values, values[:, -1:].expand(-1, wanted - values.shape[1], -1)], 1)
            window = attrs.evolve(window, features=values)
        window = attrs.evolve(window, features=window.features[:, :wanted])
        seen, times_s = adapter_inputs(window)
        sound = example.sound.resample(self.sample_rate)
        sound = sound.to_mono() if self.channels == 1 or sound.num_channels > 2 else sound  # noqa: PLR2004
        sound = sound.to_stereo() if self.channels == 2 else sound  # noqa: PLR2004
        samples = round(example.duration_s * self.sample_rate)
        waveform = functional.pad(sound.waveform[0], (0, max(0, samples - sound.shape[2])))[:, :samples]
        return seen[0], times_s, waveform, example.prompt


def _joined(items: list[Item]) -> Batch:
    seen, times_s, sound, prompts, places = zip(*items, strict=True)
    return Batch(torch.stack(seen), times_s[0], torch.stack(sound), list(prompts), list(places))


@attrs.frozen(kw_only=True)
class Order:
    """In which order crops are gone through: another permutation in each epoch, filled up to whole steps.

    Args:
        count: Crops in the data set.
        batch_size: Crops in a batch of one process.
        accumulated: Batches in a step.
        processes: How many there are.
        rank: Which of them this is.
        epochs: How often the data set is gone through.
        seed: Of the permutations.
    """

    count: int
    batch_size: int
    accumulated: int
    processes: int
    rank: int
    epochs: int
    seed: int

    @property
    def step_size(self) -> int:
        """Crops in a step, of all processes."""
        return self.batch_size * self.accumulated * self.processes

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return -(-self.count // self.step_size)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.epochs

    def batches(self, first: int) -> Iterator[list[Place]]:
        """Yield the batches of this process from step `first` on, `accumulated` for each step."""
        shuffled, known = np.zeros(0, int), -1
        for step in range(first, self.steps):
            epoch, within = divmod(step, self.steps_per_epoch)
            if epoch != known:
                shuffled, known = np.random.default_rng([self.seed, epoch]).permutation(self.count), epoch
            for part in range(self.accumulated):
                begin = (part * self.processes + self.rank) * self.batch_size
                places = range(begin, begin + self.batch_size)
                yield [
                    (epoch, int(shuffled[(within * self.step_size + place) % self.count]), place) for place in places
                ]


def batches(crops: Crops, order: Order, first: int, workers: int) -> Generator[Batch]:
    """Yield the batches of this process from step `first` on; threads decode what comes next meanwhile.

    Threads and not processes: decoding lets go of Python's lock, and a program that trains needs no `__main__` guard.
    """
    with ThreadPoolExecutor(max(1, workers), "versasound-crops") as pool:
        waiting: deque[list[Future[Item]]] = deque()
        try:
            for places in order.batches(first):
                waiting.append([pool.submit(crops.item, place) for place in places])
                if len(waiting) > _AHEAD:
                    yield _joined([item.result() for item in waiting.popleft()])
            while waiting:
                yield _joined([item.result() for item in waiting.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
