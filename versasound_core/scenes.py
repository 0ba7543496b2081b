"""Small physical scenes with known strike times: what `versasound demo` shows and what the event tests measure against.

A scene is a closed form in time: balls under gravity that bounce with restitution, a hammer that swings at an anvil,
and things that move without a sound (a pendulum, a blinking lamp, a hand-held camera, a pan, a cut). Positions are in
units of the picture's height, x to the right and y downward.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.float32]

_GRAVITY = 3.2  # picture heights per second squared: a small thing filmed from near
_FLOOR = 0.86
_HANDLE = 0.42  # of the hammer
_MARGIN = 0.3  # how far the camera may look aside
_SAMPLES = 2  # sub-frames averaged into one: the shutter is open for half of the frame
_PAINTS = ((0.95, 0.9, 0.85), (0.95, 0.9, 0.2), (0.6, 1.0, 0.5), (0.05, 0.05, 0.1), (0.35, 0.0, 0.05), (0.0, 0.05, 0.4))
Camera = Literal["still", "shake", "pan"]


@attrs.frozen
class Strike:
    """One thing hitting another.

    Args:
        time_s: When.
        strength: In (0, 1], by the speed of the blow.
        position: Where in the picture, from -1 (left) to 1 (right).
    """

    time_s: float
    strength: float
    position: float


@attrs.frozen
class _Ball:
    x: float
    drift: float  # heights per second
    radius: float
    colour: tuple[float, float, float]
    start_s: float
    height: float
    restitution: float

    def flights(self) -> list[tuple[float, float]]:
        """Moments and speeds of the impacts, until the flight between two is too short to see."""
        speed = math.sqrt(2 * _GRAVITY * self.height)
        time_s = self.start_s + speed / _GRAVITY
        hits = [(time_s, speed)]
        while 2 * speed * self.restitution / _GRAVITY > 0.2:  # noqa: PLR2004  (seconds in the air)
            speed *= self.restitution
            time_s += 2 * speed / _GRAVITY
            hits.append((time_s, speed))
        return hits

    def where(self, time_s: float) -> tuple[float, float]:
        hits = self.flights()
        if time_s < self.start_s:
            return self.x, _FLOOR - self.radius - self.height
        x = self.x + self.drift * (min(time_s, hits[-1][0]) - self.start_s)
        if time_s < hits[0][0]:
            return x, _FLOOR - self.radius - self.height + 0.5 * _GRAVITY * (time_s - self.start_s) ** 2
        for (at, _), (_, speed) in itertools.pairwise(hits):
            since = time_s - at
            if since < 2 * speed / _GRAVITY:
                return x, _FLOOR - self.radius - speed * since + 0.5 * _GRAVITY * since**2
        return x, _FLOOR - self.radius


@attrs.frozen
class _Hammer:
    x: float
    period_s: float
    first_s: float
    lift: float  # radians

    def hits(self, duration_s: float) -> list[tuple[float, float]]:
        count = int((duration_s - self.first_s) / self.period_s) + 1
        return [(self.first_s + k * self.period_s, 1.6 * self.lift) for k in range(max(count, 0))]

    def angle(self, time_s: float) -> float:
        """Radians above the anvil: held up at first; falls fast onto it, rests a moment, is lifted slowly."""
        if time_s < self.first_s - 0.3 * self.period_s:
            return self.lift
        phase = ((time_s - self.first_s) / self.period_s) % 1.0
        if phase < 0.12:  # noqa: PLR2004
            return 0.0
        if phase < 0.7:  # noqa: PLR2004
            return self.lift * 0.5 * (1 - math.cos(math.pi * (phase - 0.12) / 0.58))
        return self.lift * (1 - ((phase - 0.7) / 0.3) ** 2)


@attrs.frozen(eq=False)
class Scene:
    """A scene that can be rendered at any size and rate.

    Args:
        duration_s: Length.
        strikes: What hits what in the picture, and when, in order of time.
        aspect: Width over height.
    """

    duration_s: float
    strikes: list[Strike]
    aspect: float
    seed: int
    balls: list[_Ball]
    hammers: list[_Hammer]
    pendulum: bool
    lamp: bool
    camera: Camera
    cut_s: float | None

    def camera_at(self, time_s: float) -> tuple[float, float]:
        """Where the picture's corner is, in heights, x and y."""
        if self.camera == "pan":
            return 0.06 * (time_s - self.duration_s / 2), 0.0
        if self.camera == "still":
            return 0.0, 0.0
        waves = ((1.3, 0.2, 1.9, 0.8), (2.7, 4.0, 0.5, 0.5), (5.1, 1.1, 3.3, 0.25))  # Hz, two phases, size
        return (
            0.004 * sum(w * math.sin(f * math.tau * time_s + p + self.seed) for f, p, _, w in waves),
            0.004 * sum(w * math.sin(f * math.tau * time_s + q + self.seed) for f, _, q, w in waves),
        )

    def size(self, height: int) -> tuple[int, int]:
        """Height and width of the picture in pixels, both even."""
        return height // 2 * 2, round(height * self.aspect) // 2 * 2

    def frames(self, fps: float, height: int = 180) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the pictures `[H, W, 3]`, one every `1 / fps` seconds, width and height even."""
        import numpy as np

        painter = _Painter(self, height)
        rng = np.random.default_rng([self.seed, 1])
        for k in range(round(self.duration_s * fps)):
            moments = [(k + s / (2 * _SAMPLES)) / fps for s in range(_SAMPLES)]
            picture = np.mean([painter.paint(time_s) for time_s in moments], axis=0)
            picture += rng.normal(0, 0.006, picture.shape).astype(np.float32)  # the sensor
            yield (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


class _Painter:
    """Draws one moment of a scene."""

    def __init__(self, scene: Scene, height: int) -> None:
        import numpy as np

        self.scene = scene
        self.height, self.width = scene.size(height)
        rng = np.random.default_rng([scene.seed, 2])
        margin = round(_MARGIN * self.height)
        rows, columns = np.mgrid[-margin : self.height + margin, -margin : self.width + margin].astype(np.float32)
        y, x = (rows + 0.5) / self.height, (columns + 0.5) / self.height
        self.grounds = []
        for _ in range(2):  # before and after the cut
            waves, tint = rng.uniform([2, 2, 0, -0.05], [14, 14, 6.3, 0.05], (9, 4)), rng.uniform(0.25, 0.55, 3)
            light = sum(a * np.sin(fx * x + fy * y + p) for fx, fy, p, a in waves.astype(np.float32))
            ground = tint.astype(np.float32) + light[..., None] * (1 + 0.3 * np.arange(3, dtype=np.float32))
            ground[y > _FLOOR] *= 0.55
            self.grounds.append(ground)

    def paint(self, time_s: float) -> Image:
        scene = self.scene
        after = int(scene.cut_s is not None and time_s >= scene.cut_s)
        view = scene.camera_at(time_s)
        picture = self._shifted(self.grounds[after], *view)
        if scene.lamp:
            lit = 1.0 if math.sin(2 * math.pi * 1.3 * time_s) > 0 else 0.2
            self._disc(picture, view, (0.12 * scene.aspect, 0.15), 0.05, (lit, lit * 0.9, lit * 0.5))
        if scene.pendulum:
            swing = 0.5 * math.sin(2 * math.pi * 0.45 * time_s)
            place = (0.88 * scene.aspect + 0.225 * math.sin(swing), 0.05 + 0.45 * math.cos(swing))
            self._disc(picture, view, place, 0.05, (0.2, 0.6, 0.3))
        for hammer in scene.hammers:
            self._hammer(picture, view, hammer, time_s)
        for ball in scene.balls:
            self._disc(picture, view, ball.where(time_s), ball.radius, ball.colour)
        return picture

    def _shifted(self, ground: Image, dx: float, dy: float) -> Image:
        """Cut the picture out of the larger ground, between the pixels."""
        import numpy as np

        margin = round(_MARGIN * self.height)
        left, top = dx * self.height + margin, dy * self.height + margin
        i, j = int(top), int(left)
        v, u = np.float32(top - i), np.float32(left - j)
        rows = ground[i : i + self.height + 1, j : j + self.width + 1]
        rows = rows[:-1] * (1 - v) + rows[1:] * v
        picture: Image = rows[:, :-1] * (1 - u) + rows[:, 1:] * u
        return picture

    def _patch(
        self, picture: Image, view: tuple[float, float], box: tuple[float, float, float, float]
    ) -> tuple[Image, Image, Image]:
        """The part of the picture in a box `(left, top, right, bottom)` of the scene, with its coordinates."""
        import numpy as np

        left, top, right, bottom = (
            min(max(math.floor((edge - shift) * self.height) + extra, 0), limit)
            for edge, shift, extra, limit in zip(
                box, view * 2, (-1, -1, 2, 2), (self.width, self.height) * 2, strict=True
            )
        )
        half, height = np.float32(0.5), np.float32(self.height)
        y = (np.arange(top, bottom, dtype=np.float32) + half) / height + np.float32(view[1])
        x = (np.arange(left, right, dtype=np.float32) + half) / height + np.float32(view[0])
        return picture[top:bottom, left:right], x[None], y[:, None]

    def _disc(
        self,
        picture: Image,
        view: tuple[float, float],
        place: tuple[float, float],
        radius: float,
        colour: tuple[float, ...],
    ) -> None:
        import numpy as np

        (cx, cy), r = place, radius
        patch, x, y = self._patch(picture, view, (cx - r, cy - r, cx + r, cy + r))
        distance = np.hypot(x - cx, y - cy)
        cover = np.clip((r - distance) * self.height + 0.5, 0, 1)[..., None]
        shade = (0.75 + 0.25 * np.clip(1 - distance / r, 0, 1))[..., None]
        patch += cover * (np.asarray(colour, np.float32) * shade - patch)

    def _hammer(self, picture: Image, view: tuple[float, float], hammer: _Hammer, time_s: float) -> None:
        import numpy as np

        angle, length = hammer.angle(time_s), _HANDLE
        px, py = hammer.x, _FLOOR - 0.16
        vx, vy = length * math.cos(angle), -length * math.sin(angle)
        patch, x, y = self._patch(picture, view, (px - 0.05, py + vy - 0.05, px + length + 0.1, _FLOOR + 0.05))
        along = np.clip(((x - px) * vx + (y - py) * vy) / length**2, 0, 1)
        distance = np.hypot(x - px - along * vx, y - py - along * vy)
        for cover, colour in (
            (np.clip((0.018 - distance) * self.height + 0.5, 0, 1), (0.55, 0.35, 0.15)),
            (
                np.clip(
                    0.5 - np.maximum(np.abs(x - px - length) - 0.09, np.abs(y - _FLOOR + 0.05) - 0.05) * self.height,
                    0,
                    1,
                ),
                (0.3, 0.3, 0.3),
            ),
        ):
            patch += cover[..., None] * (np.asarray(colour, np.float32) - patch)
        self._disc(picture, view, (px + vx, py + vy), 0.06, (0.75, 0.75, 0.8))


def random_scene(seed: int, duration_s: float = 6.0, *, confounders: bool = True) -> Scene:
    """Make up a scene; the same seed makes the same one.

    Args:
        seed: Chooses everything.
        duration_s: Length in seconds.
        confounders: Whether things may also move, blink, shake, pan and cut without a sound.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    aspect = float(rng.choice([4 / 3, 16 / 9]))
    cut_s = float(rng.uniform(0.4, 0.6) * duration_s) if confounders and rng.random() < 0.25 else None  # noqa: PLR2004
    hammers: list[_Hammer] = []
    if rng.random() < 0.3:  # noqa: PLR2004
        period_s = float(rng.uniform(0.7, 1.4))
        x = float(rng.uniform(0.25, aspect - 0.75))
        hammers.append(_Hammer(x, period_s, float(rng.uniform(0.4, 1.2)), float(rng.uniform(0.5, 1.1))))
    lanes = np.linspace(0.25, aspect - 0.25, 6)
    if hammers:
        lanes = lanes[np.abs(lanes - hammers[0].x - 0.25) > 0.4]  # noqa: PLR2004
    balls = [
        _Ball(
            x=float(lane),
            drift=float(rng.uniform(-0.05, 0.05)),
            radius=float(rng.uniform(0.035, 0.08)),
            colour=_PAINTS[int(rng.integers(len(_PAINTS)))],
            start_s=float(rng.uniform(0.2, 0.4 * duration_s)),
            height=float(rng.uniform(0.35, 0.65)),
            restitution=float(rng.uniform(0.5, 0.85)),
        )
        for lane in rng.permutation(lanes)[: int(rng.integers(1, 4)) - len(hammers)]
    ]
    scene = Scene(
        duration_s=duration_s,
        strikes=[],
        aspect=aspect,
        seed=seed,
        balls=balls,
        hammers=hammers,
        pendulum=bool(confounders and rng.random() < 0.4),  # noqa: PLR2004
        lamp=bool(confounders and rng.random() < 0.4),  # noqa: PLR2004
        camera=rng.choice(["still", "shake", "pan"]) if confounders else "still",
        cut_s=cut_s,
    )
    blows = [(at, speed, ball.where(at)[0]) for ball in balls for at, speed in ball.flights()]
    blows += [(at, speed, hammer.x + _HANDLE) for hammer in hammers for at, speed in hammer.hits(duration_s)]
    strikes = [
        Strike(at, min(1.0, speed / 2.1), position)
        for at, speed, x in sorted(blows)
        if at < duration_s - 0.1 and abs(position := 2 * (x - scene.camera_at(at)[0]) / aspect - 1) <= 1
    ]
    return attrs.evolve(scene, strikes=strikes)


def write_scene(scene: Scene, path: Path, *, fps: float = 30.0, height: int = 360) -> Path:
    """Render a scene into a silent H.264 file.

    Raises:
        MediaError: If the file cannot be written.
    """
    from fractions import Fraction

    import av

    from .media.atomic import written_whole

    with written_whole(path) as aside, av.open(str(aside), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "18"})
        stream.height, stream.width, stream.pix_fmt = *scene.size(height), "yuv420p"
        for picture in scene.frames(fps, height):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
