"""A data set that makes itself: rendered scenes with the sounds and words that belong to them.

Balls fall and bounce, as in `versasound_core.scenes`; what they are made of shows in their colour and is heard when
they strike. They bounce well, so that no strike is too soft to see. Picture, sound and word are known to be true, no
two strikes are nearer than 0.1 s, and nothing is downloaded.
"""

from __future__ import annotations

import csv
import itertools
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.errors import InvalidInputError, PluginError, UnknownBackendError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.containers import AudioData, VideoClip
    from versasound_core.scenes import Scene, Strike

MATERIALS = {
    "wood": (0.62, 0.30, 0.05),
    "metal": (0.20, 0.45, 1.00),
    "glass": (0.15, 0.95, 0.65),
    "drum": (0.90, 0.10, 0.12),
    "stone": (0.06, 0.05, 0.08),
}
_APART_S = 0.1
_TRIES = 1000


@attrs.frozen(eq=False)
class Rendered:
    """A scene, and what its things are made of.

    Args:
        scene: With the times of its strikes.
        material: A key of `MATERIALS`; the word for it too.
        seed: Of its sound.
    """

    scene: Scene
    material: str
    seed: int

    def clip(self, fps: float = 30.0, height: int = 96, start_s: float = 0.0, end_s: float | None = None) -> VideoClip:
        """Return the picture from `start_s` to `end_s` as frames in memory."""
        import numpy as np
        import torch

        from versasound_core.containers import VideoClip

        frames = np.stack(list(self.scene.frames(fps, height)))
        first, last = round(start_s * fps), None if end_s is None else round(end_s * fps)
        return VideoClip.from_tensor(torch.from_numpy(frames[first:last]).movedim(-1, 1)[None], fps)

    def sound(self, sample_rate: int = 16000) -> AudioData:
        """Return what is heard, `[1, 1, T]`: procedural foley at the true strikes.

        Raises:
            PluginError: If the generator `foley` is not installed.
        """
        import torch

        from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
        from versasound_core.context import RunContext
        from versasound_core.registry import default_registry

        try:
            foley = default_registry.create("generator", "foley", ambience=0.0)
        except UnknownBackendError as error:
            raise PluginError(
                "rendered scenes are sounded by the generator foley, which is not installed.",
                "pip install versasound-plugin-foley",
            ) from error
        duration_s = self.scene.duration_s
        onsets = [(strike.time_s, strike.strength) for strike in self.scene.strikes]
        events = EventTrack(torch.zeros(1, round(duration_s * 100)), 100.0, [onsets])
        features = VisualFeatures(torch.zeros(1, 1, 1), {"fps": 1 / duration_s}, events=events)
        request = GenerationRequest(
            duration_s=duration_s, prompt=self.material, sample_rate=sample_rate, seed=self.seed
        )
        made: AudioData = foley.generate(features, request, RunContext())
        return made.to_mono()


def rendered_scene(seed: int, duration_s: float = 6.0) -> Rendered:
    """Make up a scene of one material; the same seed makes the same one.

    Raises:
        InvalidInputError: If a scene of this length has no room for strikes.
    """
    import numpy as np

    from versasound_core.scenes import random_scene

    if not duration_s >= 1:
        raise InvalidInputError(f"a rendered scene must be at least 1 s long, not {duration_s!r} s.")
    rng = np.random.default_rng([seed, 7])
    names = list(MATERIALS)
    material = names[int(rng.integers(len(names)))]
    for _ in range(_TRIES):
        scene = random_scene(int(rng.integers(2**31)), duration_s, confounders=False)
        balls = [
            attrs.evolve(
                ball,
                colour=MATERIALS[material],
                radius=float(rng.uniform(0.05, 0.09)),
                start_s=float(rng.uniform(-0.4, 0.3 * duration_s)),
                restitution=float(rng.uniform(0.8, 0.95)),
            )
            for ball in scene.balls
        ]
        strikes = _strikes(balls, scene.aspect, duration_s)
        near = any(after.time_s - before.time_s < _APART_S for before, after in itertools.pairwise(strikes))
        if strikes and not near and not scene.hammers:
            return Rendered(attrs.evolve(scene, balls=balls, strikes=strikes), material, seed)
    raise InvalidInputError(f"no scene of {duration_s:g} s was found with strikes {_APART_S} s apart.")


def _strikes(balls: Sequence[Any], aspect: float, duration_s: float) -> list[Strike]:
    """What the balls of a scene do, in order of time; the last tenth of a second is left silent."""
    from versasound_core.scenes import Strike

    blows = sorted((at, speed, ball.where(at)[0]) for ball in balls for at, speed in ball.flights())
    return [
        Strike(at, min(1.0, speed / 2.1), 2 * x / aspect - 1) for at, speed, x in blows if 0 < at < duration_s - 0.1
    ]


def write_rendered(  # noqa: PLR0913  (all have defaults)
    folder: str | os.PathLike[str],
    count: int = 64,
    *,
    duration_s: float = 6.0,
    seed: int = 0,
    height: int = 96,
    sample_rate: int = 16000,
    progress: Callable[[float], None] = lambda _: None,
) -> Path:
    """Write scenes as `videos/NAME.mp4` and `audio/NAME.wav`, and `labels.csv` with their words.

    Raises:
        MediaError: If a file cannot be written.
        PluginError: If the generator `foley` is not installed.
    """
    from pathlib import Path

    from versasound_core.errors import MediaError
    from versasound_core.media.audio import save_audio
    from versasound_core.scenes import write_scene

    home = Path(folder)
    try:
        for part in ("videos", "audio"):
            (home / part).mkdir(parents=True, exist_ok=True)
        with (home / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["name", "prompt"])
            for number in range(count):
                made = rendered_scene(seed + number, duration_s)
                name = f"scene_{seed + number:06d}"
                write_scene(made.scene, home / "videos" / f"{name}.mp4", height=height)
                save_audio(made.sound(sample_rate), home / "audio" / f"{name}.wav")
                table.writerow([name, made.material])
                progress((number + 1) / count)
    except OSError as error:
        raise MediaError(f"{home} cannot be written: {error.strerror}.", "Check the folder's rights.") from error
    return home
