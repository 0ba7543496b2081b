"""What a training run is told: `training` and `dataset` in a configuration file, beside the core's own sections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.config import Config, Section, setting
from versasound_core.errors import InvalidInputError
from versasound_core.yaml_files import read_yaml

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


@attrs.define
class TrainingConfig(Section):
    """What is trained, and how."""

    train: str = setting(
        "adapter",
        "What learns: an adapter for the generator, the encoder's projection with one, or an aligner on the features.",
        choices=("adapter", "projection", "aligner"),
    )
    output_dir: str = setting("versasound_training", "Folder for what is trained, checkpoints, metrics and samples.")
    num_epochs: int = setting(100, "Times that the whole data set is gone through.", min=1)
    batch_size: int = setting(4, "Crops computed at a time, in each process.", min=1)
    learning_rate: float = setting(1e-4, "Of AdamW, at its highest.", min=0)
    gradient_accumulation_steps: int = setting(1, "Batches whose gradients make one step.", min=1)
    schedule: str = setting("cosine", "How the learning rate falls.", choices=("cosine", "constant"))
    warmup_steps: int = setting(100, "Steps in which the learning rate rises.", min=0)
    weight_decay: float = setting(0.01, "Of AdamW.", min=0)
    max_grad_norm: float = setting(1.0, "Longer gradients are shortened to this.", min=0)
    ema_decay: float = setting(0.999, "How slowly the mean of the weights, which is kept, follows them.", min=0, max=1)
    precision: str = setting(
        "auto",
        "Number format; auto is bf16 or fp16 on a GPU, fp32 elsewhere.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    gradient_checkpointing: bool = setting(False, "Compute activations twice to save memory.")
    drop_text: float = setting(0.1, "Share of crops without the words.", min=0, max=1)
    drop_all: float = setting(0.1, "Share of crops with neither words nor tokens, for guidance.", min=0, max=1)
    num_tokens: int = setting(32, "Tokens that the adapter makes of a crop.", min=1)
    width: int = setting(256, "Width of the network.", min=2)
    num_layers: int = setting(2, "Depth of the network.", min=1)
    num_heads: int = setting(4, "Heads of the adapter's attention; the width is a multiple.", min=2)
    max_offset_s: float = setting(1.0, "The largest offset that an aligner learns to tell.", min=0.01, unit="s")
    save_every_steps: int = setting(500, "Steps from one checkpoint to the next.", min=1)
    keep_checkpoints: int = setting(2, "Checkpoints kept.", min=1)
    sample_every_steps: int = setting(1000, "Steps from one set of samples to the next; 0 makes none.", min=0)
    log_every_steps: int = setting(10, "Steps from one line on the terminal to the next.", min=1)
    workers: int = setting(2, "Processes that decode; 0 decodes in this one.", min=0)
    seed: int = setting(0, "The same seed gives the same weights.", min=0)


@attrs.define
class DatasetConfig(Section):
    """What is trained on."""

    video_dir: str = setting("", "Folder with videos.")
    audio_dir: str | None = setting(
        "", "Folder with sounds of the same names; null takes each video's own.", nullable=True
    )
    prompts: str | None = setting("", "CSV file with name and prompt; null says nothing.", nullable=True)
    duration_s: float = setting(4.0, "Length of a crop.", min=0.1, unit="s")
    crops: str = setting("random", "random crops, or a grid of all of them.", choices=("random", "grid"))


@attrs.frozen
class TrainingRun:
    """A whole configuration file.

    Args:
        core: The core's sections: which encoder, which generator, which device.
        training: How it is trained.
        dataset: What it is trained on; paths are relative to the file.
    """

    core: Config
    training: TrainingConfig
    dataset: DatasetConfig


def load_run(path: str | os.PathLike[str]) -> TrainingRun:
    """Read a configuration file for training.

    Raises:
        InvalidInputError: If it is missing or no YAML, or has a key or value that is not allowed; names the file.
    """
    source = Path(path)
    try:
        raw = read_yaml(source)
    except InvalidInputError as error:
        raise InvalidInputError(f"{source}: {error.message}") from error
    if not isinstance(raw, dict):
        raise InvalidInputError(f"{source}: wanted `section: ...` lines, such as dataset and training.")
    try:
        training = TrainingConfig.from_mapping(raw.pop("training", None))
        dataset = DatasetConfig.from_mapping(_beside(raw.pop("dataset", None), source.parent))
        core = Config.from_mapping(raw)
    except InvalidInputError as error:
        raise type(error)(f"{source}: {error.message}", error.hint) from None
    if not dataset.video_dir:
        raise InvalidInputError(f"{source}: dataset.video_dir is missing.", "Name the folder with the videos.")
    return TrainingRun(core, training, dataset)


def _beside(given: Mapping[str, Any] | None, folder: Path) -> object:
    if not isinstance(given, dict):
        return given
    paths = ("video_dir", "audio_dir", "prompts")
    return {key: str(folder / value) if key in paths and value else value for key, value in given.items()}
