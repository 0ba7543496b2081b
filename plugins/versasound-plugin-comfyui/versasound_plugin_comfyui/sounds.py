"""Sound of any length for features: made in segments, variation by variation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch
from comfyui_extension.models.clock import over

from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.media.blocks import joined
from versasound_core.segments import SEGMENT_S, Segment, joined_segments, segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.context import RunContext
    from versasound_core.contracts import Generator


def length_of(features: VisualFeatures, asked_s: float) -> float:
    """Return the length that a sound shall have: what was asked for, or 0 for that of the picture, seconds."""
    if asked_s > 0:
        return asked_s
    told = features.metadata.get("duration_s")
    return float(told) if told else features.get_temporal_length() / (features.fps or 1.0)


def variations(
    generator: Generator, features: VisualFeatures, requests: Sequence[GenerationRequest], ctx: RunContext
) -> list[AudioData]:
    """Make a sound for each request; short ones are made together if the generator has `generate_all`.

    Args:
        generator: The generator.
        features: `[B, T, D]`, with or without times.
        requests: Of one length.
        ctx: Progress and cancellation.
    """
    length_s, count = requests[0].duration_s, len(requests)
    together = getattr(generator, "generate_all", None)
    if together is not None and length_s <= SEGMENT_S:
        seen = over(features, length_s).window(0.0, length_s)
        made: list[AudioData] = together([(seen, request) for request in requests], ctx)
        return [sound.to("cpu") for sound in made]
    parts = [ctx.part(number / count, (number + 1) / count) for number in range(count)]
    return [generate(generator, features, request, part) for request, part in zip(requests, parts, strict=True)]


def generate(generator: Generator, features: VisualFeatures, request: GenerationRequest, ctx: RunContext) -> AudioData:
    """Make a sound `[B, C, request.num_samples]`; what is long is made in overlapping segments, as the pipeline does.

    Args:
        generator: The generator.
        features: `[B, T, D]`, with or without times.
        request: For the whole sound.
        ctx: Progress and cancellation.
    """
    seen, rate = over(features, request.duration_s), request.sample_rate

    def make(part: Segment) -> AudioData:
        step = ctx.part(part.start / request.num_samples, part.fade / request.num_samples)
        step.report(0.0, "making the sound")
        asked = attrs.evolve(request, duration_s=(part.end - part.start) / rate, start_s=part.start / rate)
        made = generator.generate(seen.window(part.start / rate, part.end / rate), asked, step)
        return attrs.evolve(made, waveform=made.waveform.to("cpu"))

    return joined(joined_segments(segments(request.num_samples, rate), make))


def batch(sounds: Sequence[AudioData]) -> AudioData:
    """Return sounds of one length as one batch; a mono one among stereo ones gets a second channel."""
    channels = max(sound.num_channels for sound in sounds)
    waves = [sound.waveform.expand(-1, channels, -1) for sound in sounds]
    notes = list(dict.fromkeys(note for sound in sounds for note in sound.metadata.get("notes", [])))
    return attrs.evolve(sounds[0], waveform=torch.cat(waves), metadata={**sounds[0].metadata, "notes": notes})


def items(audio: AudioData) -> list[AudioData]:
    """Return the sounds of a batch one by one, `[1, C, T]` each."""
    return [attrs.evolve(audio, waveform=audio.waveform[item : item + 1]) for item in range(audio.shape[0])]


def item_of(features: VisualFeatures, item: int) -> VisualFeatures:
    """Return one video of a batch, `[1, T, D]`."""
    events, one = features.events, slice(item, item + 1)
    if events is not None:
        events = EventTrack(
            events.envelope[one],
            events.rate_hz,
            events.onsets[one],
            events.positions[one],
            events.views and events.views[one],
        )
    labels = None if features.labels is None else features.labels[one]
    return attrs.evolve(features, features=features.features[one], events=events, labels=labels, whole=None)
