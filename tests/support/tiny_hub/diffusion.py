"""AudioLDM 2, Stable Audio Open and Stable Audio 3, as pipelines of a few thousand weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .encoders import write_json
from .repositories import repository

_LETTERS = [chr(code) for code in range(33, 127)]


def roberta_tokenizer(folder: Path, length: int) -> int:
    """Write a byte-level tokenizer without merges, as CLAP's, and return how many tokens it has."""
    from transformers import RobertaTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", *_LETTERS, "Ġ", "<mask>"]
    tokenizer = RobertaTokenizer(vocab={w: n for n, w in enumerate(words)}, merges=[], model_max_length=length)
    tokenizer.save_pretrained(folder)
    return len(words)


def t5_tokenizer(folder: Path, length: int) -> int:
    """Write a tokenizer whose pieces are letters, as T5's, and return how many tokens it has."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in ["▁", *_LETTERS])]
    T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length).save_pretrained(folder)
    return len(pieces)


def t5_encoder(folder: Path, width: int, words: int) -> None:
    """Write the encoder of a T5."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=words, d_model=width, d_ff=32, d_kv=8, num_layers=2, num_heads=2)
    part(folder.parent, folder.name, lambda: T5EncoderModel(config))


def write_index(folder: Path, pipeline: str, parts: dict[str, tuple[str, str]]) -> None:
    """Write `model_index.json`."""
    named = {name: list(where) for name, where in parts.items()}
    write_json(folder, "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.30.0", **named})


@torch.no_grad()
def part(folder: Path, name: str, make: Callable[[], Any], gain: float = 1.0) -> None:
    """Write a model of the same random weights every time, of a size that lets all of the input reach the output.

    The gain is that of convolutions with weight normalisation.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about how diffusers makes its convolutions
        model = make()
    for key, weight in model.named_parameters():
        if "weight_g" in key or (key.endswith(("weight", "gamma", "alpha")) and weight.ndim == 1):  # gains
            weight.copy_(1 + 0.1 * torch.randn_like(weight))
        elif weight.ndim > 1:
            weight.normal_(0, weight[0].numel() ** -0.5)
        else:
            weight.normal_(0, 0.1)
        if "weight_g" in key:
            weight.mul_(gain)
    torch.set_rng_state(state)
    model.save_pretrained(folder / name)


def write_audioldm2(folder: Path, language_model: str) -> None:
    """AudioLDM 2; the index names the class of the language model."""
    from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel, AutoencoderKL, DDIMScheduler
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        GPT2Config,
        GPT2Model,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )

    words = roberta_tokenizer(folder / "tokenizer", 77)
    clap = ClapConfig(
        text_config={
            "vocab_size": words,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 80,
            "projection_dim": 16,
        },
        audio_config={
            "spec_size": 64,
            "hidden_size": 32,
            "window_size": 4,
            "num_mel_bins": 16,
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1],
            "num_attention_heads": [1, 1],
            "num_hidden_layers": 2,
            "projection_dim": 16,
        },
        projection_dim=16,
    )
    part(folder, "text_encoder", lambda: ClapModel(clap))
    ClapFeatureExtractor(feature_size=16, hop_length=480).save_pretrained(folder / "feature_extractor")
    t5_encoder(folder / "text_encoder_2", 32, t5_tokenizer(folder / "tokenizer_2", 512))
    gpt2 = GPT2Config(vocab_size=50, n_embd=24, n_head=2, n_layer=2, n_positions=600, bos_token_id=0, eos_token_id=0)
    gpt2.max_new_tokens = 8
    part(folder, "language_model", lambda: GPT2Model(gpt2))
    part(
        folder,
        "projection_model",
        lambda: AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=32, langauge_model_dim=24),
    )
    part(
        folder,
        "unet",
        lambda: AudioLDM2UNet2DConditionModel(
            sample_size=256,
            in_channels=8,
            out_channels=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=((None, 24, 32), (None, 24, 32)),
        ),
    )
    part(
        folder,
        "vae",
        lambda: AutoencoderKL(
            in_channels=1,
            out_channels=1,
            latent_channels=8,
            block_out_channels=(8, 8, 8),
            norm_num_groups=8,
            scaling_factor=0.4,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
        ),
    )
    vocoder = SpeechT5HifiGanConfig(
        model_in_dim=16,
        sampling_rate=16000,
        upsample_initial_channel=32,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        normalize_before=False,
    )
    part(folder, "vocoder", lambda: SpeechT5HifiGan(vocoder))
    DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    parts = {
        "feature_extractor": ("transformers", "ClapFeatureExtractor"),
        "language_model": ("transformers", language_model),
        "projection_model": ("audioldm2", "AudioLDM2ProjectionModel"),
        "scheduler": ("diffusers", "DDIMScheduler"),
        "text_encoder": ("transformers", "ClapModel"),
        "text_encoder_2": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "RobertaTokenizerFast"),
        "tokenizer_2": ("transformers", "T5TokenizerFast"),
        "unet": ("audioldm2", "AudioLDM2UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "vocoder": ("transformers", "SpeechT5HifiGan"),
    }
    write_index(folder, "AudioLDM2Pipeline", parts)


@repository("cvssp/audioldm2", "cvssp/audioldm2-large", "cvssp/audioldm2-music")
def write_audioldm2_of_old(folder: Path) -> None:
    """AudioLDM 2 as it is published: its index says `GPT2Model`, which the library's own loading stumbles over."""
    write_audioldm2(folder, "GPT2Model")


