"""The tiny generator in the format of Stable Audio's pipeline, and its folder."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch

_LETTERS = [chr(code) for code in range(33, 127)]


def make_pipeline(codec: Any, config: dict[str, Any], folder: Path) -> Any:
    """Make diffusers' `StableAudioPipeline` around a trained codec, all else untrained."""
    from diffusers.models.transformers.stable_audio_transformer import StableAudioDiTModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
    from diffusers.pipelines.stable_audio.pipeline_stable_audio import StableAudioPipeline
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    text, settings = config["text"], config["generator"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in ["▁", *_LETTERS])]
    T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=text["length"]).save_pretrained(folder / "tokenizer")
    t5 = T5Config(vocab_size=len(pieces), d_model=text["width"], d_ff=128, d_kv=16, num_layers=2, num_heads=4)
    latents = config["codec"]["model"]["decoder_input_channels"]
    transformer = StableAudioDiTModel(
        sample_size=config["sound"]["crop"],
        in_channels=latents,
        out_channels=latents,
        cross_attention_dim=settings["num_attention_heads"] * settings["attention_head_dim"],
        cross_attention_input_dim=text["width"],
        global_states_input_dim=2 * text["width"],
        time_proj_dim=128,
        **settings,
    )
    return StableAudioPipeline(
        vae=codec,
        text_encoder=T5EncoderModel(t5),
        projection_model=StableAudioProjectionModel(
            text_encoder_dim=text["width"], conditioning_dim=text["width"], min_value=0, max_value=64
        ),
        tokenizer=T5Tokenizer.from_pretrained(folder / "tokenizer"),
        transformer=transformer,
        scheduler=_scheduler()(solver_order=2, prediction_type="v_prediction", sigma_min=0.05, sigma_max=100.0),
    )


def _scheduler() -> Any:
    """Return Stable Audio's scheduler. Only sampling with it needs torchsde, which may be absent here."""
    try:
        importlib.import_module("torchsde")
    except ImportError:
        sys.modules["torchsde"] = types.ModuleType("torchsde")
    room = importlib.import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")
    return room.CosineDPMSolverMultistepScheduler


def save_pipeline(pipe: Any, folder: Path) -> None:
    """Write all parts in half precision."""
    halves = {
        name: _half(part) if isinstance(part, torch.nn.Module) else part for name, part in pipe.components.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        type(pipe)(**halves).save_pretrained(folder, safe_serialization=True)


def _half(part: Any) -> Any:
    """Return a copy in half precision on the CPU; what weight normalisation computes cannot be copied as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made = type(part).from_config(part.config) if hasattr(part, "from_config") else type(part)(part.config)
    made.load_state_dict(part.state_dict())
    return made.half()


@torch.no_grad()
def sample(  # noqa: PLR0913, PLR0917
    objective: Any,
    tokens: torch.Tensor,
    text: torch.Tensor,
    heard: torch.Tensor,
    steps: int,
    guidance: float,
    seed: int,
) -> torch.Tensor:
    """Return sounds `[B, T]`, by DDIM (Song et al. 2021) over the angle between signal and noise."""
    device, config = tokens.device, objective.pipe.transformer.config
    generator = torch.Generator(device).manual_seed(seed)
    count = len(tokens)
    latents = torch.randn(count, config.in_channels, config.sample_size, generator=generator, device=device)
    span_s = (torch.zeros(count, device=device), torch.full((count,), objective.longest_s, device=device))
    words, times = objective.condition(tokens, text, heard, span_s)
    words, times = torch.cat([torch.zeros_like(words), words]), torch.cat([times, times])
    highest = torch.tensor(objective.pipe.scheduler.config.sigma_max).atan()
    angles = torch.linspace(float(highest), 0, steps + 1).tolist()
    for angle, following in zip(angles[:-1], angles[1:], strict=True):
        time = torch.full((2 * count,), angle / (torch.pi / 2), device=device)
        made = objective.predict(torch.cat([latents, latents]), time, words, times).float()
        without, with_words = made.chunk(2)
        turn = without + guidance * (with_words - without)
        cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
        clean, noise = cos * latents - sin * turn, sin * latents + cos * turn
        latents = torch.tensor(following).cos() * clean + torch.tensor(following).sin() * noise
    return torch.cat([objective.pipe.vae.decode(part).sample[:, 0] for part in latents.split(32)])
