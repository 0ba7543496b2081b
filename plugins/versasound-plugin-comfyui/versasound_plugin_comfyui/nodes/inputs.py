"""Inputs that several nodes have, and the types of their wires."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from comfyui_extension.nodes.widgets import FEATURES

CATEGORY = "VersaSound"
Features = io.Custom(FEATURES)
MOST_VARIATIONS = 64
ENCODER = "What looks at the picture. It decides what the generator can know of it."
GENERATOR = "What makes the sound."
ALIGNER = "What moves the sound onto what is seen."
REFINER = "What brings the finished sound to its loudness."


def prompts() -> list[Any]:
    """What it should sound like, and what it should not."""
    about = "What it should sound like, such as: footsteps on gravel. Empty: the picture decides."
    return [
        io.String.Input("prompt", multiline=True, default="", tooltip=about),
        io.String.Input("negative_prompt", multiline=True, default="", tooltip="What must not be heard."),
    ]


def seeds() -> list[Any]:
    """The seed, and how many sounds are made from it on."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**53 - 1 - MOST_VARIATIONS,
            control_after_generate=io.ControlAfterGenerate.fixed,  # a run that changes nothing is not run again
            tooltip="The same seed gives the same sound.",
        ),
        io.Int.Input(
            "variations", default=1, min=1, max=MOST_VARIATIONS, tooltip="So many sounds, with seeds from this one on."
        ),
    ]


def diffusion() -> list[Any]:
    """What only iterative generators ask for."""
    own = "0: the generator's own. Generators that do not iterate have none."
    return [
        io.Int.Input("steps", default=0, min=0, max=500, tooltip=f"Diffusion steps. {own}", advanced=True),
        io.Float.Input(
            "guidance",
            default=0.0,
            min=0.0,
            max=100.0,
            step=0.5,
            tooltip=f"How closely the prompt is followed. {own}",
            advanced=True,
        ),
    ]


def strength() -> Any:
    """How far sounds are moved."""
    about = "0 leaves the sound as it is, 1 moves every event all the way onto what is seen."
    return io.Float.Input("sync_strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip=about)


def own_sound() -> list[Any]:
    """What becomes of the clip's own sound."""
    about = "The clip's own sound: replaced, mixed in, or kept in front while the new sound gives way (duck)."
    return [
        io.Combo.Input("keep_original", options=["replace", "mix", "duck"], default="replace", tooltip=about),
        io.Float.Input(
            "original_level_db",
            default=0.0,
            min=-60.0,
            max=60.0,
            step=0.5,
            advanced=True,
            tooltip="Loudness of the clip's own sound against the new one, dB.",
        ),
    ]
