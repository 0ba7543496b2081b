"""What the parts share: where they run, a model behind the plugins' one way to sound, times, memory and comparisons."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), *map(str, (ROOT / "plugins").glob("versasound-plugin-*"))]
warnings.simplefilter("ignore")

from diffusers.utils import logging  # noqa: E402

from versasound_core.containers import GenerationRequest  # noqa: E402
from versasound_core.context import RunContext  # noqa: E402
from versasound_core.steering import Model, Settings, TextToSound  # noqa: E402
from versasound_core.weights import Checkpoint  # noqa: E402

logging.set_verbosity_error()
logging.disable_progress_bar()

PROMPTS = ("footsteps on gravel", "a hammer on metal", "rain on a roof", "a dog barking")
_LETTERS = [chr(code) for code in range(33, 127)]

Make = Callable[[str, int], torch.Tensor]  # of a prompt and a seed


class Place(NamedTuple):
    """Where a part runs, and at which size."""

    device: torch.device
    precision: str
    quick: bool

    @property
    def ctx(self) -> RunContext:
        """The same, as a generator is told."""
        return RunContext(device=str(self.device), precision=self.precision)

    @property
    def dtype(self) -> torch.dtype:
        """The number format."""
        return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self.precision]


def t5(width: int, feed: int, layers: int, heads: int, **more: Any) -> Any:
    """Build the encoder of a T5."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": width, "d_ff": feed, "d_kv": width // heads, "num_layers": layers, "num_heads": heads}
    return T5EncoderModel(T5Config(vocab_size=32128, use_cache=False, **sizes, **more))


def t5_tokenizer(length: int) -> Any:
    """Return a tokenizer whose pieces are letters."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in ["▁", *_LETTERS])]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def roberta_tokenizer(length: int) -> Any:
    """Return a byte-level tokenizer without merges."""
    from transformers import RobertaTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", *_LETTERS, "Ġ", "<mask>"]
    return RobertaTokenizer(vocab={w: n for n, w in enumerate(words)}, merges=[], model_max_length=length)


@torch.no_grad()
def drawn(model: torch.nn.Module) -> None:
    """Give a model weights of a size that lets all of the input reach the output."""
    codebooks = [(name, buffer) for name, buffer in model.named_buffers() if name.endswith(".embed")]
    for name, weight in [*model.named_parameters(), *codebooks]:
        if name.endswith(("weight_g", "original0")) or (name.endswith("weight") and weight.ndim == 1):  # gains
            weight.fill_(1)
        elif name.endswith(".embed") or "embed_tokens" in name:
            weight.normal_()
        else:
            weight.normal_(0, weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1)


def generator(model: Model, batch_size: int = 1) -> TextToSound:
    """Stand a model behind the plugins' own way from a request to a sound, with every way of steering off."""
    folder = Path(tempfile.mkdtemp())
    (folder / "model_index.json").write_text("{}")
    wanted = Checkpoint(role="generator", backend="any", variant="random", repository="a/b", size_gb=0, licence="MIT")
    settings = Settings(words=False, timing="none", timing_strength=0.0, adapter=None, batch_size=batch_size)
    return TextToSound(wanted, folder, settings, lambda *_: model)


def request(prompt: str, seed: int, seconds: float, rate: int, guidance: float, steps: int = 1) -> GenerationRequest:
    """Return what is asked for one clip, at the model's own rate."""
    return GenerationRequest(
        duration_s=seconds,
        prompt=prompt,
        seed=seed,
        sample_rate=rate,
        num_inference_steps=steps,
        guidance_scale=guidance,
    )


def said_of(place: Place, *models: torch.nn.Module) -> str:
    """Describe what was built."""
    count = sum(weight.numel() for model in models for weight in model.parameters())
    return f"{count / 1e6:.0f} M random weights, {place.precision}"


def timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return seconds and result."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    made = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin, made


def peak(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return GiB of GPU memory at the most, beyond what was taken before, and the result."""
    if device.type != "cuda":
        return 0.0, function()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    made = function()
    return (torch.cuda.max_memory_allocated() - before) / 2**30, made


def waits(function: Callable[[], Any]) -> int:
    """Return how often a program waits for the GPU (as PyTorch sees it) while it runs a function."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            function()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in told)


def apart(made: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the RMS of the difference, relative to that of what is expected."""
    made, expected = made.double().cpu(), expected.double().cpu()
    return float((made - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def compare(name: str, raw: Make, ours: Make, device: torch.device) -> None:
    """Print whether both make the same, sample for sample, and how long they take.

    It would say little if the library did not repeat itself, or if nothing came of what was asked for: so that is
    printed as well. Kernels that add up in any order are left out.
    """
    torch.backends.cudnn.deterministic = True
    prompt, other = PROMPTS[:2]
    expected, made = raw(prompt, 3).float().cpu(), ours(prompt, 3)
    theirs, again = timed(lambda: raw(prompt, 3), device)
    mine, _ = timed(lambda: ours(prompt, 3), device)
    made, again = made[..., : expected.shape[-1]], again.float().cpu()[..., : made.shape[-1]]
    expected = expected[..., : made.shape[-1]]
    worst, loud = float((made - expected).abs().max()), float(expected.abs().max())
    print(f"{name}: equal sample for sample: {torch.equal(made, expected)}; at most {worst:.1e} apart of {loud:.1e}")
    changed = [apart(raw(*asked)[..., : made.shape[-1]].float(), expected) for asked in ((other, 3), (prompt, 4))]
    print(f"  the library repeats itself: {torch.equal(again, expected)}", end="; ")
    print(f"another prompt moves it by {changed[0]:.0%}, another seed by {changed[1]:.0%} of its RMS")
    print(f"  raw {theirs:.2f} s, ours {mine:.2f} s, {100 * (mine / theirs - 1):+.1f} %", flush=True)
    torch.backends.cudnn.deterministic = False
