"""VideoMAE behind the face of a backbone.

VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training (Tong et al. 2022).
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
    from collections.abc import Mapping, Sequence

# What `preprocessor_config.json` and `config.json` of the variants' repositories say, for building without them.
_PREPROCESS: dict[str, Any] = {
    "size": {"shortest_edge": 224},
    "do_center_crop": True,
    "crop_size": 224,
    "resample": 2,
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
_SIZES: dict[str, dict[str, int]] = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12},
    "large": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24},
}


class VideoMaeBackbone(Backbone):
    """Windows of 16 frames, two frames to a step, half a window from one to the next.

    Args:
        model: A `VideoMAEModel` or `VideoMAEForVideoClassification`.
        preprocess: What it wants done to pictures.
        table: Which of the classifier's classes make which sound; None without a classifier.
    """

    def __init__(self, model: Any, preprocess: Preprocess, table: SoundTable | None) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        self._table = table
        self.sounds: Sequence[str] = table.sounds if table else []
        self.window = int(model.config.num_frames)
        self.step = int(model.config.tubelet_size)
        self.hop = max(self.step, self.window // 2)

    def width(self, spatial_pooling: str) -> int:
        """Hidden size.

        Raises:
            InvalidInputError: For a class token, which VideoMAE does not have.
        """
        if spatial_pooling == "cls_token":
            raise InvalidInputError("spatial_pooling='cls_token': VideoMAE has no class token.", "Choose avg or max.")
        return int(self.model.config.hidden_size)

    def look(self, pixels: torch.Tensor) -> Seen:
        """Run the model on `[n, 16, 3, H, W]`."""
        seen = self.model.base_model(pixels).last_hidden_state
        return Seen(seen.unflatten(1, (self.window // self.step, -1)), None)

    def score(self, seen: Seen) -> torch.Tensor:
        """Classify the window by its mean token, as the head was trained to, and add up classes by sound."""
        tokens = seen.tokens.flatten(1, 2)
        known = tokens[:, 0] if self.model.fc_norm is None else self.model.fc_norm(tokens.mean(dim=1))
        probabilities = self.model.classifier(known).float().softmax(dim=-1)
        return cast("SoundTable", self._table).gather(probabilities).unsqueeze(1)

    def checkpoint_gradients(self) -> None:
        """Switch gradient checkpointing on."""
        model = self.model  # the method is being renamed
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


def build(folder: Path | None, *, variant: str, input_size: int | None) -> VideoMaeBackbone:
    """Make the backbone from a folder with a checkpoint's files, or of the variant's full size with random weights."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification, VideoMAEModel

    if folder is None:
        config = VideoMAEConfig(**_SIZES[variant.partition("-")[0]])
        values: dict[str, Any] = _PREPROCESS
        model = VideoMAEModel(config)
        table = None
    else:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if said.get("model_type") != "videomae":
            message = f"Encoder videomae cannot use {folder}: it holds a {said.get('model_type')} model."
            raise ModelLoadError(message, "Wanted: videomae.")
        kinds = {kind.__name__: kind for kind in (VideoMAEForPreTraining, VideoMAEForVideoClassification)}
        kind = kinds.get((said.get("architectures") or [""])[0], VideoMAEModel)
        model, loading = kind.from_pretrained(
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
        config = model.config
        table = sound_table(config.id2label) if kind is VideoMAEForVideoClassification else None
        if kind is VideoMAEForPreTraining:
            model = model.videomae  # what follows it only paints pictures
    if input_size not in {None, config.image_size}:
        raise InvalidInputError(
            f"input_size={input_size}: VideoMAE takes pictures of {config.image_size} px alone.",
            f"Leave input_size empty or set it to {config.image_size}; frames of any size are scaled to it.",
        )
    return VideoMaeBackbone(model.eval(), Preprocess.from_config(values), table)


def sound_table(names: Mapping[int, str]) -> SoundTable | None:
    """Which of a classifier's classes make which sound; None if none of Kinetics' classes is among them."""
    number = {name: index for index, name in names.items()}
    actions = read_table(Path(__file__).with_name("kinetics.yaml"), "sounds")
    known = {sound: [number[name] for name in classes if name in number] for sound, classes in actions.items()}
    known = {sound: numbers for sound, numbers in known.items() if numbers}
    return SoundTable(known, len(names)) if known else None
