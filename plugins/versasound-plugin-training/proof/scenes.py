"""Scenes for the proof, rendered on all cores: what an encoder sees of each, what is heard of it, and what is true."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

_HELD_OUT = 10**6  # seeds from here on are never trained on


class Scenes(NamedTuple):
    """Rendered scenes.

    Attributes:
        seen: `[B, T, 72]`, as `adapter_inputs` makes them.
        sounds: `[B, S]`.
        materials: `[B]`, places in `MATERIALS`.
        strikes: Per scene, times in seconds.
    """

    seen: torch.Tensor
    sounds: torch.Tensor
    materials: torch.Tensor
    strikes: list[list[float]]


def _heard(task: tuple[int, dict[str, Any]]) -> tuple[Array, int, list[float]]:
    from versasound_plugin_training.rendered import MATERIALS, rendered_scene

    torch.set_num_threads(1)
    seed, config = task
    made = rendered_scene(seed, config["scenes"]["duration_s"])
    sound = made.sound(config["sound"]["sample_rate"]).waveform[0, 0].numpy()
    return sound, list(MATERIALS).index(made.material), [strike.time_s for strike in made.scene.strikes]


def _seen(task: tuple[int, dict[str, Any]]) -> Array:
    from versasound_plugin_training.rendered import rendered_scene

    from versasound_core import registry
    from versasound_core.adapters import adapter_inputs
    from versasound_core.context import RunContext

    torch.set_num_threads(1)
    seed, config = task
    made = rendered_scene(seed, config["scenes"]["duration_s"])
    encoder = registry.create("encoder", "motion", fps=config["features"]["fps"])
    clip = made.clip(config["scenes"]["fps"], config["scenes"]["height"])
    return adapter_inputs(encoder.encode(clip, RunContext()))[0][0].numpy()


def _stacked(arrays: Iterable[Array]) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(arrays)))  # arrays come through pipes, tensors through memory that is scarce


class Renderer:
    """Renders in the background: sounds first, which are soon done and needed first."""

    def __init__(self, config: dict[str, Any]) -> None:
        first, count = config["seed"], config["scenes"]["train"]
        seeds = [*range(first, first + count)]
        seeds += [_HELD_OUT + first + k for k in range(config["scenes"]["held_out"])]
        tasks = [(seed, config) for seed in seeds]
        self._count = count
        self._pool = ProcessPoolExecutor(max(1, (os.cpu_count() or 2) - 1))
        self._heard = self._pool.map(_heard, tasks, chunksize=16)
        self._seen = self._pool.map(_seen, tasks, chunksize=4)
        self._parts: list[Any] = []

    def sounds(self) -> torch.Tensor:
        """Return the sounds to train on, `[B, S]`."""
        self._parts = list(self._heard)
        return _stacked(part[0] for part in self._parts)[: self._count]

    def scenes(self) -> tuple[Scenes, Scenes]:
        """Return the scenes to train on and the held-out ones."""
        seen = _stacked(self._seen)
        self._pool.shutdown()
        sounds = _stacked(part[0] for part in self._parts)
        materials = torch.tensor([part[1] for part in self._parts])
        strikes = [part[2] for part in self._parts]
        cut = self._count
        return (
            Scenes(seen[:cut], sounds[:cut], materials[:cut], strikes[:cut]),
            Scenes(seen[cut:], sounds[cut:], materials[cut:], strikes[cut:]),
        )
