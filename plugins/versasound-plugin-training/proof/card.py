"""The model card, written from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = """\
# A tiny generator that follows the picture

A latent diffusion model in the format of Stable Audio's pipeline, and an adapter that shows it what the encoder
`motion` sees. Both were trained from nothing, together, on scenes that VersaSound renders itself: balls of wood,
metal, glass, stone and drum skin that fall and bounce, with procedural foley as their sound. It knows nothing else, and
is no generator for real clips: it shows, and lets tests check, that a picture steers a sound through tokens.

| | |
|---|---|
| sound | mono, {rate} Hz, {length:.3f} s at a time |
| trained on | {train_scenes} scenes, seed {seed} |
| on | {device}, PyTorch {torch}, {seconds} s for {steps} steps of {batch} crops, the autoencoder untrained |
| size | {size:.1f} MB |
| licence | MIT, as the code; no recording and no other model was used |

## Measured

On {held_out_scenes} scenes never trained on, every second one seen as a coded file, with {strikes_per_scene} strikes
each on average, guidance {guidance}, {sampler_steps} steps. *Material*: how often the right one of five (chance: 20 %)
is heard by a classifier fitted to true sounds alone. *Onsets*: F1 of the onsets heard against the true times of the
strikes, within 80 ms; the threshold was chosen on training sounds.

| what the generator was given | material | onsets |
|---|---|---|
{rows}

The adapter reads features of the encoder `motion` at {fps} a second.

    python prove.py --out FOLDER --limit-s {limit_s:g}
"""


def write_card(out: Path, told: dict[str, Any], config: dict[str, Any]) -> None:
    """Write `MODEL_CARD.md` beside the weights."""
    rows = [f"| {name} | {row['material']:.0%} | {row['onset_f1']:.2f} |" for name, row in told["table"].items()]
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors")) / 1e6
    text = _TEXT.format(
        **told,
        rate=config["sample_rate"],
        length=config["window_s"],
        seed=config["seed"],
        size=size,
        fps=f"{config['scenes']['fps']:g}",
        rows="\n".join(rows),
    )
    (out / "MODEL_CARD.md").write_text(text, encoding="utf-8")
