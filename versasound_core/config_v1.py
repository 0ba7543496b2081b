"""The configuration layouts before v1.1.0, and where each of their settings went."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

NOWHERE = object()  # a value that needs no line in the new layout


def _unless_null(value: Any) -> Any:  # noqa: ANN401
    return NOWHERE if value is None else value


def _even_null(value: Any) -> Any:  # noqa: ANN401
    return value


class Move(NamedTuple):
    """Where a setting went; `new` is None where nothing took its place."""

    old: str
    new: str | None
    convert: Callable[[Any], Any] = _unless_null


def _side(size: Any) -> Any:  # noqa: ANN401
    """Return the side of a square `[224, 224]`; anything else is left for the check to refuse."""
    return size[0] if isinstance(size, list) and len(size) > 0 and size.count(size[0]) == len(size) else size


MOVES = (
    # v1.0.0
    Move("visual_encoder.model_name", None),
    Move("visual_encoder.backbone_name", "visual_encoder.backbone", lambda name: str(name).partition("_")[0]),
    Move("visual_encoder.backbone_dim", None),
    Move("visual_encoder.output_dim", "visual_encoder.feature_dim"),
    Move("visual_encoder.num_heads", None),
    Move("visual_encoder.num_temporal_layers", None),
    Move("visual_encoder.motion_encoder", None),
    Move("visual_encoder.audio_cue_extractor", None),
    Move("video_processing.target_size", "visual_encoder.input_size", _side),
    Move("audio_generator.model_name", "audio_generator.default_model"),
    Move("audio_generator.visual_dim", None),
    Move("audio_generator.adapter_layers", None),
    Move("audio_generator.use_lora", None),
    Move("audio_generator.lora_rank", None),
    Move("audio_generator.temporal_controller", None),
    Move("audio_generator.generation.default_sample_rate", "audio_generator.sample_rate"),
    Move("audio_generator.generation.default_duration", "audio_generator.default_duration", _even_null),
    Move("audio_generator.generation.num_inference_steps", "audio_generator.num_inference_steps"),
    Move("audio_generator.generation.guidance_scale", "audio_generator.guidance_scale"),
    # Strength 0 is what switched off means now.
    Move("temporal_alignment.enabled", "temporal_aligner.sync_strength", lambda on: NOWHERE if on else 0.0),
    Move("temporal_alignment.sync_method", "temporal_aligner.sync_method"),
    Move("temporal_alignment", None),
    Move("audio_processing.normalization.enabled", "audio_refiner.normalize"),
    Move("memory.gradient_checkpointing", "memory.use_gradient_checkpointing"),
    Move("device.preferred_device", "device.device_type"),
    Move("device.auto_detect", None),
    Move("video_processing", None),
    Move("audio_processing", None),
    Move("checkpoints", None),
    # the flat layout, beside the keys that only one section has
    Move("model_type", "audio_generator.default_model"),
    Move("device", "device.device_type"),
)


def migrate(
    raw: Mapping[str, Any], sections: Mapping[str, Collection[str]]
) -> tuple[Mapping[str, Any], list[str], list[str]]:
    """Rearrange an older configuration; one of today's layout comes back as it is.

    Args:
        raw: The file, as YAML gives it.
        sections: The keys that each section has today.

    Returns:
        The configuration in today's layout, a line for each thing that moved, and one for each that was ignored.
        In an older file everything unknown or null is ignored, so that it loads whatever else was in it.
    """
    every = [(key, section) for section, keys in sections.items() for key in keys]
    flat = [
        Move(key, f"{section}.{key}", _even_null)
        for key, section in every
        if sum(key == other for other, _ in every) == 1
    ]
    tree: dict[str, Any] = deepcopy(dict(raw))
    moved: list[str] = []
    ignored: list[str] = []
    placed: set[str | None] = set()
    found = False
    for move in (*MOVES, *flat):
        holder, key = _find(tree, move.old)
        if key not in holder or (move.new and _is_section(holder[key], key in sections)):
            continue
        found, old = True, holder.pop(key)
        new = move.convert(old) if move.new else NOWHERE
        if move.new is None:
            ignored += _leaves(move.old, old)
        elif new is NOWHERE:
            ignored.append(f"{move.old}: {'null' if old is None else old}, which is so by itself")
        elif _put(tree, move.new, new):
            placed.add(move.new)
            moved.append(f"{move.old} -> {move.new}" + ("" if new is old else f": {new}"))
        else:
            ignored.append(f"{move.old}, as {move.new} is given too")
    if not found:
        return raw, [], []
    for name in list(tree):
        if name not in sections:
            ignored += _leaves(str(name), tree.pop(name))
        elif isinstance(tree[name], dict):
            for key in [key for key in tree[name] if key not in sections[name] or tree[name][key] is None]:
                if f"{name}.{key}" in placed:
                    continue
                ignored += _leaves(f"{name}.{key}", tree[name].pop(key))
    return tree, moved, ignored


def _is_section(value: object, named_so: bool) -> bool:
    return isinstance(value, Mapping) or (named_so and value is None)


def _find(tree: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return the mapping that a dotted path leads into, and its last word; an empty mapping where it leads nowhere."""
    *way, key = path.split(".")
    holder: Any = tree
    for step in way:
        holder = holder.get(step) if isinstance(holder, dict) else None
    return (holder if isinstance(holder, dict) else {}), key


def _put(tree: dict[str, Any], path: str, value: object) -> bool:
    """Set `section.key`, unless the file gives it already."""
    section, key = path.split(".")
    if not isinstance(tree.get(section), dict):
        if tree.get(section) is not None:
            return False
        tree[section] = {}
    if key in tree[section]:
        return False
    tree[section][key] = value
    return True


def _leaves(path: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for key, below in value.items() for leaf in _leaves(f"{path}.{key}", below)]
    return [path]
