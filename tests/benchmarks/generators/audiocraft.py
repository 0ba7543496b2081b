"""MusicGen and AudioGen at their published sizes, against transformers' own `generate`."""

from __future__ import annotations

from typing import Any

import torch
from common import Place, compare, drawn, generator, request, said_of, t5, t5_tokenizer

SECONDS, GUIDANCE, FRAMES_PER_S, BINS = 1.0, 3.0, 50, 2048
# Of a model: width and layers, its T5's sizes, its codec's rate, strides and ways. A head is 64 wide.
MODELS: dict[str, tuple[tuple[int, int], tuple[int, int, int, int], int, list[int], dict[str, Any]]] = {
    "MusicGen small": ((1024, 24), (768, 3072, 12, 12), 32000, [8, 5, 4, 4], {}),
    "MusicGen medium": ((1536, 48), (768, 3072, 12, 12), 32000, [8, 5, 4, 4], {}),
    "AudioGen medium": (
        (1536, 48),
        (1024, 4096, 24, 16),
        16000,
        [8, 5, 4, 2],
        {"use_conv_shortcut": False, "pad_mode": "constant"},
    ),
}


def model(name: str, place: Place) -> Any:
    """Build it."""
    from transformers import EncodecConfig, GenerationConfig, MusicgenConfig, MusicgenForConditionalGeneration

    (width, layers), read, rate, strides, ways = MODELS[name]
    if place.quick:
        width, layers, read = 128, 2, (32, 32, 1, 2)
    codec = EncodecConfig(
        sampling_rate=rate,
        upsampling_ratios=strides,
        target_bandwidths=[2.2],
        num_filters=4 if place.quick else 64,
        hidden_size=128,
        codebook_size=BINS,
        codebook_dim=128,
        use_causal_conv=False,
        **ways,
    )
    decoder = {
        "vocab_size": BINS,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "ffn_dim": 4 * width,
        "pad_token_id": BINS,
        "bos_token_id": BINS,
    }
    torch.manual_seed(0)
    with torch.device(place.device):
        text = t5(*read)
        config = MusicgenConfig(text_encoder=text.config.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder)
        made = MusicgenForConditionalGeneration(config).eval()
    with torch.no_grad():
        for part in (made.decoder, made.enc_to_dec_proj, made.audio_encoder):
            drawn(part)
        for head in made.decoder.lm_heads:
            head.weight.mul_(3)
    tokens = {"pad_token_id": BINS, "bos_token_id": BINS, "decoder_start_token_id": BINS}
    made.generation_config = GenerationConfig(do_sample=True, guidance_scale=GUIDANCE, max_length=1500, **tokens)
    return made


def main(places: list[Place]) -> None:
    """Compare every model in every precision, each with the same weights."""
    for name in MODELS:
        built, tokenizer = model(name, places[0]), t5_tokenizer(512)
        for place in places:
            _compare(name, built, tokenizer, place)
        del built
        torch.cuda.empty_cache()


def _compare(name: str, built: Any, tokenizer: Any, place: Place) -> None:
    """Half precision is the language model's alone, as the plugin has it; `generate` is told to cast what it reads."""
    from versasound_plugin_audiocraft.model import Musicgen
    from versasound_plugin_audiocraft.sampling import Sampling

    built.decoder.to(place.dtype)
    cast = built.enc_to_dec_proj.register_forward_hook(lambda _m, _given, made: made.to(place.dtype))
    seconds = 0.5 if place.quick else SECONDS
    sound = generator(Musicgen(built, tokenizer, Sampling()))

    def raw(prompt: str, seed: int) -> torch.Tensor:
        words = tokenizer([prompt], return_tensors="pt").to(place.device)
        torch.manual_seed(seed)
        length = round(seconds * FRAMES_PER_S) + 3  # each of the four codebooks is a step behind the one before
        made: torch.Tensor = built.generate(
            **words, do_sample=True, top_k=250, guidance_scale=GUIDANCE, max_new_tokens=length
        )
        return made[0]

    def ours(prompt: str, seed: int) -> torch.Tensor:
        asked = request(prompt, seed, seconds, MODELS[name][2], GUIDANCE)
        return sound.generate(None, asked, place.ctx).waveform[0]

    compare(f"{name}, {said_of(place, built)}, {seconds} s", raw, ours, place.device)
    cast.remove()
