"""MusicGen in transformers' format, and AudioGen in audiocraft's own, two layers deep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .diffusion import t5_tokenizer
from .repositories import repository

_BINS = 64
_WORDS = 98  # of the tokenizer
# What audiocraft writes beside the weights of an AudioGen, as much of it as decides what the model is.
_LM_CONFIG = """
sample_rate: 16000
channels: 1
dtype: float32
device: cpu
lm_model: transformer_lm
dataset:
  segment_duration: 3
codebooks_pattern:
  modeling: delay
  delay:
    delays: [0, 1, 2, 3]
    flatten_first: 0
    empty_initial: 0
transformer_lm:
  dim: 32
  num_heads: 4
  num_layers: 2
  hidden_scale: 2
  n_q: 4
  card: 64
  dropout: 0.0
  emb_lr: null
  activation: gelu
  norm_first: true
  bias_ff: false
  bias_attn: false
  bias_proj: false
  past_context: null
  causal: true
  custom: false
  memory_efficient: true
  attention_as_float32: false
  layer_scale: null
  positional_embedding: sin
  xpos: false
  checkpointing: none
  weight_init: gaussian
  depthwise_init: current
  zero_bias_init: true
  norm: layer_norm
  cross_attention: false
  qk_layer_norm: false
  qk_layer_norm_cross: false
  attention_dropout: null
  kv_repeat: 1
  two_step_cfg: false
classifier_free_guidance: {training_dropout: 0.1, inference_coef: 3.0}
attribute_dropout: {}
fuser:
  cross_attention_pos_emb: false
  cross_attention_pos_emb_scale: 1
  sum: []
  prepend: []
  cross: [description]
  input_interpolate: []
conditioners:
  description:
    model: t5
    t5: {name: t5-large, finetune: false, word_dropout: 0.0, normalize_text: false}
"""
_CODEC_CONFIG = """
sample_rate: 16000
channels: 1
device: cpu
compression_model: encodec
encodec:
  autoencoder: seanet
  quantizer: rvq
  sample_rate: ${sample_rate}
  channels: ${channels}
  causal: false
  renormalize: false
seanet:
  dimension: 16
  channels: ${channels}
  causal: ${encodec.causal}
  n_filters: 4
  n_residual_layers: 1
  ratios: [8, 5, 4, 2]
  activation: ELU
  activation_params: {alpha: 1.0}
  norm: weight_norm
  norm_params: {}
  kernel_size: 7
  residual_kernel_size: 3
  last_kernel_size: 7
  dilation_base: 2
  pad_mode: constant
  true_skip: true
  compress: 2
  lstm: 2
  disable_norm_outer_blocks: 0
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}
  encoder: {}
rvq:
  n_q: 4
  q_dropout: false
  bins: 64
  decay: 0.99
  kmeans_init: true
  kmeans_iters: 50
  threshold_ema_dead_code: 2
  orthogonal_reg_weight: 0.0
  orthogonal_reg_active_codes_only: false
"""


def t5(words: int, width: int) -> dict[str, Any]:
    """The configuration of a text encoder."""
    from transformers import T5Config

    config = T5Config(vocab_size=words, d_model=width, d_ff=32, d_kv=8, num_layers=2, num_heads=2, use_cache=False)
    return config.to_dict()


@torch.no_grad()
def drawn(model: Any) -> Any:
    """Give a model the same random weights every time, of a size that lets all of the input reach the output."""
    draw = torch.Generator().manual_seed(7)
    codebooks = {name: buffer for name, buffer in model.named_buffers() if name.endswith(".embed")}
    for name, weight in [*model.named_parameters(), *codebooks.items()]:
        noise = torch.randn(weight.shape, generator=draw)
        is_gain = name.endswith("original0") or (name.endswith("weight") and weight.ndim == 1)
        if is_gain:
            weight.copy_(1 + 0.1 * noise)
        elif name in codebooks or "embed_tokens" in name or "shared" in name:
            weight.copy_(noise)
        elif weight.ndim > 1:
            weight.copy_(noise * weight[0].numel() ** -0.5 * (3 if "lm_heads" in name else 1))
        else:
            weight.copy_(0.1 * noise)
    return model


def musicgen(words: int, width: int, channels: int, rate: int, ratios: list[int], **codec: Any) -> Any:
    """A MusicGen with random weights."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration

    sound = EncodecConfig(
        sampling_rate=rate,
        upsampling_ratios=ratios,
        target_bandwidths=[1.2],
        hidden_size=16,
        num_filters=4,
        codebook_size=_BINS,
        codebook_dim=16,
        use_causal_conv=False,
        **codec,
    )
    decoder = {
        "vocab_size": _BINS,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 64,
        "num_codebooks": 4 * channels,
        "audio_channels": channels,
        "pad_token_id": _BINS,
        "bos_token_id": _BINS,
    }
    config = MusicgenConfig(text_encoder=t5(words, width), audio_encoder=sound.to_dict(), decoder=decoder)
    return drawn(MusicgenForConditionalGeneration(config)).eval()


