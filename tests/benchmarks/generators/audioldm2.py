"""AudioLDM 2 as the configuration files of `cvssp/audioldm2` have it, against diffusers' own pipeline."""

from __future__ import annotations

from typing import Any

import torch
from common import Place, compare, drawn, generator, request, roberta_tokenizer, said_of, t5, t5_tokenizer

SECONDS, RATE, GUIDANCE = 5.0, 16000, 3.5
_TINY_CLAP = {
    "text_config": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "audio_config": {
        "spec_size": 64,
        "hidden_size": 32,
        "window_size": 4,
        "num_mel_bins": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [1, 1],
        "num_hidden_layers": 2,
    },
}
_NOISE = {
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def pipeline(place: Place) -> Any:
    """Build it; the language model under the name that can still be generated from."""
    from diffusers import (
        AudioLDM2Pipeline,
        AudioLDM2ProjectionModel,
        AudioLDM2UNet2DConditionModel,
        AutoencoderKL,
        DDIMScheduler,
    )
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        GPT2Config,
        GPT2LMHeadModel,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )

    quick = place.quick
    wide, read = (24, 32) if quick else (768, 1024)
    blocks = (8, 16) if quick else (128, 256, 384, 640)
    shallow, deep = ("DownBlock2D", "UpBlock2D"), ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
    kinds = [shallow, *[deep] * (len(blocks) - 1)]
    gpt2 = GPT2Config(n_embd=wide, n_layer=1 if quick else 12, n_head=2 if quick else 12)
    gpt2.max_new_tokens = 8
    torch.manual_seed(0)
    with torch.device(place.device):
        parts = {
            "text_encoder": ClapModel(ClapConfig(projection_dim=512, **(_TINY_CLAP if quick else {}))),
            "text_encoder_2": t5(32, 32, 1, 2) if quick else t5(1024, 2816, 24, 16, feed_forward_proj="gated-gelu"),
            "language_model": GPT2LMHeadModel(gpt2),
            "projection_model": AudioLDM2ProjectionModel(512, read, wide),
            "unet": AudioLDM2UNet2DConditionModel(
                sample_size=256,
                in_channels=8,
                out_channels=8,
                block_out_channels=blocks,
                layers_per_block=1 if quick else 2,
                norm_num_groups=8 if quick else 32,
                attention_head_dim=[max(1, width // 32) for width in blocks],
                down_block_types=[down for down, _ in kinds],
                up_block_types=[up for _, up in reversed(kinds)],
                cross_attention_dim=[[None, wide, read]] * len(blocks),
            ),
            "vae": AutoencoderKL(
                in_channels=1,
                out_channels=1,
                latent_channels=8,
                block_out_channels=(8, 8, 8) if quick else (128, 256, 512),
                norm_num_groups=8 if quick else 32,
                scaling_factor=0.41,
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                layers_per_block=1 if quick else 2,
            ),
            "vocoder": SpeechT5HifiGan(
                SpeechT5HifiGanConfig(
                    model_in_dim=64,
                    sampling_rate=RATE,
                    upsample_initial_channel=32 if quick else 1024,
                    upsample_rates=[5, 4, 2, 2, 2],
                    upsample_kernel_sizes=[16, 16, 8, 4, 4],
                    normalize_before=False,
                )
            ),
        }
    drawn(parts["vocoder"])
    for model in parts.values():
        model.eval()
    pipe = AudioLDM2Pipeline(
        **parts,
        tokenizer=roberta_tokenizer(512),
        tokenizer_2=t5_tokenizer(512),
        feature_extractor=ClapFeatureExtractor(),
        scheduler=DDIMScheduler(**_NOISE),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main(places: list[Place]) -> None:
    """Compare in every precision, with the same weights."""
    from versasound_plugin_audioldm2.model import AudioLDM2

    pipe = pipeline(places[0])
    models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    steps = 2 if places[0].quick else 20
    for place in places:
        for part in models:
            part.to(place.dtype)
        sound = generator(AudioLDM2(pipe, 10.24))

        def raw(prompt: str, seed: int) -> torch.Tensor:
            made: torch.Tensor = pipe(
                prompt,
                audio_length_in_s=SECONDS,
                num_inference_steps=steps,
                guidance_scale=GUIDANCE,
                generator=torch.Generator().manual_seed(seed),
                output_type="pt",
            ).audios
            return made

        def ours(prompt: str, seed: int, sound: Any = sound, place: Place = place) -> torch.Tensor:
            asked = request(prompt, seed, SECONDS, RATE, GUIDANCE, steps)
            return sound.generate(None, asked, place.ctx).waveform[0]

        name = f"AudioLDM 2, {said_of(place, *models)}, {steps} steps, {SECONDS} s"
        compare(name, raw, ours, place.device)
