"""One optimiser step after another, in one process or many, in any precision."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.errors import DeviceError

from .checkpoint import Progress
from .objectives.draw import Draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import TrainingConfig
    from .crops import Batch, Item
    from .lessons import Lesson

_SEEDS = 2**63


class Learning:
    """The network that learns, and what makes it learn.

    Args:
        lesson: The network and its loss.
        settings: See `TrainingConfig`.
        device: Where one process computes; of several, each takes the device that Accelerate gives it.
    """

    def __init__(self, lesson: Lesson, settings: TrainingConfig, device: torch.device) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        self.settings, self.lesson, network = settings, lesson, lesson.network
        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        mixed = {"fp32": "no", "auto": _best(device)}.get(settings.precision, settings.precision)
        if mixed == "fp16" and device.type == "cpu":
            raise DeviceError("a CPU does not train in fp16.", "Set precision to auto, fp32 or bf16.")
        self.accelerator = Accelerator(
            mixed_precision=mixed, cpu=device.type == "cpu", device_placement=False, log_with=None
        )
        self.processes, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.is_first = self.accelerator.is_main_process
        self.device = device if self.processes == 1 else self.accelerator.device
        for module in lesson.frozen.values():
            module.requires_grad_(False).eval().to(self.device)
        if settings.gradient_checkpointing:
            lesson.checkpoint_gradients()
        network.to(self.device).train()
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.network, self.optimiser = self.accelerator.prepare(network, optimiser)
        mean = {name: value.detach().clone() for name, value in network.named_parameters()}
        self.progress = Progress(network, mean, optimiser, 0, self.accelerator.scaler)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step: a linear rise, then a half cosine down to 0, or none."""
        settings = self.settings
        warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
        if settings.schedule == "constant":
            return settings.learning_rate * warm
        return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))

    def step(self, parts: Sequence[Batch], rate: float) -> tuple[float, float]:
        """Take one step on batches whose gradients are added up; return loss and length of the gradient.

        Raises:
            DeviceError: If the loss is no number any more.
        """
        for group in self.progress.optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(parts):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.network):
                loss = self.loss(batch) / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        mean = float(self.accelerator.reduce(total, "mean"))
        if not math.isfinite(mean):
            raise DeviceError(
                f"the loss is {mean} at step {self.progress.step + 1}.",
                "Lower the learning_rate, or set precision to bf16 or fp32. The last checkpoint is as it was.",
            )
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        decay = min(self.settings.ema_decay, self.progress.step / (self.progress.step + 9))
        with torch.no_grad():
            for name, value in self.progress.network.named_parameters():
                self.progress.mean[name].lerp_(value, 1 - decay)
        return mean, float(norm)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch. An item draws by its place in the step, whichever process it is in."""
        draw = Draw([_generator(self.settings.seed, self.progress.step, place) for place in batch.places], self.device)
        encoded = self.lesson.encode(batch, self.device)
        batch = attrs.evolve(batch, seen=batch.seen.to(self.device), times_s=batch.times_s.to(self.device))
        with self.accelerator.autocast():
            return self.lesson.loss(self.network, batch, encoded, draw)

    @torch.no_grad()
    def sample(self, items: Sequence[Item], seconds: float) -> torch.Tensor | None:
        """Return what is to be heard of crops, `[B, C, T]`, always from the same noise; None if nothing is."""
        draw = Draw([_generator(self.settings.seed, 0, k) for k in range(len(items))], self.device)
        return self.lesson.sample(self.mean_network(), items, seconds, draw)

    def mean_network(self) -> torch.nn.Module:
        """Return a copy of the network with the mean weights."""
        import copy

        made = copy.deepcopy(self.progress.network)
        made.load_state_dict({**made.state_dict(), **self.progress.mean})
        return made.eval()

    def wait(self) -> None:
        """Wait for the other processes."""
        self.accelerator.wait_for_everyone()


def _generator(seed: int, step: int, place: int) -> torch.Generator:
    import numpy as np

    mixed = int(np.random.SeedSequence([seed, step, place]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed % _SEEDS)


def _best(device: torch.device) -> Any:  # noqa: ANN401
    if device.type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