def _write_musicgen(folder: Path, channels: int) -> None:
    from transformers import EncodecFeatureExtractor, GenerationConfig

    model = musicgen(t5_tokenizer(folder, 512), 24, channels, 32000, [8, 5, 4, 4])
    tokens = {"pad_token_id": _BINS, "bos_token_id": _BINS, "decoder_start_token_id": _BINS}
    model.generation_config = GenerationConfig(do_sample=True, guidance_scale=3.0, max_length=1500, **tokens)
    model.save_pretrained(folder)
    EncodecFeatureExtractor(feature_size=channels, sampling_rate=32000, padding_side="left").save_pretrained(folder)


@repository(*(f"facebook/musicgen-{size}" for size in ("small", "medium", "large")))
def write_musicgen(folder: Path) -> None:
    """MusicGen."""
    _write_musicgen(folder, 1)


@repository(*(f"facebook/musicgen-stereo-{size}" for size in ("small", "medium", "large")))
def write_musicgen_stereo(folder: Path) -> None:
    """MusicGen with two channels, whose codebooks take turns."""
    _write_musicgen(folder, 2)


def _write_t5(folder: Path, width: int) -> None:
    from transformers import T5Config, T5EncoderModel

    words = t5_tokenizer(folder, 512)
    drawn(T5EncoderModel(T5Config(**t5(words, width)))).save_pretrained(folder)


@repository("google-t5/t5-large")
def write_t5_large(folder: Path) -> None:
    """A T5 as wide as the real one, for audiocraft knows its width by heart."""
    _write_t5(folder, 1024)


@repository("google-t5/t5-base")
def write_t5_base(folder: Path) -> None:
    """A T5 as wide as the real one, for stable-audio-tools knows its width by heart."""
    _write_t5(folder, 768)


def audiogen() -> Any:
    """What the files of AudioGen hold, as transformers' model; its text encoder is not among them."""
    settings = {"use_conv_shortcut": False, "pad_mode": "constant"}
    return musicgen(_WORDS, 1024, 1, 16000, [8, 5, 4, 2], **settings)


@repository("facebook/audiogen-medium")
def write_audiogen(folder: Path) -> None:
    """AudioGen as audiocraft exports it: `state_dict.bin` and `compression_state_dict.bin`."""
    model = audiogen()
    state = {_lm_name(name): weight for name, weight in model.decoder.state_dict().items() if "positions" not in name}
    for name in [name for name in state if name.endswith("q_proj.weight")]:
        parts = [state.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        state[name.replace("q_proj.weight", "in_proj_weight")] = torch.cat(parts)
    for name, weight in model.enc_to_dec_proj.state_dict().items():
        state[f"condition_provider.conditioners.description.output_proj.{name}"] = weight
    codec = {_codec_name(name): weight for name, weight in model.audio_encoder.state_dict().items()}
    for content, config, name in (
        (state, _LM_CONFIG, "state_dict.bin"),
        (codec, _CODEC_CONFIG, "compression_state_dict.bin"),
    ):
        torch.save({"best_state": content, "xp.cfg": config, "version": "1.3.0", "exported": True}, folder / name)


def _lm_name(name: str) -> str:
    pairs = {
        "model.decoder.embed_tokens": "emb",
        "model.decoder.layers": "transformer.layers",
        "model.decoder.layer_norm": "out_norm",
        "encoder_attn_layer_norm": "norm_cross",
        "self_attn_layer_norm": "norm1",
        "final_layer_norm": "norm2",
        "encoder_attn": "cross_attention",
        "fc1": "linear1",
        "fc2": "linear2",
        "lm_heads": "linears",
    }
    for new, old in pairs.items():
        name = name.replace(new, old)
    return name


def _codec_name(name: str) -> str:
    is_up = name.startswith("decoder.layers.") and int(name.split(".")[2]) in {3, 6, 9, 12}
    conv = "convtr.convtr" if is_up else "conv.conv"
    for new, old in {
        "quantizer.layers": "quantizer.vq.layers",
        ".codebook.": "._codebook.",
        "coder.layers": "coder.model",
        ".conv.": f".{conv}.",
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }.items():
        name = name.replace(new, old)
    return name
