"""How far a sound is off at each moment, as the best path through all offsets that it could have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cues import Floats

_LEAST_GAIN = 1e-3  # of a cue that explains nothing


def lag_products(seen: Floats, heard: Floats, reach: int, hop: int) -> Floats:
    """Multiply what is seen with what is heard at every lag, `[M, 2 * reach + 1]`, `M = ceil(N / hop)`.

    Column `k` is the lag `k - reach`: how many steps later the sound should be. Each row is the mean over `hop` steps.
    Memory grows with the length and not with its square.
    """
    rows = -(-len(seen) // hop)
    later = np.lib.stride_tricks.sliding_window_view(np.pad(heard, reach), 2 * reach + 1)[:, ::-1]
    products = np.zeros((rows, 2 * reach + 1), np.float32)
    for step in range(hop):
        part = later[step::hop]
        products[: len(part)] += seen[step::hop, None] * part
    return products / np.float32(hop)


def path_scores(match: Floats, penalty: Floats) -> Floats:
    """Add up the best path to each place, by dynamic programming over all lags of a row at once.

    Args:
        match: `[..., M, L]`, how well each lag fits at each row.
        penalty: `[2k + 1]`, what it costs to come from a lag that is -k..k greater in the row before.

    Returns:
        `[..., M, L]`.
    """
    scores = np.empty_like(match)
    reach, lags = len(penalty) // 2, match.shape[-1]
    padded = np.full((*match.shape[:-2], lags + 2 * reach), -np.inf, np.float32)
    before = np.moveaxis(np.lib.stride_tricks.sliding_window_view(padded, lags, axis=-1), -2, 0)
    cost = penalty.reshape(-1, *(1,) * (match.ndim - 1)).astype(np.float32)
    inner = padded[..., reach : reach + lags]
    inner[...] = scores[..., 0, :] = match[..., 0, :]
    ways = np.empty(before.shape, np.float32)
    for row in range(1, match.shape[-2]):
        np.subtract(before, cost, out=ways)
        np.add(np.maximum.reduce(ways, axis=0), match[..., row, :], out=inner)
        scores[..., row, :] = inner
    return scores


def best_path(scores: Floats, penalty: Floats) -> npt.NDArray[np.int64]:
    """Follow the path that ends best back through the `path_scores` `[M, L]` of one match: its column in each row."""
    reach = len(penalty) // 2
    path = np.empty(len(scores), np.int64)
    path[-1] = scores[-1].argmax()
    for row in range(len(scores) - 1, 0, -1):
        here = path[row]
        first = max(here - reach, 0)
        near = scores[row - 1, first : here + reach + 1]
        path[row - 1] = first + (near - penalty[first - here + reach :][: len(near)]).argmax()
    return path


def trusted(matches: list[Floats], chances: Iterable[Floats], penalty: Floats) -> Floats:
    """Add up the matches `[M, L]` of several cues by how well each explains the sound.

    The weight is the square of how much more the mean match along the cue's best path is than along the best path of
    the same sound played backward: a cue that fits any sound says little.

    Args:
        matches: Of each cue.
        chances: The same with the sound played backward.
        penalty: As of `path_scores`.
    """
    gains = [
        float(path_scores(match, penalty)[-1].max() - path_scores(chance, penalty)[-1].max()) / len(match)
        for match, chance in zip(matches, chances, strict=True)
    ]
    weights = np.maximum(gains, _LEAST_GAIN) ** 2
    total = np.zeros_like(matches[0])
    for match, weight in zip(matches, weights / weights.sum(), strict=True):
        total += np.float32(weight) * match
    return total


def finer(row: Floats, column: int) -> float:
    """Where the parabola through a row's value at a column and its neighbours is largest, within one step."""
    if not 0 < column < len(row) - 1:
        return float(column)
    left, middle, right = row[column - 1 : column + 2].tolist()
    bend = left - 2 * middle + right
    return column + min(max(0.5 * (left - right) / bend, -1.0), 1.0) if bend < 0 else float(column)


def knots_at(onsets_s: Floats, offsets_s: Floats) -> list[tuple[float, float]]:
    """Make the knots that move each onset by its offset, leaving out those that would overtake the one before."""
    knots: list[tuple[float, float]] = []
    for time_s, offset_s in zip(onsets_s.tolist(), offsets_s.tolist(), strict=True):
        if not knots or time_s + offset_s > knots[-1][1]:
            knots.append((time_s, time_s + offset_s))
    return knots
