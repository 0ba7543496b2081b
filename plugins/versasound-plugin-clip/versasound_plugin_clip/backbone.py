"""CLIP and SigLIP 2 behind the face of a backbone.

Learning Transferable Visual Models From Natural Language Supervision (Radford et al. 2021); SigLIP 2 (Tschannen et al.
2025).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn import functional

from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.vision import Backbone, Preprocess, Seen

from .events import read_events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TEXTS_AT_A_TIME = 64
_NORMALISED = {
    "clip": {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)},
    "siglip": {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)},
}
# What `config.json` of each variant's repository says beyond the defaults of its kind, for building without it.
_LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768}
_LARGE_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "vit-b-32": {"model_type": "clip", "vision_config": {"patch_size": 32}},
    "vit-b-16": {"model_type": "clip", "vision_config": {"patch_size": 16}},
    "vit-l-14": {
        "model_type": "clip",
        "projection_dim": 768,
        "text_config": _LARGE_TEXT,
        "vision_config": _LARGE_VISION,
    },
    "siglip2-b-16": {
        "model_type": "siglip",
        "text_config": {"vocab_size": 256000, "projection_size": 768},
        "vision_config": {},
    },
}


class ClipBackbone(Backbone):
    """Frames one by one; the summary is the picture's embedding in the space that it shares with text.

    Args:
        model: A `CLIPModel` or `SiglipModel`.
        preprocess: What it wants done to pictures.
        events: Names of sounds, each with its row numbers of `texts`.
        texts: Embedded sentences `[n, P]`, of length 1.
    """

    window = hop = step = 1
    events: torch.Tensor

    def __init__(
        self,
        model: Any,  # noqa: ANN401  (transformers comes without types)
        preprocess: Preprocess,
        events: Mapping[str, list[int]],
        texts: torch.Tensor,
    ) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        self.sounds = list(events)
        means = [functional.normalize(texts[rows].mean(dim=0), dim=0) for rows in events.values()]
        self.register_buffer("events", torch.stack(means) if means else texts[:0], persistent=False)
        self._is_clip = model.config.model_type == "clip"
        own = model.config.vision_config.image_size
        self._other_size = preprocess.size != (own, own)

    def width(self, spatial_pooling: str) -> int:
        """Embedding for `cls_token`, else hidden size."""
        hidden = int(self.model.config.vision_config.hidden_size)
        return int(self.model.config.projection_dim) if self._is_clip and spatial_pooling == "cls_token" else hidden

    def look(self, pixels: torch.Tensor) -> Seen:
        """Run the vision half on `[n, 1, 3, H, W]`."""
        seen = self.model.get_image_features(pixels.flatten(0, 1), interpolate_pos_encoding=self._other_size)
        places = seen.last_hidden_state[:, 1:] if self._is_clip else seen.last_hidden_state
        return Seen(places.unsqueeze(1), seen.pooler_output.unsqueeze(1))

    def score(self, seen: Seen) -> torch.Tensor:
        """Compare pictures with the events: a softmax over all of them."""
        image = functional.normalize(cast("torch.Tensor", seen.summary).float(), dim=-1)
        likeness = image @ self.events.float().T
        scale: torch.Tensor = self.model.logit_scale.float().exp()
        return (likeness * scale).softmax(dim=-1)

    def checkpoint_gradients(self) -> None:
        """Switch gradient checkpointing on."""
        model = self.model  # the method is being renamed
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


def build(
    folder: Path | None, *, variant: str, input_size: int | None, words: bool, extra: str | Path | None
) -> ClipBackbone:
    """Make the backbone from a folder with a checkpoint's files, or of the variant's full size with random weights."""
    from transformers import AutoConfig, CLIPModel, SiglipModel

    events = read_events(extra) if words else {}
    if folder is None:
        config = AutoConfig.for_model(**_ARCHITECTURES[variant])
    else:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in {"clip", "siglip"}:
        raise ModelLoadError(
            f"Encoder clip cannot use {folder}: it holds a {config.model_type} model.", "Wanted: clip or siglip."
        )
    kind = CLIPModel if config.model_type == "clip" else SiglipModel
    patch, own = config.vision_config.patch_size, config.vision_config.image_size
    if input_size is not None and input_size % patch:
        raise InvalidInputError(
            f"input_size={input_size}: wanted a multiple of {patch}, the patches of {variant}.", f"Its own is {own}."
        )
    if folder is None:
        values: dict[str, Any] = {"size": {"height": own, "width": own}, **_NORMALISED[config.model_type]}
        if config.model_type == "clip":
            values |= {"size": {"shortest_edge": own}, "do_center_crop": True, "crop_size": own}
        preprocess = Preprocess.from_config(values, input_size)
        return ClipBackbone(kind(config).eval(), preprocess, {}, torch.empty(0, 0))
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
    texts = [text for sentences in events.values() for text in sentences]
    numbers = iter(range(len(texts)))
    rows = {name: [next(numbers) for _ in sentences] for name, sentences in events.items()}
    preprocess = Preprocess.from_config(values, input_size)
    return ClipBackbone(model.eval(), preprocess, rows, _embed(model, folder, texts))


def _embed(model: Any, folder: Path, texts: list[str]) -> torch.Tensor:  # noqa: ANN401
    """Embed sentences: `[n, P]`, of length 1. They are padded as each kind was trained: SigLIP always to the full."""
    if not texts:
        return torch.empty(0, 0)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    longest = model.config.text_config.max_position_embeddings
    padding = "max_length" if model.config.model_type == "siglip" else True
    parts = []
    with torch.inference_mode():
        for at in range(0, len(texts), _TEXTS_AT_A_TIME):
            some = [text.lower() for text in texts[at : at + _TEXTS_AT_A_TIME]]
            tokens = tokenizer(some, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
            taken = {key: tokens[key] for key in ("input_ids", "attention_mask") if key in tokens}
            if padding == "max_length":
                taken.pop("attention_mask", None)  # it was trained to see the padding
            parts.append(model.get_text_features(**taken).pooler_output)
    return functional.normalize(torch.cat(parts).clone(), dim=-1)
