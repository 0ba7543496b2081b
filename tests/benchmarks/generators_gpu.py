"""What steered generation costs beside diffusers' own pipeline: Stable Audio Open at full size on one GPU.

    python tests/benchmarks/generators_gpu.py            # about two minutes on an H100 or H200
    python tests/benchmarks/generators_gpu.py --quick    # a tiny model on the CPU, to see that it runs

The weights are random: speed does not depend on them. Needed besides PyTorch and transformers: diffusers, torchsde, and
what the core needs to be imported: attrs, av, PyYAML.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "versasound-plugin-stable-audio")]
warnings.simplefilter("ignore")

from versasound_plugin_stable_audio.model import StableAudio  # noqa: E402

from versasound_core.containers import GenerationRequest  # noqa: E402
from versasound_core.context import RunContext  # noqa: E402
from versasound_core.steering import Settings, TextToSound  # noqa: E402
from versasound_core.weights import Checkpoint  # noqa: E402

SECONDS, GUIDANCE, RATE = 10.0, 7.0, 44100
PROMPTS = ("footsteps on gravel", "a hammer on metal", "rain on a roof", "a dog barking")
_LETTERS = ["▁", *(chr(code) for code in range(33, 127))]


def pipeline(device: torch.device, dtype: torch.dtype, *, quick: bool) -> Any:
    """Build Stable Audio Open 1.0 as its configuration files have it, or a tiny model of the same kind."""
    from diffusers import (
        AutoencoderOobleck,
        CosineDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in _LETTERS)]
    width = 16 if quick else 768
    text = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2}
    if not quick:
        text = {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12}
    tiny_transformer = {
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
    tiny_vae = {
        "encoder_hidden_size": 8,
        "channel_multiples": [1, 1, 1, 1, 1],
        "decoder_channels": 2,
        "decoder_input_channels": 4,
    }
    torch.manual_seed(0)
    with torch.device(device):
        parts = {
            "vae": AutoencoderOobleck(**(tiny_vae if quick else {})),
            "text_encoder": T5EncoderModel(T5Config(vocab_size=32128, **text)),
            "projection_model": StableAudioProjectionModel(width, width, min_value=0, max_value=512),
            "transformer": StableAudioDiTModel(**(tiny_transformer if quick else {})),
        }
    with torch.no_grad():
        parts["transformer"].proj_out.weight.mul_(0.1)  # far from what overflows in half precision
    for model in parts.values():
        model.to(device, dtype).eval()
    pipe = StableAudioPipeline(
        **parts,
        tokenizer=T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=128),
        scheduler=CosineDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction"),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return seconds and result."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    made = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, made


class Bench:
    """The library's pipeline, and ours around the very same one.

    Args:
        pipe: diffusers' pipeline.
        ctx: Where it runs.
        steps: Of the sampler.
        folder: An empty one.
    """

    def __init__(self, pipe: Any, ctx: RunContext, steps: int, folder: Path) -> None:
        self.pipe, self.ctx, self.steps, self.folder = pipe, ctx, steps, folder
        (folder / "model_index.json").write_text("{}")

    def generator(self, *, batch_size: int, is_compiled: bool) -> TextToSound:
        """Stand the pipeline behind the plugin's own model, in the plugin's own way from a request to a sound."""
        wanted = Checkpoint(
            role="generator", backend="stable_audio", variant="random", repository="a/b", size_gb=0, licence="MIT"
        )
        settings = Settings(words=False, timing="none", timing_strength=0.0, adapter=None, batch_size=batch_size)
        return TextToSound(wanted, self.folder, settings, lambda *_: StableAudio(self.pipe, is_compiled=is_compiled))

    def request(self, number: int, steps: int | None = None) -> GenerationRequest:
        """Return what is asked for one clip."""
        return GenerationRequest(
            duration_s=SECONDS,
            prompt=PROMPTS[number % len(PROMPTS)],
            seed=number,
            sample_rate=RATE,
            num_inference_steps=steps or self.steps,
            guidance_scale=GUIDANCE,
        )

    def raw(self, number: int, output_type: str = "pt") -> torch.Tensor:
        """Return what the library makes of it."""
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
        device, single = self.ctx.torch_device, self.generator(batch_size=1, is_compiled=False)

        def ours(number: int) -> torch.Tensor:
            return single.generate(None, self.request(number), self.ctx).waveform

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

    def folder_of_clips(self, clips: int, batch: int, alone: list[torch.Tensor]) -> None:
        """Time many clips made together, compiled, and compare the first ones with those made alone."""
        device, together = self.ctx.torch_device, self.generator(batch_size=batch, is_compiled=True)
        first = [(None, self.request(number, steps=2)) for number in range(batch)]
        seconds, _ = timed(lambda: together.generate_all(first, self.ctx), device)
        print(f"compiled in {seconds:.1f} s", flush=True)
        asked = [(None, self.request(number)) for number in range(clips)]
        seconds, made = timed(lambda: together.generate_all(asked, self.ctx), device)
        print(f"ours, {clips} clips by {batch}, compiled: {seconds / clips:.3f} s a clip")
        for number, (one, expected) in enumerate(zip(made, alone, strict=False)):
            change = float((one.waveform - expected).square().mean().sqrt() / expected.square().mean().sqrt())
            print(f"clip {number} of them is {change:.1e} (relative RMS) from the raw pipeline's")


def main() -> None:
    """Print all figures of one run."""
    begun = time.perf_counter()
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="a tiny model on the CPU")
    arguments.add_argument("--batch", type=int, default=16, help="clips made at a time")
    arguments.add_argument("--clips", type=int, default=32, help="clips in the folder")
    arguments.add_argument("--repeats", type=int, default=3, help="single clips timed")
    args = arguments.parse_args()
    if args.quick:
        torch.compile = functools.partial(torch.compile, backend="eager")
        args.batch, args.clips, args.repeats = 2, 3, 1
    device, dtype = (torch.device("cpu"), torch.float32) if args.quick else (torch.device("cuda"), torch.float16)
    ctx = RunContext(device=str(device), precision="fp32" if args.quick else "fp16")
    steps = 2 if args.quick else 50
    where = "CPU, tiny model" if args.quick else torch.cuda.get_device_name()
    print(f"{where}, PyTorch {torch.__version__}, {ctx.precision}, {steps} steps, guidance {GUIDANCE}, {SECONDS} s")
    pipe = pipeline(device, dtype, quick=args.quick)
    models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    count = sum(weight.numel() for model in models for weight in model.parameters())
    print(f"built {count / 1e6:.0f} M parameters after {time.perf_counter() - begun:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pipe, ctx, steps, Path(folder))
        alone = bench.one_by_one(args.repeats)
        bench.folder_of_clips(args.clips, args.batch, alone)
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
