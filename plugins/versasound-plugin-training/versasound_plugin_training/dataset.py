"""Videos with their sound, as crops for training."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
import torch
from torch.utils.data import Dataset

from versasound_core.errors import InvalidInputError

from .index import Pair, indexed

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from versasound_core.containers import AudioData
    from versasound_core.context import RunContext


@attrs.frozen(eq=False)
class Example:
    """A crop of a video and its sound.

    Args:
        video: The file.
        start_s: Where the crop begins, in seconds after the first frame.
        duration_s: How long it is.
        sound: `[1, C, T]` of the same time.
        prompt: What is said of it; "" for nothing.
    """

    video: Path
    start_s: float
    duration_s: float
    sound: AudioData
    prompt: str


class VideoAudioDataset(Dataset[Example]):
    """Pairs of video and sound, cut by time.

    Args:
        video_dir: Folder with videos.
        audio_dir: Folder with sounds of the same names; None takes each video's own.
        transform: Called with each `Example`, returns what is trained on in its place.
        duration_s: Length of a crop. What is shorter is followed by silence and by its last picture.
        crops: `random`: one crop of each pair an epoch, elsewhere each time. `grid`: all crops, side by side.
        sample_rate: Of the sound, Hz; None keeps each file's.
        prompts: CSV file with the columns `name` (without suffix) and `prompt`.
        seed: Of the random crops.
        ctx: Progress and cancellation of the first look at the folders.

    Attributes:
        pairs: What can be used.
        left_out: Videos that cannot, and why; also said in the log.

    Raises:
        InvalidInputError: If a folder is missing or empty, no names match, or an argument is out of range.
        MediaError: If no pair can be used.
        Cancelled: If the user asked to stop; the next look goes on from there.
    """

    def __init__(  # noqa: PLR0913  (all but one have defaults)
        self,
        video_dir: str | os.PathLike[str],
        audio_dir: str | os.PathLike[str] | None = None,
        transform: Callable[[Example], Example] | None = None,
        *,
        duration_s: float = 4.0,
        crops: Literal["random", "grid"] = "random",
        sample_rate: int | None = None,
        prompts: str | os.PathLike[str] | None = None,
        seed: int = 0,
        ctx: RunContext | None = None,
    ) -> None:
        if crops not in {"random", "grid"}:
            raise InvalidInputError(f"crops={crops!r}: wanted random or grid.")
        if not 0 < duration_s < float("inf"):
            raise InvalidInputError(f"duration_s must be a number of seconds above 0, not {duration_s!r}.")
        if transform is not None and not callable(transform):
            raise InvalidInputError(f"transform must be a function of an Example or None, not {transform!r}.")
        found = indexed(video_dir, audio_dir, ctx)
        self.pairs, self.left_out = found.pairs, found.left_out
        self.transform, self.duration_s, self.crops = transform, duration_s, crops
        self.sample_rate, self.seed, self.epoch = sample_rate, seed, 0
        self._prompts = {} if prompts is None else _prompts(Path(prompts))
        self._ends = self._counted()

    def __repr__(self) -> str:
        out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"VideoAudioDataset({len(self.pairs)} pairs{out}, {self.crops} crops of {self.duration_s:g} s)"

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _counted(self) -> np.ndarray[Any, Any]:
        """Return how many crops there are up to each pair."""
        grid = self.crops == "grid"
        return np.cumsum([max(1, round(pair.duration_s / self.duration_s)) if grid else 1 for pair in self.pairs])

    def restricted(self, pairs: list[Pair]) -> VideoAudioDataset:
        """Return the same crops of these pairs only."""
        made = copy.copy(self)
        made.pairs = pairs
        made._ends = made._counted()
        return made

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: the same epoch has the same random crops."""
        self.epoch = epoch

    def place(self, index: int, epoch: int) -> tuple[int, float]:
        """Return which pair crop `index` of an epoch is of, and where it begins in seconds."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        pair = int(np.searchsorted(self._ends, index, side="right"))
        room_s = max(0.0, self.pairs[pair].duration_s - self.duration_s)
        if self.crops == "grid":
            first = int(self._ends[pair - 1]) if pair else 0
            return pair, min((index - first) * self.duration_s, room_s)
        return pair, float(np.random.default_rng([self.seed, epoch, index]).uniform(0, room_s))

    def __getitem__(self, index: int) -> Example:
        """Return a crop of the epoch that was chosen; see `example`."""
        return self.example(index, self.epoch)

    def example(self, index: int, epoch: int) -> Example:
        """Decode the sound of a crop. May be called from several threads at once.

        Raises:
            MediaError: If the file can no longer be read.
        """
        from versasound_core.media.audio import load_audio

        number, start_s = self.place(index, epoch)
        pair = self.pairs[number]
        end_s = min(start_s + self.duration_s, pair.duration_s)
        sound = load_audio(pair.audio, sample_rate=self.sample_rate, start_s=start_s, end_s=end_s)
        wanted = round(self.duration_s * sound.sample_rate)
        waveform = torch.nn.functional.pad(sound.waveform, (0, max(0, wanted - sound.shape[2])))[..., :wanted]
        prompt = self._prompts.get(pair.video.stem, "")
        example = Example(pair.video, start_s, self.duration_s, attrs.evolve(sound, waveform=waveform), prompt)
        return example if self.transform is None else self.transform(example)


def _prompts(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"prompts {path} cannot be read: {error}.") from error
    if not rows or not {"name", "prompt"} <= rows[0].keys():
        raise InvalidInputError(f"prompts {path} must be CSV with the columns name and prompt.")
    return {row["name"]: row["prompt"] or "" for row in rows}
