"""DINOv2 and DINOv3 behind the face of a backbone.

DINOv2: Learning Robust Visual Features without Supervision (Oquab et al. 2023); DINOv3 (Simeoni et al. 2025).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.vision import Backbone, Preprocess, Seen, SoundTable
from versasound_core.vision.sounds import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLASSES = 1000
_KINDS = {"dinov2", "dinov2_with_registers", "dinov3_vit"}
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
# What `preprocessor_config.json` and `config.json` of the variants' repositories say, for building without them.
_PREPROCESS: dict[str, dict[str, Any]] = {
    "dinov2": {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224, **_IMAGENET},
    "dinov3_vit": {"size": {"height": 224, "width": 224}, "resample": 2, **_IMAGENET},
}
_SIZES: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12},
    "base": {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12},
    "large": {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 24},
}


class Dinov2Backbone(Backbone):
    """Frames one by one; the summary is the class token.

    Args:
        model: A transformers model of the family, with or without a classifier.
        preprocess: What it wants done to pictures.
        table: Which of the classifier's classes make which sound; None without a classifier.
    """

    window = hop = step = 1

    def __init__(self, model: Any, preprocess: Preprocess, table: SoundTable | None) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        self._table = table
        self.sounds: Sequence[str] = table.sounds if table else []
        self._classifies = hasattr(model, "classifier")
        self._extra = 1 + getattr(model.config, "num_register_tokens", 0)

    def width(self, spatial_pooling: str) -> int:
        """Hidden size."""
        return int(self.model.config.hidden_size)

    def look(self, pixels: torch.Tensor) -> Seen:
        """Run the model on `[n, 1, 3, H, W]`; register tokens are left out."""
        trunk = self.model.base_model if self._classifies else self.model
        seen = trunk(pixels.flatten(0, 1)).last_hidden_state
        return Seen(seen[:, self._extra :].unsqueeze(1), seen[:, 0].unsqueeze(1))

    def score(self, seen: Seen) -> torch.Tensor:
        """Classify class token and mean place, as the linear head was trained to, and add up classes by sound."""
        known = torch.cat([cast("torch.Tensor", seen.summary), seen.tokens.mean(dim=2)], dim=-1)
        probabilities = self.model.classifier(known).float().softmax(dim=-1)
        return cast("SoundTable", self._table).gather(probabilities)

    def checkpoint_gradients(self) -> None:
        """Switch gradient checkpointing on."""
        model = self.model  # the method is being renamed
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


def build(folder: Path | None, *, variant: str, input_size: int | None) -> Dinov2Backbone:
    """Make the backbone from a folder with a checkpoint's files, or of the variant's full size with random weights."""
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    config = _config(variant) if folder is None else AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in _KINDS:
        message = f"Encoder dinov2 cannot use {folder}: it holds a {config.model_type} model."
        raise ModelLoadError(message, f"Wanted: {', '.join(sorted(_KINDS))}.")
    if input_size is not None and input_size % config.patch_size:
        raise InvalidInputError(
            f"input_size={input_size}: wanted a multiple of {config.patch_size}, the patches of {variant}."
        )
    if folder is None:
        preprocess = Preprocess.from_config(_PREPROCESS[config.model_type], input_size)
        return Dinov2Backbone(AutoModel.from_config(config).eval(), preprocess, None)
    classifies = any(name.endswith("ForImageClassification") for name in config.architectures or ())
    model, loading = (AutoModelForImageClassification if classifies else AutoModel).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    if loading["missing_keys"]:
        raise ValueError(f"weights are missing in it: {sorted(loading['missing_keys'])[:3]}")
    values = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    table = sound_table() if classifies and config.num_labels == _CLASSES else None
    return Dinov2Backbone(model.eval(), Preprocess.from_config(values, input_size), table)


def sound_table() -> SoundTable:
    """Which of ImageNet's classes make which sound."""
    ranges = read_table(Path(__file__).with_name("imagenet.yaml"), "sounds")
    classes = {name: [number for entry in entries for number in _numbers(entry)] for name, entries in ranges.items()}
    return SoundTable(classes, _CLASSES)


def _numbers(entry: int | str) -> range:
    """Read `7` or `151-268`."""
    first, _, last = str(entry).partition("-")
    return range(int(first), int(last or first) + 1)


def _config(variant: str) -> Any:  # noqa: ANN401
    from transformers import AutoConfig

    family, _, size = variant.rpartition("-") if variant.startswith("dinov3") else ("", "", variant.partition("-")[0])
    if family:
        sizes = _SIZES[size]
        extra = {"num_register_tokens": 4, "intermediate_size": 4 * sizes["hidden_size"]}
        return AutoConfig.for_model("dinov3_vit", **sizes, **extra)
    return AutoConfig.for_model("dinov2", image_size=518, patch_size=14, **_SIZES[size])
