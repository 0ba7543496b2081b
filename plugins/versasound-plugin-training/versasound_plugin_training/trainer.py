"""Teaches a frozen generator to follow the picture, or an aligner to tell how far a sound is off it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.config import AudioGeneratorConfig, Config, VisualEncoderConfig
from versasound_core.containers import AudioData
from versasound_core.context import CancelToken, RunContext
from versasound_core.device import place_for, resolve_device
from versasound_core.errors import Cancelled, DeviceError, InvalidInputError, MediaError
from versasound_core.log import get_logger
from versasound_core.recipe import Recipe

from . import checkpoint
from .config import TrainingConfig
from .crops import Crops, Order, batches
from .dataset import VideoAudioDataset
from .features import Features
from .learning import Learning
from .lessons import adapter_lesson, aligner_lesson, projection_lesson, unprojected
from .metrics import Metrics
from .objectives.load import load_objective, variant_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType

    from versasound_core.context import Progress

    from .lessons import Lesson

_FITTED_ON = 64
_log = get_logger(__name__)


class VersaSoundTrainer:
    """Trains an adapter from an encoder to a generator, both frozen, with the generator's own loss; or an aligner.

    The encoder's projection can be trained together with the adapter.

    Args:
        visual_encoder_config: Which encoder, as in the configuration's section `visual_encoder`; None or `...` for the
            defaults.
        audio_generator_config: Which generator, as in the section `audio_generator`; None or `...` for the defaults. An
            aligner has none.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`; of several processes (`accelerate launch`) each takes its own.
            Where there is no GPU, the CPU takes its place, with a `DeviceFallbackWarning`.
        training: All other settings, a `TrainingConfig` or a mapping of what differs from its defaults.
        progress: Called with a fraction in [0, 1] and a few words.
        cancel: Set it to stop after the step that is under way; a checkpoint is written first.

    Raises:
        InvalidInputError: If a setting is not allowed or the generator cannot be taught.
        DeviceError: If this machine has a GPU and not that one.
        PluginError: If encoder or generator are not installed.
    """

    def __init__(  # noqa: PLR0913  (published with three, the rest have defaults)
        self,
        visual_encoder_config: VisualEncoderConfig | Mapping[str, Any] | EllipsisType | None = None,
        audio_generator_config: AudioGeneratorConfig | Mapping[str, Any] | EllipsisType | None = None,
        device: str | torch.device = "auto",
        *,
        training: TrainingConfig | Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        core = Config(
            visual_encoder=VisualEncoderConfig.from_mapping(_given(visual_encoder_config)),
            audio_generator=AudioGeneratorConfig.from_mapping(_given(audio_generator_config)),
        )
        core.temporal_aligner.sync_method = core.audio_refiner.backend = "none"
        self.recipe = Recipe.from_config(core)
        self.training = TrainingConfig.from_mapping(training)
        self.variant = ""
        self.encoder_options, self.projected_dim = self.recipe.encoder_options, 0
        if self.training.train == "projection":
            self.encoder_options, self.projected_dim = unprojected(self.recipe.encoder, self.encoder_options)
        if self.training.train != "aligner":
            self.variant = variant_of(self.recipe.generator, self.recipe.generator_options)
        if self.training.width % self.training.num_heads or self.training.num_heads % 2:
            raise InvalidInputError(
                f"training.width={self.training.width} must be a multiple of training.num_heads="
                f"{self.training.num_heads}, which must be even."
            )
        try:
            self.device = resolve_device(device)
        except DeviceError:  # a program that names a GPU runs without one too, slowly
            self.device = resolve_device(place_for(device))
        if self.device.type == "cuda" and "LOCAL_RANK" in os.environ:  # as Accelerate gives them out
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        self.ctx = RunContext(
            device=str(self.device), progress=progress, cancel=CancelToken() if cancel is None else cancel
        )

    def train(
        self,
        dataset: VideoAudioDataset,
        num_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        *,
        output_dir: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Train, or go on where an earlier run in the same folder stopped.

        Args:
            dataset: What to train on.
            num_epochs: As `TrainingConfig.num_epochs`, and so the next three, whose values they replace.
            batch_size: Crops computed at a time in each process.
            learning_rate: At its highest.
            output_dir: Folder for everything that is written.

        Returns:
            The folder of what was trained, in `output_dir`: `adapter`, `projection` or `aligner`.

        Raises:
            InvalidInputError: If the data set is none, or there is a checkpoint of another run.
            ModelLoadError: If weights are missing.
            MediaError: If nothing can be read or the folder cannot be written.
            DeviceError: If memory runs out, or the loss is no number any more.
            Cancelled: If the user asked to stop; the next call goes on from there.
        """
        if not isinstance(dataset, VideoAudioDataset):
            raise InvalidInputError(f"dataset must be a VideoAudioDataset, not {type(dataset).__name__}.")
        given: dict[str, Any] = {
            "num_epochs": num_epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "output_dir": None if output_dir is None else str(output_dir),
        }
        settings = attrs.evolve(self.training, **{name: value for name, value in given.items() if value is not None})
        out = _writable(settings.output_dir)
        features = Features(self.recipe.encoder, self.encoder_options, "fp32")
        dataset = dataset.restricted(features.compute(dataset.pairs, self.ctx.part(0, 0.1)))
        lesson = self._lesson(settings, dataset, features)
        try:
            run = _Run(self, settings, dataset, features, lesson, out)
            return run.go()
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(
                f"{self.device} ran out of memory.",
                "Set a smaller batch_size with more gradient_accumulation_steps, or gradient_checkpointing: true.",
            ) from error

    def _lesson(self, settings: TrainingConfig, dataset: VideoAudioDataset, features: Features) -> Lesson:
        """Load what is taught, with weights that nothing has trained."""
        name, first = self.recipe.encoder, features.of(dataset.pairs[0].video)
        if settings.train == "aligner":
            return aligner_lesson(first, name, dataset.duration_s, settings)
        self.ctx.report(0.1, f"loading {self.recipe.generator}")
        objective = load_objective(self.recipe.generator, self.recipe.generator_options)
        if dataset.duration_s > objective.longest_s + 1e-6:
            raise InvalidInputError(
                f"crops of {dataset.duration_s:g} s are longer than the {objective.longest_s:.2f} s that "
                f"{self.recipe.generator} makes at once.",
                "Choose a smaller duration_s.",
            )
        generator = self.recipe.generator, self.variant
        if settings.train == "projection":
            return projection_lesson(first, name, generator, objective, settings, self.projected_dim)
        return adapter_lesson(first, name, generator, objective, settings)


class _Run:
    """One call of `train`."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        trainer: VersaSoundTrainer,
        settings: TrainingConfig,
        dataset: VideoAudioDataset,
        features: Features,
        lesson: Lesson,
        out: Path,
    ) -> None:
        self.ctx, self.settings, self.out = trainer.ctx, settings, out
        self.dataset, self.lesson = dataset, lesson
        self.crops = Crops(dataset, features, lesson.sample_rate, lesson.channels)
        lesson.fit_scale([self.crops.item((0, index, 0)) for index in range(min(_FITTED_ON, len(dataset)))])
        self.learning = Learning(lesson, settings, trainer.device)
        self.order = Order(
            count=len(dataset),
            batch_size=settings.batch_size,
            accumulated=settings.gradient_accumulation_steps,
            processes=self.learning.processes,
            rank=self.learning.rank,
            epochs=settings.num_epochs,
            seed=settings.seed,
        )
        self.plan = {
            "crops": len(dataset),
            "duration_s": dataset.duration_s,
            "step_size": self.order.step_size,
            **{
                name: settings[name]
                for name in ("learning_rate", "schedule", "warmup_steps", "weight_decay", "ema_decay", "seed")
            },
            **({"num_epochs": settings.num_epochs} if settings.schedule == "cosine" else {}),
        }

    def go(self) -> Path:
        """Take all steps that are left, and write the adapter."""
        learning, settings, steps = self.learning, self.settings, self.order.steps
        folder = self.out / "checkpoints"
        progress = learning.progress
        for path in reversed(checkpoint.there(folder)[-1:]):
            checkpoint.restore(path, progress, self.lesson, self.plan)
            _log.info("going on after step %d of %d", progress.step, steps)
        begun, loss, saved = time.monotonic(), float("nan"), progress.step
        left = batches(self.crops, self.order, progress.step, settings.workers)
        metrics = Metrics(self.out, progress.step) if learning.is_first else None
        try:
            while progress.step < steps:
                parts = [next(left) for _ in range(self.order.accumulated)]
                rate = learning.rate_at(progress.step, steps)
                loss, norm = learning.step(parts, rate)
                epoch = (progress.step - 1) // self.order.steps_per_epoch
                if metrics is not None:
                    seconds = round(time.monotonic() - begun, 3)
                    metrics.add(
                        step=progress.step, epoch=epoch, loss=loss, learning_rate=rate, grad_norm=norm, seconds=seconds
                    )
                if progress.step % settings.log_every_steps == 0:
                    _log.info("step %d of %d, epoch %d: loss %.4f", progress.step, steps, epoch, loss)
                if progress.step % settings.save_every_steps == 0:
                    saved = self.save(folder)
                if settings.sample_every_steps and progress.step % settings.sample_every_steps == 0:
                    self.listen(parts[0].sound.shape[-1] / self.lesson.sample_rate)
                self.ctx.report(0.1 + 0.9 * progress.step / steps, f"step {progress.step} of {steps}, loss {loss:.4f}")
        except Cancelled as error:
            if saved != progress.step:
                self.save(folder)
            message = f"Cancelled after step {progress.step} of {steps}."
            raise Cancelled(message, "The same command goes on from there.") from error
        finally:
            left.close()
            if metrics is not None:
                metrics.__exit__()
        if saved != progress.step or not checkpoint.there(folder):
            self.save(folder)
        about = {
            "steps": progress.step,
            "videos": len(self.dataset.pairs),
            "crop_s": self.dataset.duration_s,
            "learning_rate": settings.learning_rate,
            "step_size": self.order.step_size,
            "seed": settings.seed,
        }
        target = self.out / self.lesson.kind
        if learning.is_first:
            self.lesson.save(learning.mean_network(), target, about)
        learning.wait()
        return target

    def save(self, folder: Path) -> int:
        """Write a checkpoint and return its step."""
        progress = self.learning.progress
        if self.learning.is_first:
            checkpoint.save(folder, progress, self.lesson, self.plan, self.settings.keep_checkpoints)
        self.learning.wait()
        return progress.step

    def listen(self, seconds: float) -> None:
        """Write what is heard of the first crops as things stand."""
        from versasound_core.media.audio import save_audio

        if not self.learning.is_first:
            return
        count = min(2, len(self.dataset))
        items = [self.crops.item((0, index, index)) for index in range(count)]
        made = self.learning.sample(items, seconds)
        if made is None:
            return
        folder = self.out / "samples"
        folder.mkdir(exist_ok=True)
        for index, sound in enumerate(made):
            peak = sound.abs().max().clamp_min(1.0)
            audio = AudioData(sound[None].float().cpu() / peak, self.lesson.sample_rate)
            name = self.dataset.pairs[self.dataset.place(index, 0)[0]].video.stem
            save_audio(audio, folder / f"step_{self.learning.progress.step:08d}_{name}.wav")


def _given(config: Any) -> Any:  # noqa: ANN401
    return None if config is ... else config


def _writable(given: str) -> Path:
    """Make a folder and see that it can be written to."""
    out = Path(given).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".versasound-probe"
        probe.touch()
        probe.unlink(missing_ok=True)  # of several processes one is first
    except OSError as error:
        raise MediaError(
            f"output_dir {given} cannot be written: {error.strerror}.", "Name another folder, or check its rights."
        ) from error
    return out
