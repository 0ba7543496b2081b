"""Stable Audio Open at full size beside diffusers' own pipeline: equality, speed of one and of many, memory."""

from __future__ import annotations

import gc
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from common import PROMPTS, Place, apart, generator, peak, request, said_of, t5, t5_tokenizer, timed, waits

SECONDS, GUIDANCE, RATE = 10.0, 7.0, 44100
_TINY_TRANSFORMER = {
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "num_key_value_attention_heads": 1,
    "cross_attention_dim": 16,
    "time_proj_dim": 8,
    "global_states_input_dim": 32,
    "cross_attention_input_dim": 16,
}
_TINY_VAE = {
    "encoder_hidden_size": 8,
    "channel_multiples": [1, 1, 1, 1, 1],
    "decoder_channels": 2,
    "decoder_input_channels": 4,
}


def pipeline(place: Place) -> Any:
    """Build Stable Audio Open 1.0 as its configuration files have it, or a tiny model of the same kind."""
    from diffusers import (
        AutoencoderOobleck,
        CosineDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )

    quick = place.quick
    width = 16 if quick else 768
    torch.manual_seed(0)
    with torch.device(place.device):
        parts = {
            "vae": AutoencoderOobleck(**(_TINY_VAE if quick else {})),
            "text_encoder": t5(16, 32, 1, 2) if quick else t5(768, 3072, 12, 12),
            "projection_model": StableAudioProjectionModel(width, width, min_value=0, max_value=512),
            "transformer": StableAudioDiTModel(**(_TINY_TRANSFORMER if quick else {})),
        }
    with torch.no_grad():
        parts["transformer"].proj_out.weight.mul_(0.1)  # far from what overflows in half precision
    for model in parts.values():
        model.to(place.device, place.dtype).eval()
    pipe = StableAudioPipeline(
        **parts,
        tokenizer=t5_tokenizer(128),
        scheduler=CosineDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction"),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Bench:
    """The library's pipeline, and ours around the very same one.

    Args:
        pipe: diffusers' pipeline.
        place: Where it is.
        steps: Of the sampler.
    """

    def __init__(self, pipe: Any, place: Place, steps: int) -> None:
        self.pipe, self.place, self.steps = pipe, place, steps

    def generator(self, batch_size: int, *, is_compiled: bool = False) -> Any:
        """Return ours."""
        from versasound_plugin_stable_audio.model import StableAudio

        return generator(StableAudio(self.pipe, is_compiled=is_compiled), batch_size)

    def asked(self, count: int, steps: int | None = None) -> list[Any]:
        """Return what is asked for many clips."""
        return [
            (None, request(PROMPTS[k % len(PROMPTS)], k, SECONDS, RATE, GUIDANCE, steps or self.steps))
            for k in range(count)
        ]

    def raw(self, number: int, output_type: str = "pt") -> torch.Tensor:
        """Return what the library makes of one of them."""
        sound: torch.Tensor = self.pipe(
            PROMPTS[number % len(PROMPTS)],
            audio_end_in_s=SECONDS,
            num_inference_steps=self.steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(number),
            output_type=output_type,
        ).audios
        return sound

    def one_by_one(self, repeats: int) -> list[torch.Tensor]:
        """Time single clips in turn, compare them, and return the library's."""
        device, single, asked = self.place.device, self.generator(1), self.asked(repeats)

        def ours(number: int) -> torch.Tensor:
            made: torch.Tensor = single.generate(*asked[number], self.place.ctx).waveform
            return made

        self.raw(0), ours(0)  # to warm up
        pairs = [(timed(lambda k=k: self.raw(k), device), timed(lambda k=k: ours(k), device)) for k in range(repeats)]
        theirs, mine = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
        print(f"raw pipeline, one by one:     {theirs:.3f} s a clip")
        print(f"ours, one by one:             {mine:.3f} s a clip, {100 * (mine / theirs - 1):+.1f} %", flush=True)
        worst = max(float((a.float().cpu() - b).abs().max()) for (_, a), (_, b) in pairs)
        scale = max(float(a.float().abs().max()) for (_, a), _ in pairs)
        kept: list[torch.Tensor] = []
        decode = self.pipe.vae.decode
        self.pipe.vae.decode = lambda z: (kept.append(z), decode(z))[1]
        ours(0)
        self.pipe.vae.decode = decode
        same = torch.equal(kept[0], self.raw(0, "latent")[..., : kept[0].shape[-1]])
        print(f"latents equal bit for bit: {same}; samples differ by at most {worst:.2e} of a peak of {scale:.2e}")
        return [made.float().cpu() for (_, made), _ in pairs]

    def together(self, clips: int, batch: int, alone: list[torch.Tensor]) -> None:
        """Time many clips made together, compiled and not, and compare the first ones with those made alone."""
        device, ctx = self.place.device, self.place.ctx
        plain, compiled = self.generator(batch), self.generator(batch, is_compiled=True)
        plain.generate_all(self.asked(batch, 2), ctx)  # to warm up
        seconds, eager = timed(lambda: plain.generate_all(self.asked(batch), ctx), device)
        print(f"ours, {batch} clips by {batch}:         {seconds / batch:.3f} s a clip", flush=True)
        if device.type == "cuda":
            few, many = (waits(lambda n=n: plain.generate_all(self.asked(batch, n), ctx)) for n in (4, 8))
            print(f"the program waits for the GPU {few} times in 4 steps of {batch} clips, {many} times in 8")
        seconds, _ = timed(lambda: compiled.generate_all(self.asked(batch, 2), ctx), device)
        print(f"compiled in {seconds:.1f} s", flush=True)
        seconds, made = timed(lambda: compiled.generate_all(self.asked(clips), ctx), device)
        print(f"ours, {clips} clips by {batch}, compiled: {seconds / clips:.3f} s a clip")
        for number, expected in enumerate(alone):
            ours, uncompiled = made[number].waveform, eager[number].waveform
            print(f"clip {number} of them, relative RMS: {apart(ours, uncompiled):.1e} from uncompiled", end=", ")
            print(f"which is {apart(uncompiled, expected):.1e} from the raw pipeline's", flush=True)


def offload(folder: Path, place: Place) -> None:
    """Make a clip with the plugin's own generator, with and without parts that wait in the CPU's memory."""
    from versasound_plugin_stable_audio import StableAudioGenerator

    asked = request(PROMPTS[0], 0, SECONDS, RATE, GUIDANCE, 2 if place.quick else 10)
    made = []
    for is_offloaded in (False, True):
        ours = StableAudioGenerator(
            variant="open-1.0",
            weights=folder,
            words=False,
            timing="none",
            timing_strength=0.0,
            adapter=None,
            batch_size=1,
            compile=False,
            cpu_offload=is_offloaded,
        )
        most, sound = peak(lambda ours=ours: ours.generate(None, asked, place.ctx), place.device)
        seconds, _ = timed(lambda ours=ours: ours.generate(None, asked, place.ctx), place.device)
        print(f"cpu_offload={is_offloaded}: peak {most:.2f} GiB, {seconds:.2f} s for {asked.num_inference_steps} steps")
        made.append(sound.waveform)
        del ours
        gc.collect()
    print(f"equal sample for sample with and without: {torch.equal(*made)}", flush=True)


def main(places: list[Place]) -> None:
    """Print all figures, in the half precision of the speed that is asked for."""
    place = places[-1]
    steps, batch, clips, repeats = (2, 2, 3, 1) if place.quick else (50, 16, 32, 3)
    pipe = pipeline(place)
    models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    print(f"Stable Audio Open, {said_of(place, *models)}, {steps} steps, guidance {GUIDANCE}, {SECONDS} s")
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipe.to("cpu")
        offload(Path(folder), place)
    pipe.to(place.device)
    bench = Bench(pipe, place, steps)
    bench.together(clips, batch, bench.one_by_one(repeats))
    if place.device.type == "cuda":
        print(f"peak memory with {batch} at a time {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
