"""Scenes for the proof, rendered on all cores: what an encoder sees of each, what is heard of it, and what is true."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from versasound_core.containers import VisualFeatures

    Array = npt.NDArray[np.float32]

HELD_OUT = 10**6  # seeds from here on are never trained on


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


def seen(seed: int, config: dict[str, Any]) -> VisualFeatures:
    """Return what the encoder `motion` sees of a scene: of every second one as it is, of the others as a coded file."""
    from versasound_plugin_training.rendered import rendered_scene

    from versasound_core import registry
    from versasound_core.containers import VideoClip
    from versasound_core.context import RunContext
    from versasound_core.scenes import write_scene

    made, fps, height = rendered_scene(seed, config["duration_s"]), config["fps"], config["height"]
    encoder = registry.create("encoder", "motion")
    if seed % 2:
        return encoder.encode(made.clip(fps, height), RunContext())
    with tempfile.TemporaryDirectory() as folder:
        coded = write_scene(made.scene, Path(folder) / "scene.mp4", fps=fps, height=height)
        return encoder.encode(VideoClip.open(coded), RunContext())


def _scene(task: tuple[int, dict[str, Any], int]) -> tuple[Array, Array, int, list[float]]:
    from versasound_plugin_training.rendered import MATERIALS, rendered_scene

    from versasound_core.adapters import adapter_inputs

    torch.set_num_threads(1)
    seed, config, rate = task
    made = rendered_scene(seed, config["duration_s"])
    features = adapter_inputs(seen(seed, config))[0][0].numpy()
    sound = made.sound(rate).waveform[0, 0].numpy()
    return features, sound, list(MATERIALS).index(made.material), [strike.time_s for strike in made.scene.strikes]


def render(seeds: Sequence[int], config: dict[str, Any]) -> Scenes:
    """Render a scene of each seed, as `scenes` of the configuration says."""
    tasks = [(seed, config["scenes"], config["sample_rate"]) for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # Arrays come through pipes; tensors would come through shared memory, of which there may be little.
        features, sounds, materials, strikes = zip(*pool.map(_scene, tasks, chunksize=8), strict=True)
    stacked = [torch.from_numpy(np.stack(part)) for part in (features, sounds)]
    return Scenes(stacked[0], stacked[1], torch.tensor(materials), list(strikes))
