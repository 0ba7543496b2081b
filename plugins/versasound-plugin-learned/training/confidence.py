"""Fit the confidence, and see how well it tells a sound from another clip's: `python training/confidence.py`.

It is fitted on scenes made as those that the network was trained on, from seeds that it was not: each picture with its
own sound, and with the sound seven pairs on. The AUC is also that of the sync benchmark's rendered columns.
The least confidence with which a sound is moved is the one that leaves 95 % of the sounds alone that are put to made-up
pictures in which nothing strikes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import torch
from pairs import filmed, made, rendered, unstruck
from versasound_plugin_learned.confidence import features, probability
from versasound_plugin_learned.path import search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_plugin_learned.evidence import Pair

_OTHER = 7
_REACH_S = 1.0
_RIDGE = 0.01
_SOUNDS = 5  # put to each picture in which nothing strikes
_LEFT_ALONE = 0.95


def told(pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features `[K, 3]` of pairs that belong together, and of the same pictures with other sounds."""
    usable = [pair for pair in pairs if len(pair.heard.times_s) and len(pair.struck.times_s)]
    others = usable[_OTHER:] + usable[:_OTHER]
    swapped = [_swapped(a, b) for a, b in zip(usable, others, strict=True)]
    return _told(usable), _told(swapped)


def uncued(pictures: Sequence[Pair], sounds: Sequence[Pair]) -> np.ndarray:
    """Return the confidences `[K]` of pictures in which nothing strikes, each with some sounds of others."""
    put = [
        _swapped(picture, sounds[(_SOUNDS * number + k) % len(sounds)])
        for number, picture in enumerate(pictures)
        for k in range(_SOUNDS)
    ]
    usable = [pair for pair in put if len(pair.heard.times_s) and len(pair.struck.times_s)]
    confidences = np.zeros(len(put))  # where no strike is seen there is none
    confidences[: len(usable)] = [probability(row) for row in _told(usable)]
    return confidences


def _told(pairs: Sequence[Pair]) -> np.ndarray:
    rows = [features(pair, search(pair, _REACH_S, adaptive=True), _REACH_S, adaptive=True) for pair in pairs]
    return np.array(rows).reshape(-1, 3)


def _swapped(picture: Pair, sound: Pair) -> Pair:
    flux = np.pad(sound.flux, (0, max(len(picture.flux) - len(sound.flux), 0)))[: len(picture.flux)]
    return picture._replace(heard=sound.heard, sound_s=sound.sound_s, flux=flux)


def fitted(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression, by Newton's method; first the constant."""
    x = np.concatenate([own, other])
    x = np.concatenate([np.ones((len(x), 1)), x], 1)
    y = np.arange(len(x)) < len(own)
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ weights))
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + _RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(bend, x.T @ (y - chance) - _RIDGE * weights)
    return weights


def area(own: np.ndarray, other: np.ndarray) -> str:
    """How often a pair that belongs together is the more confident one."""
    own, other = (np.array([probability(row) for row in rows]) for rows in (own, other))
    auc = np.mean(own[:, None] > other) + 0.5 * np.mean(own[:, None] == other)
    return f"AUC {auc:.4f}; median of own pairs {np.median(own):.2f}, of others {np.median(other):.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20, help="of scenes, sixteen each")
    count = parser.parse_args().batches
    torch.set_num_threads(1)
    pictures = list(filmed(count)), list(filmed(count // 2, first=1000))
    sounds = [[one.pair for one in made(some)] for some in pictures]
    own, other = told(sounds[0])
    print("weights of constant, share, lift and odds:", fitted(own, other).round(2).tolist())
    print("With the weights that the package has:")
    print("fitted on:", area(own, other))
    print("held out:", area(*told(sounds[1])))
    print("the benchmark's rendered pairs:", area(*told(list(rendered(40)))))
    alone = [uncued(list(unstruck(some)), heard) for some, heard in zip(pictures, sounds, strict=True)]
    least = float(np.quantile(alone[0], _LEFT_ALONE))
    print(f"least confidence that leaves {_LEFT_ALONE:.0%} of {len(alone[0])} sounds without a cue alone: {least:.3f}")
    print(f"held out: it leaves {np.mean(alone[1] < least):.1%} of {len(alone[1])} alone")
