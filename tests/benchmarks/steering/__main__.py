"""Whether the events are in the sound: onset F1 on rendered scenes against how strongly they steer.

    python tests/benchmarks/steering [--checkpoint trained|random|FOLDER] [--generator stable_audio] [--look]

`trained` is a tiny checkpoint in Stable Audio's format whose autoencoder is trained here, for some minutes (see
`checkpoint.py`); `random` one of random weights, in the format of either generator. The curve says what the steering
does, and nothing of how a real checkpoint sounds. The events are the scenes' own strikes, or with `--look` what the
default encoder sees. An onset counts as found within 50 ms of a strike, each once. Chance is the score against the
strikes of another scene.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))
warnings.simplefilter("ignore")

from checkpoint import trained  # noqa: E402

from versasound_core import registry  # noqa: E402
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VideoClip, VisualFeatures  # noqa: E402
from versasound_core.context import RunContext  # noqa: E402
from versasound_core.events.sound import onset_envelope  # noqa: E402
from versasound_core.scenes import Scene, random_scene, write_scene  # noqa: E402

STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
REPOSITORIES = {"stable_audio": "stabilityai/stable-audio-open-1.0", "audioldm2": "cvssp/audioldm2"}
NEAR_S, APART_S, RATE_HZ = 0.05, 0.08, 200.0


def onsets(audio: AudioData) -> list[float]:
    """Return when something begins in a sound: peaks of the flux that stand out from what is usual there."""
    flux = onset_envelope(audio, RATE_HZ)[0].numpy()
    usual = np.median(flux) + 4 * np.median(np.abs(flux - np.median(flux)))
    reach = round(APART_S * RATE_HZ)
    found = []
    for at in range(len(flux)):
        around = flux[max(0, at - reach) : at + reach + 1]
        if flux[at] > max(usual, 0.15 * flux.max()) and flux[at] == around.max():
            found.append(at / RATE_HZ)
    return found


def score(found: list[float], true: list[float]) -> tuple[int, int, int]:
    """Return how many strikes were found, how many onsets there are, and how many strikes."""
    left, hits = sorted(found), 0
    for time_s in sorted(true):
        near = [other for other in left if abs(other - time_s) <= NEAR_S]
        if near:
            left.remove(min(near, key=lambda other: abs(other - time_s)))
            hits += 1
    return hits, len(found), len(true)


def f1(counts: list[tuple[int, int, int]]) -> float:
    """Return the harmonic mean of precision and recall, over all scenes."""
    hits, found, true = (sum(column) for column in zip(*counts, strict=True))
    return 2 * hits / max(1, found + true)


def seen(scene: Scene, *, look: bool, folder: Path) -> VisualFeatures:
    """Return the scene's own strikes, or what the default encoder makes of its picture."""
    if look:
        clip = VideoClip.open(write_scene(scene, folder / f"{scene.seed}.mp4", height=180))
        return registry.create("encoder", "motion").encode(clip, RunContext())
    track = EventTrack(
        torch.zeros(1, round(100 * scene.duration_s)), 100.0, [[(s.time_s, s.strength) for s in scene.strikes]]
    )
    return VisualFeatures(torch.zeros(1, round(8 * scene.duration_s), 4), {"fps": 8.0}, track)


def scenes(count: int) -> Iterator[Scene]:
    """Yield scenes in which at least three things strike."""
    made = (random_scene(seed, confounders=False) for seed in itertools.count(900))
    return itertools.islice((scene for scene in made if len(scene.strikes) >= 3), count)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--generator", choices=REPOSITORIES, default="stable_audio")
    arguments.add_argument("--checkpoint", default="trained", help="trained (the default), random, or a folder")
    arguments.add_argument("--train", type=int, default=600, help="steps of training the autoencoder")
    arguments.add_argument("--scenes", type=int, default=12)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--look", action="store_true", help="let the default encoder find the events")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        weights = checkpoint(args, Path(name) / "checkpoint")
        pictures = [(scene, seen(scene, look=args.look, folder=Path(name))) for scene in scenes(args.scenes)]
        true = [[strike.time_s for strike in scene.strikes] for scene, _ in pictures]
        asked = [
            GenerationRequest(
                duration_s=scene.duration_s,
                prompt="a hammer on metal",
                seed=number,
                sample_rate=44100,
                num_inference_steps=args.steps,
            )
            for number, (scene, _) in enumerate(pictures)
        ]
        print(f"{args.generator}, checkpoint: {args.checkpoint}, {sum(map(len, true))} strikes", flush=True)
        foley = registry.create("generator", "foley")
        drafts = [foley.generate(f, r, RunContext()) for (_, f), r in zip(pictures, asked, strict=True)]
        heard = [onsets(draft) for draft in drafts]
        print(
            f"the draft's own score: {f1(list(map(score, heard, true))):.2f}; against another scene's strikes:", end=" "
        )
        print(f"{f1(list(map(score, heard, true[1:] + true[:1]))):.2f}")
        print("| timing | " + " | ".join(f"s = {strength:g}" for strength in STRENGTHS) + " |")
        print("|---" * (len(STRENGTHS) + 1) + "|")
        for timing in ("envelope", "draft"):
            cells = []
            for strength in STRENGTHS:
                options = {"words": False, "timing": timing, "timing_strength": strength, "weights": str(weights)}
                generator = registry.create("generator", args.generator, **options)
                made = generator.generate_all([(f, r) for (_, f), r in zip(pictures, asked, strict=True)], RunContext())
                cells.append(
                    f"{f1([score(onsets(audio), times) for audio, times in zip(made, true, strict=True)]):.2f}"
                )
            print(f"| {timing} | " + " | ".join(cells) + " |", flush=True)


def checkpoint(args: argparse.Namespace, folder: Path) -> Path:
    """Return the folder of the checkpoint that was asked for, made where that is needed."""
    from tiny_hub import TinyHub

    os.environ["HF_HUB_OFFLINE"] = "1"
    if args.checkpoint == "random":
        return TinyHub(folder).add(REPOSITORIES[args.generator])
    return trained(folder, args.train) if args.checkpoint == "trained" else Path(args.checkpoint)


if __name__ == "__main__":
    main()