@repository("stabilityai/stable-audio-open-1.0")
def write_stable_audio(folder: Path) -> None:
    """Stable Audio Open, a window of 1024 latents of 2048 samples, as the real one."""
    from diffusers import (
        AutoencoderOobleck,
        CosineDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioProjectionModel,
    )

    t5_encoder(folder / "text_encoder", 16, t5_tokenizer(folder / "tokenizer", 128))
    part(
        folder,
        "projection_model",
        lambda: StableAudioProjectionModel(text_encoder_dim=16, conditioning_dim=16, min_value=0, max_value=512),
    )
    part(
        folder,
        "transformer",
        lambda: StableAudioDiTModel(
            sample_size=1024,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_attention_heads=1,
            cross_attention_dim=16,
            time_proj_dim=8,
            global_states_input_dim=32,
            cross_attention_input_dim=16,
        ),
    )
    part(
        folder,
        "vae",
        lambda: AutoencoderOobleck(
            encoder_hidden_size=8,
            downsampling_ratios=[2, 4, 4, 8, 8],
            channel_multiples=[1, 1, 1, 1, 1],
            decoder_channels=2,
            decoder_input_channels=4,
            audio_channels=2,
            sampling_rate=44100,
        ),
        gain=0.6,
    )
    CosineDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction").save_pretrained(
        folder / "scheduler"
    )
    parts = {
        "projection_model": ("stable_audio", "StableAudioProjectionModel"),
        "scheduler": ("diffusers", "CosineDPMSolverMultistepScheduler"),
        "text_encoder": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "T5TokenizerFast"),
        "transformer": ("diffusers", "StableAudioDiTModel"),
        "vae": ("diffusers", "AutoencoderOobleck"),
    }
    write_index(folder, "StableAudioPipeline", parts)


def gemma_tokenizer(folder: Path, length: int) -> int:
    """Write a tokenizer whose pieces are letters, as T5Gemma's, and return how many tokens it has."""
    from transformers import GemmaTokenizer

    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *_LETTERS]
    tokenizer = GemmaTokenizer(vocab={w: n for n, w in enumerate(words)}, merges=[], model_max_length=length)
    tokenizer.save_pretrained(folder)
    return len(words)


def write_stable_audio_3(folder: Path, *, distilled: bool) -> None:
    """Stable Audio 3 as diffusers' conversion writes it: latents of 4096 samples, and at most 48 s."""
    from diffusers import (
        AutoencoderSAME,
        FlowMatchEulerDiscreteScheduler,
        StableAudio3DiTModel,
        StableAudio3DurationEmbedder,
    )
    from transformers import T5GemmaConfig, T5GemmaEncoderModel

    stack = {
        "vocab_size": gemma_tokenizer(folder / "tokenizer", 64),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "layer_types": ["full_attention", "full_attention"],
    }
    config = T5GemmaConfig(encoder=stack, decoder=stack, is_encoder_decoder=False)
    part(folder, "text_encoder", lambda: T5GemmaEncoderModel(config))
    part(
        folder,
        "duration_embedder",
        lambda: StableAudio3DurationEmbedder(output_dim=16, fourier_dim=16, max_val=48.0),
    )
    part(
        folder,
        "transformer",
        lambda: StableAudio3DiTModel(
            io_channels=4,
            embed_dim=16,
            depth=2,
            num_heads=2,
            cond_token_dim=16,
            global_cond_dim=16,
            local_add_cond_dim=5,
            timestep_features_dim=8,
            ff_mult=2,
            num_memory_tokens=2,
        ),
    )
    part(
        folder,
        "vae",
        lambda: AutoencoderSAME(
            encoder_channels=8,
            encoder_c_mults=(2,),
            encoder_transformer_depths=(2,),
            latent_dim=4,
            dim_heads=8,
            ff_mult=1,
        ),
    )
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, stochastic_sampling=distilled).save_pretrained(
        folder / "scheduler"
    )
    parts = {
        "duration_embedder": ("diffusers", "StableAudio3DurationEmbedder"),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        "text_encoder": ("transformers", "T5GemmaEncoderModel"),
        "tokenizer": ("transformers", "GemmaTokenizer"),
        "transformer": ("diffusers", "StableAudio3DiTModel"),
        "vae": ("diffusers", "AutoencoderSAME"),
    }
    write_index(folder, "StableAudio3Pipeline", parts)


@repository("converted/stable-audio-3-medium")
def write_stable_audio_3_medium(folder: Path) -> None:
    """The distilled one, which puts fresh noise on at every step."""
    write_stable_audio_3(folder, distilled=True)


@repository("converted/stable-audio-3-medium-base")
def write_stable_audio_3_medium_base(folder: Path) -> None:
    """The one before distillation."""
    write_stable_audio_3(folder, distilled=False)
