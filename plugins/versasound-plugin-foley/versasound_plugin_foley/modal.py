"""Struck bodies as sums of damped modes.

A body that is struck sounds as ``sum_k a_k exp(-alpha_k t) sin(2 pi f_k t)`` (K. van den Doel and D. K. Pai, "The
Sounds of Physical Shapes", Presence 7(4), 1998; W. W. Gaver, "Synthesizing Auditory Icons", INTERCHI 1993). Its
material is heard in the damping: ``alpha_k = pi f_k tan(phi)`` with the internal friction ``tan(phi)`` nearly constant
over frequency (R. P. Wildes and W. A. Richards, 1988; E. Krotkov, R. Klatzky and N. Zumel, 1996; R. L. Klatzky,
D. K. Pai and E. P. Krotkov, "Perception of Material from Contact Sounds", Presence 9(4), 2000), to which the support
and the air add a constant loss.
"""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .noise import Floats

RATIOS: dict[str, tuple[float, ...]] = {
    # free bar, squared roots of cos(x) cosh(x) = 1 (N. H. Fletcher and T. D. Rossing, The Physics of Musical
    # Instruments, chapter 2)
    "bar": (1.0, 2.756, 5.404, 8.933, 13.345, 18.638),
    # circular membrane, zeros of Bessel functions (Fletcher and Rossing, chapter 3)
    "membrane": (1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.600, 3.652),
    # simply supported rectangular plate of sides 1 : 1.37, (m/a)^2 + (n/b)^2 (Fletcher and Rossing, chapter 3)
    "plate": (1.0, 2.043, 2.957, 3.781, 4.0, 5.738, 6.214, 6.219, 7.262, 8.171, 9.0, 9.342, 10.786),
    # wine glass, nearly as the square of the number of nodes (Fletcher and Rossing, chapter 20)
    "glass": (1.0, 2.32, 4.25, 6.63, 9.38, 12.52),
    # church bell: hum, prime, tierce, quint, nominal and above, prime = 1 (Fletcher and Rossing, chapter 21)
    "bell": (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.667, 3.011, 4.166, 5.433),
}
_FLOOR = log(10 ** (60 / 20))
_LONGEST_S = 4.0


def render(
    frequencies_hz: NDArray[np.float64], decays: NDArray[np.float64], amplitudes: NDArray[np.float64], sample_rate: int
) -> Floats:
    """Sum of damped sines from phase 0, as long as the slowest takes to fall by 60 dB.

    A damped sine is a geometric series, so ``z**(i m + j) = z**(i m) z**j``: two short tables of powers and one matrix
    product give every sample exactly, at a few operations each. The product is PyTorch's, whose threads `one_thread`
    holds back: NumPy's would wait for each other beside the decoder or the coder of another clip.

    Args:
        frequencies_hz: `[K]`; those above 0.45 of the sample rate are left out.
        decays: `[K]` in 1/s.
        amplitudes: `[K]`.
        sample_rate: Hz.
    """
    heard = frequencies_hz < 0.45 * sample_rate
    f, alpha, a = frequencies_hz[heard], decays[heard], amplitudes[heard]
    if f.size == 0:
        return np.zeros(1, np.float32)
    lives = np.minimum(_FLOOR / alpha, _LONGEST_S) * sample_rate
    length = int(lives.max()) + 1
    stride = max(16, int(length**0.5))
    rows = ceil(length / stride)
    power = (2j * np.pi * f - alpha) / sample_rate
    coarse = _series(a, np.exp(stride * power), rows)
    fine = _series(np.ones_like(a), np.exp(power), stride)
    left = torch.from_numpy(np.concatenate([coarse.real, coarse.imag], 1).astype(np.float32))
    right = torch.from_numpy(np.concatenate([fine.imag, fine.real], 1).astype(np.float32))
    made = torch.empty(rows, stride)
    early = rows // 4
    for start, stop in ((0, early), (early, rows)):
        rings = torch.from_numpy(np.tile(lives > start * stride, 2))  # in the long tail most modes are gone
        torch.mm(left[start:stop, rings], right[:, rings].T, out=made[start:stop])
    sound: Floats = made.numpy().ravel()[:length]
    end = min(length, max(1, sample_rate // 100))
    sound[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    return sound


def _series(first: NDArray[np.float64], ratio: NDArray[np.complex128], count: int) -> NDArray[np.complex128]:
    """Geometric series `[count, K]`."""
    terms = np.empty((count, ratio.size), np.complex128)
    terms[0], terms[1:] = first, ratio
    return np.multiply.accumulate(terms, axis=0, out=terms)


def struck(
    params: dict[str, float | str],
    strength: float,
    body: np.random.Generator,
    place: np.random.Generator,
    sample_rate: int,
) -> Floats:
    """One strike of a body.

    Args:
        params: `frequency_hz`, `spread` (octaves by which bodies of this kind differ), `ratios`, `friction` (tan phi),
            `loss` (1/s), `tilt` (how fast higher modes weaken), `brightness_hz` (corner of the blow at full strength).
        strength: (0, 1]; a stronger blow is shorter and so excites higher modes (Hertz contact).
        body: Draws what belongs to the body: alike for all its strikes.
        place: Draws what belongs to this strike: where the body is hit.
        sample_rate: Hz.
    """
    ratios = np.array(RATIOS[str(params["ratios"])])
    base = float(params["frequency_hz"]) * 2 ** (float(params["spread"]) * body.uniform(-1, 1))
    f = base * ratios * (1 + 0.015 * body.uniform(-1, 1, ratios.size))
    alpha = float(params["loss"]) + np.pi * f * float(params["friction"])
    corner = float(params["brightness_hz"]) * brightness(strength)
    a = ratios ** -float(params["tilt"]) * place.uniform(0.35, 1.0, ratios.size) / (1 + (f / corner) ** 2)
    return render(f, alpha, a, sample_rate)


def brightness(strength: float) -> float:
    """How far a blow's corner frequency falls with its strength: two octaves and a half from strongest to weakest."""
    return float(2 ** (2.5 * (strength - 1)))
