"""The tiny generator in the format of Stable Audio's pipeline, and its folder."""

# ruff: noqa: ANN401  (diffusers has no types)

from __future__ import annotations

import importlib
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

_LETTERS = [chr(code) for code in range(33, 127)]


def make_pipeline(codec: Any, config: dict[str, Any], folder: Path) -> Any:
    """Make diffusers' `StableAudioPipeline` around an autoencoder, all else untrained."""
    from diffusers.models.transformers.stable_audio_transformer import StableAudioDiTModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
    from diffusers.pipelines.stable_audio.pipeline_stable_audio import StableAudioPipeline
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    text, settings = config["text"], config["generator"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in ["▁", *_LETTERS])]
    T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=text["length"]).save_pretrained(folder / "tokenizer")
    t5 = T5Config(vocab_size=len(pieces), d_model=text["width"], d_ff=128, d_kv=16, num_layers=2, num_heads=4)
    latents = codec.config.decoder_input_channels
    transformer = StableAudioDiTModel(
        sample_size=round(config["window_s"] * config["sample_rate"] / codec.hop_length),
        in_channels=latents,
        out_channels=latents,
        cross_attention_dim=settings["num_attention_heads"] * settings["attention_head_dim"],
        cross_attention_input_dim=text["width"],
        global_states_input_dim=2 * text["width"],
        time_proj_dim=128,
        **settings,
    )
    _give_positions(transformer)
    _pass_on(transformer)
    return StableAudioPipeline(
        vae=codec,
        text_encoder=T5EncoderModel(t5),
        projection_model=StableAudioProjectionModel(
            text_encoder_dim=text["width"], conditioning_dim=text["width"], min_value=0, max_value=64
        ),
        tokenizer=T5Tokenizer.from_pretrained(folder / "tokenizer"),
        transformer=transformer,
        scheduler=_scheduler()(solver_order=2, prediction_type="v_prediction", sigma_min=0.3, sigma_max=100.0),
    )


@torch.no_grad()
def _give_positions(transformer: Any) -> None:
    """Begin with a first layer from which every latent learns where it stands.

    A token must be found by its time, and a transformer of this kind knows places only relative to each other. But the
    first place is always taken by the time step. Each head is made to look at it through one frequency of the rotary
    embedding, so that what it sees is a sine of the place; two heads share a frequency, a quarter turn apart. All of it
    is a beginning, and trained like the rest.
    """
    block, config = transformer.transformer_blocks[0], transformer.config
    size, one, marker = config.attention_head_dim, 0, 1  # a channel that is always 1, and one that marks the time step
    half = size // 4  # of the channels that turn; channel i turns with channel i + half
    block.norm1.weight[one], block.norm1.bias[one] = 0.0, 1.0
    for layer in (transformer.proj_in, transformer.timestep_proj[-1], transformer.global_proj[-1]):
        layer.weight[marker] = 0.0
    transformer.timestep_proj[-1].bias[marker] = 6.0
    block.attn1.to_v.weight[:, marker] = torch.randn(len(block.attn1.to_v.weight)) * 0.5
    for head in range(config.num_attention_heads):
        turning = slice(head * size, head * size + 2 * half)
        block.attn1.to_q.weight[turning] = block.attn1.to_k.weight[turning] = 0.0
        pair = head * size + min(1 + head // 2, half - 1)
        block.attn1.to_q.weight[pair, one] = 3.0
        block.attn1.to_k.weight[pair + half * (head % 2), marker] = 0.6


@torch.no_grad()
def _pass_on(transformer: Any) -> None:
    """Begin with a network that passes its noise on, which is most of what it has to answer."""
    transformer.preprocess_conv.weight.zero_()
    transformer.postprocess_conv.weight.zero_()
    transformer.proj_out.weight.copy_(transformer.proj_in.weight.T)


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
