"""The one way from a request to steered sound, whatever the model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.batching import Batches
from versasound_core.containers import AudioData
from versasound_core.context import torch_dtype
from versasound_core.errors import DeviceError, InvalidInputError
from versasound_core.weights import Checkpoint, built, find

from .model import Job, Model
from .timing import HOW, drafted, modulated, onsets_near, with_channels
from .tokens import Tokens
from .windows import joined, windows
from .words import Wording, wordings

if TYPE_CHECKING:
    from versasound_core.containers import GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext
    from versasound_core.segments import Segment

Build = Callable[[Path, torch.device, torch.dtype], Model]
Asked = tuple["VisualFeatures | None", "GenerationRequest"]
_AT_A_TIME = 8


@attrs.frozen(kw_only=True)
class Settings:
    """How the picture steers; these are the options that every such generator's card has.

    Args:
        words: Whether the picture's labels are added to the prompt.
        timing: `none`, `envelope` or `draft`.
        timing_strength: How much the events shape the sound, 0 to 1; 0 changes nothing.
        adapter: File of a trained adapter, whose tokens stand after the text's; None appends nothing.
        batch_size: Stretches made at a time; None for one on a CPU, which gains nothing from more, and eight elsewhere.
    """

    words: bool
    timing: str
    timing_strength: float
    adapter: str | Path | None
    batch_size: int | None

    def __attrs_post_init__(self) -> None:
        if self.timing not in HOW:
            raise InvalidInputError(f"timing={self.timing!r}: wanted one of {', '.join(HOW)}.")
        if not 0 <= self.timing_strength <= 1:
            raise InvalidInputError(f"timing_strength must lie in [0, 1], not {self.timing_strength!r}.")


@attrs.define(eq=False)
class _Piece:
    """The sound of one item of one request, on its way."""

    jobs: list[Job]
    parts: list[Segment]
    made: list[torch.Tensor] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Order:
    """One request, on its way."""

    features: VisualFeatures | None
    request: GenerationRequest
    words: list[Wording]
    timed: bool
    pieces: list[_Piece]
    notes: list[str]


class TextToSound:
    """What the generator classes of the plugins are made of.

    Args:
        wanted: Which weights.
        folder: The user's own folder with them, in place of the hub's cache.
        settings: How the picture steers.
        build: Loads the model from a folder, to a device, in a number format.
    """

    def __init__(self, wanted: Checkpoint, folder: str | Path | None, settings: Settings, build: Build) -> None:
        self.wanted = wanted
        self.settings = settings
        self._folder = folder
        self._build = build
        self._tokens = Tokens(settings.adapter, wanted)
        self._kept: tuple[tuple[str, str], Model] | None = None
        self._batches: Batches | None = None

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Make sound for every item of the batch; see `generate_all`."""
        return self.generate_all([(features, request)], ctx)[0]

    def generate_all(self, asked: Sequence[Asked], ctx: RunContext) -> list[AudioData]:
        """Make the sound of several requests (clips, variations, segments) together, as many at a time as fit.

        An item is the same whatever it is made with: it has its own seed.

        Returns:
            For each request `[B, C, request.num_samples]` at `request.sample_rate`, fp32 on the CPU. `metadata` says
            what the model was told and how it was steered; its `notes` are sentences for the user.

        Raises:
            ModelLoadError: The weights are missing or unusable.
            InvalidInputError: The adapter does not fit.
            PluginError: A draft is wanted and `foley` is not installed.
            DeviceError: Memory runs out on a single stretch, or the numbers overflow.
            Cancelled: Within a step of the user's wish.
        """
        ctx.report(0.0, f"Loading {self.wanted.repository}")
        model = self._model(ctx)
        orders = [self._order(features, request, model, ctx) for features, request in asked]
        self._make([piece for order in orders for piece in order.pieces], model, ctx)
        return [self._finish(order, model, ctx) for order in orders]

    def _model(self, ctx: RunContext) -> Model:
        key = (str(ctx.torch_device), ctx.precision)
        if self._kept is None or self._kept[0] != key:
            self._kept = self._batches = None  # let go of the old one first
            folder, device, dtype = find(self.wanted, self._folder), ctx.torch_device, torch_dtype(ctx.precision)
            self._kept = key, built(self.wanted, folder, lambda found: self._build(found or folder, device, dtype))
            self._batches = Batches(self.settings.batch_size or (1 if device.type == "cpu" else _AT_A_TIME))
        return self._kept[1]

    def _order(
        self, features: VisualFeatures | None, request: GenerationRequest, model: Model, ctx: RunContext
    ) -> _Order:
        """Settle what is said and what is made, and render the draft."""
        settings = self.settings
        said = wordings(features, request, on=settings.words)
        items, rate = len(said), model.sample_rate
        start = round(request.start_s * rate)
        length = math.ceil(request.num_samples * rate / request.sample_rate)
        whole = features.whole.events if features is not None and features.whole is not None else None
        end = max(start + length, round(whole.duration_s * rate) if whole is not None else 0)
        timed = settings.timing != "none" and settings.timing_strength > 0
        notes = [note for item, words in enumerate(said) for note in _about_words(words, item, items)]
        if timed and not any(onsets_near(features, item, request) for item in range(items)):
            notes.append(f"Nothing was seen to strike, so timing={settings.timing} changed nothing.")
            timed = False
        if said[0].negative and (model.guidance if request.guidance_scale is None else request.guidance_scale) == 1:
            notes.append("At guidance 1 nothing is weighed against the negative prompt: it changed nothing.")
        draft: torch.Tensor | None = None
        if timed and settings.timing == "draft" and features is not None:
            draft = with_channels(drafted(features, request, rate, length, ctx.part(0, 0)), model.channels)
        parts = windows(length, model.longest, model.unit, rate)
        tokens = [self._tokens_in(part, features, rate, alone=len(parts) == 1) for part in parts]
        pieces = [
            _Piece(
                [
                    Job(
                        text=words.text,
                        negative=words.negative,
                        seed=request.seed_for(item),
                        start=start + part.start,
                        length=part.end - part.start,
                        end=end,
                        steps=request.num_inference_steps,
                        guidance=request.guidance_scale,
                        draft=None if draft is None else draft[item, :, part.start : part.end],
                        strength=0.0 if draft is None else settings.timing_strength,
                        tokens=None if extra is None else extra[item],
                    )
                    for part, extra in zip(parts, tokens, strict=True)
                ],
                parts,
            )
            for item, words in enumerate(said)
        ]
        return _Order(features, request, said, timed, pieces, notes)

    def _tokens_in(
        self, part: Segment, features: VisualFeatures | None, rate: int, *, alone: bool
    ) -> torch.Tensor | None:
        """Return what an adapter makes of a window; nothing is cut where there is none."""
        if self.settings.adapter is None or features is None or alone:
            return self._tokens.of(features)
        return self._tokens.of(features.window(part.start / rate, part.end / rate))

    def _make(self, pieces: list[_Piece], model: Model, ctx: RunContext) -> None:
        """Make all stretches, those together that can be; what is all draft is not re-made."""
        jobs = [job for piece in pieces for job in piece.jobs]
        made: dict[int, torch.Tensor] = {}
        groups: dict[object, list[int]] = defaultdict(list)
        for place, job in enumerate(jobs):
            if job.draft is not None and job.strength == 1:
                made[place] = job.draft
            else:
                groups[model.size(job), job.steps, job.guidance].append(place)
        batches = self._batches or Batches(1)
        for places in groups.values():

            def run(rows: torch.Tensor, places: list[int] = places) -> tuple[torch.Tensor, ...]:
                chosen = [jobs[places[int(row)]] for row in rows.tolist()]
                done, share = len(made), len(chosen)

                def tick(fraction: float) -> None:
                    ctx.report((done + share * fraction) / len(jobs), "Making the sound")

                sounds = model.make(chosen, tick).float().cpu()
                made.update((places[int(row)], sound) for row, sound in zip(rows.tolist(), sounds, strict=True))
                return (rows,)

            batches.run(run, torch.arange(len(places), device=ctx.torch_device))
        sounds = iter([made[place][..., : job.length] for place, job in enumerate(jobs)])
        for piece in pieces:
            piece.made = [next(sounds) for _ in piece.jobs]

    def _finish(self, order: _Order, model: Model, ctx: RunContext) -> AudioData:
        """Join windows, bring the sound to its rate and length, and let the events stand out."""
        settings, request = self.settings, order.request
        if not all(bool(torch.isfinite(sound).all()) for piece in order.pieces for sound in piece.made):
            raise DeviceError(
                f"{self.wanted.backend} overflowed in {ctx.precision} on {ctx.device}.",
                "Choose another precision: bf16 or fp32.",
            )
        waveform = torch.stack([joined(piece.parts, piece.made, model.sample_rate) for piece in order.pieces])
        audio = AudioData(waveform, model.sample_rate, self._metadata(order, model)).resample(request.sample_rate)
        audio = attrs.evolve(audio, waveform=audio.waveform[..., : request.num_samples])
        if order.timed and settings.timing == "envelope":
            onsets = [onsets_near(order.features, item, request) for item in range(len(order.words))]
            audio = modulated(audio, onsets, settings.timing_strength)
        return audio

    def _metadata(self, order: _Order, model: Model) -> dict[str, Any]:
        settings, request = self.settings, order.request
        steps = {} if model.steps is None else {"num_inference_steps": request.num_inference_steps or model.steps}
        return {
            "generator": self.wanted.backend,
            "variant": self.wanted.variant,
            "weights": str(self._folder or self.wanted.repository),
            "weights_licence": self.wanted.licence,
            "prompts": [words.text for words in order.words],
            "words_added": [list(words.added) for words in order.words],
            "negative_prompt": order.words[0].negative,
            **steps,
            "guidance_scale": model.guidance if request.guidance_scale is None else request.guidance_scale,
            "timing": settings.timing if order.timed else "none",
            "timing_strength": settings.timing_strength if order.timed else 0.0,
            "adapter": None if settings.adapter is None else str(settings.adapter),
            "windows": len(order.pieces[0].parts),
            "notes": order.notes,
        }


def _about_words(words: Wording, item: int, items: int) -> list[str]:
    who = "" if items == 1 else f"Item {item}: "
    if words.added:
        return [f"{who}The picture added to the prompt: {', '.join(f'“{text}”' for text in words.added)}."]
    if not words.text.strip():
        return [f"{who}Neither a prompt nor the picture said what to make; an encoder that names sounds (clip) would."]
    return []
