"""Sound that is written once and read as often as needed, in constant memory."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from versasound_core.containers.audio import AudioData
from versasound_core.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spool:
    """Blocks `[B, C, N]` of one sound, kept in an unnamed temporary file; iterate it as often as needed.

    Args:
        block_s: Length of the blocks it gives back, seconds.
    """

    def __init__(self, block_s: float = 1.0) -> None:
        self._file = tempfile.TemporaryFile(prefix="versasound-")  # noqa: SIM115  (closed with the spool)
        self._block_s = block_s
        self._shape: tuple[int, int] | None = None
        self.sample_rate = 0
        self.num_samples = 0
        self.metadata: dict[str, Any] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what there was no room for is thrown away with the rest
            self._file.close()

    def write(self, block: AudioData) -> None:
        """Add a block; its metadata replaces what was there.

        Raises:
            MediaError: If there is no room for it.
        """
        waveform = block.waveform.detach().to("cpu", torch.float32).numpy()
        samples = np.ascontiguousarray(waveform.transpose(2, 0, 1))
        try:
            self._file.seek(0, 2)
            self._file.write(samples.data)
            self._file.flush()  # here, where it is known what it means that there is no room
        except OSError as error:
            raise MediaError(
                f"no room for temporary sound in {tempfile.gettempdir()}: {error.strerror}.",
                "Free some space, or name another folder in TMPDIR.",
            ) from error
        self._shape, self.sample_rate = (block.shape[0], block.shape[1]), block.sample_rate
        self.num_samples += block.shape[2]
        self.metadata = block.metadata

    def __iter__(self) -> Iterator[AudioData]:
        """Yield what was written, in blocks of `block_s`, each with the metadata."""
        if self._shape is None:
            return
        length = max(1, round(self._block_s * self.sample_rate))
        width = self._shape[0] * self._shape[1]
        for start in range(0, self.num_samples, length):
            self._file.seek(4 * width * start)
            raw = self._file.read(4 * width * min(length, self.num_samples - start))
            samples = np.frombuffer(raw, np.float32).reshape(-1, *self._shape)
            waveform = torch.from_numpy(samples.transpose(1, 2, 0).copy())
            yield AudioData(waveform, self.sample_rate, self.metadata)
