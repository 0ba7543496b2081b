"""Encode, generate, align, refine, write: the one way from a silent clip to a clip with sound."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from .containers import AudioData, GenerationRequest, VideoClip, VisualFeatures
from .context import RunContext
from .contracts import BatchGenerator, BlockRefiner
from .device import resolve_device
from .errors import BrokenPluginError, Cancelled, InvalidInputError, VersaSoundError, in_words
from .hooks import PLUGIN_FAILURES
from .media.ahead import ahead
from .media.blocks import joined
from .recipe import Recipe
from .registry import Registry, default_registry
from .segments import Segment, joined_segments, segments

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from .cache import FeatureCache
    from .cards import Role
    from .contracts import Aligner, Encoder, Generator, Refiner

# Shares of the progress: looking, making, mastering and writing.
_LOOKED, _MADE = 0.5, 0.75
# A sound made at the events is off by what their detector is off, and by no more.
_TIMED_S = 0.2
SOUND_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"}


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What a run made.

    Args:
        path: The file.
        seed: What it was made with.
        duration_s: Its length.
        features: What the encoder saw.
        notes: Sentences for the user: what was understood, what was chosen.
        metadata: What the generator says of the sound.
    """

    path: Path
    seed: int
    duration_s: float
    features: VisualFeatures
    notes: list[str]
    metadata: dict[str, Any]


class Pipeline:
    """A recipe with its backends, which stay loaded from clip to clip.

    Args:
        recipe: What to do.
        ctx: Progress, cancellation and the cache folder; device and precision come from the recipe.
        registry: Where the backends are found.

    Raises:
        PluginError: If a backend cannot be used.
        InvalidInputError: If an option is wrong.
        DeviceError: If the device is not there.
    """

    def __init__(self, recipe: Recipe, ctx: RunContext | None = None, registry: Registry = default_registry) -> None:
        self.recipe, self.registry = recipe, registry
        registry.hooks.load(registry)
        device = str(resolve_device(recipe.device))
        self.ctx = attrs.evolve(ctx or RunContext(), device=device, precision=recipe.precision)
        self.ctx = attrs.evolve(self.ctx, progress=self._progress)
        self._told = ctx.progress if ctx else None
        self._encoder = cast("Encoder", self._backend("encoder", recipe.encoder))
        self._generator = cast("Generator", self._backend("generator", recipe.generator))
        self._aligner = cast("Aligner | None", self._backend("aligner", recipe.aligner))
        self._refiner = cast("Refiner | None", self._backend("refiner", recipe.refiner))
        self._seen: dict[VideoClip, VisualFeatures] = {}
        self._made: dict[tuple[VideoClip, int, int], AudioData] = {}

    def add_sound(
        self, source: str | os.PathLike[str] | VideoClip, output: str | os.PathLike[str], *, seed: int | None = None
    ) -> Result:
        """Make sound for one clip and write it, whole or not at all.

        Args:
            source: A video file, or a clip (in memory: for a sound file only).
            output: `.mp4`, `.m4v`, `.mov`, `.mkv` or `.webm` for the clip with sound; `.wav`, `.flac`, `.ogg`, `.mp3`
                or `.m4a` for the sound alone.
            seed: In place of the recipe's.

        Raises:
            MediaError: If the clip cannot be read or the output cannot be written.
            InvalidInputError: If the output is of a kind that cannot hold the picture, or is the clip itself.
            PluginError: If a backend fails.
            Cancelled: If the user asked to stop.
        """
        recipe = self.recipe if seed is None else attrs.evolve(self.recipe, seed=seed)
        clip = source if isinstance(source, VideoClip) else VideoClip.open(source)
        hooks = self.registry.hooks
        hooks.call("versasound_run_started", clip=clip, recipe=recipe)
        try:
            result = self._add_sound(clip, Path(output), recipe)
        except BaseException as error:
            hooks.call("versasound_run_finished", result=None, error=error)
            raise
        hooks.call("versasound_run_finished", result=result, error=None)
        return result

    @property
    def makes_ahead(self) -> bool:
        """Whether the generator makes several sounds faster together than one after the other."""
        return isinstance(self._generator, BatchGenerator)

    def make_ahead(self, wanted: Sequence[tuple[VideoClip, int]]) -> None:
        """Let the generator make the sounds of several clips and variations together, before `add_sound` asks for them.

        The sounds are the same, and wait in memory for `add_sound`. What fails is left to it, to be told of its clip.

        Args:
            wanted: The clips and seeds that `add_sound` will be called with.

        Raises:
            Cancelled: If the user asked to stop.
        """
        self._seen, self._made = {}, {}
        if not self.makes_ahead:
            return
        generator, rate = cast("BatchGenerator", self._generator), self.recipe.sample_rate
        places, asked = [], []
        for clip, seed in wanted:
            try:
                if clip not in self._seen:
                    self._seen[clip] = self.encode(clip)
            except Cancelled:
                raise
            except VersaSoundError:
                continue
            recipe = attrs.evolve(self.recipe, seed=seed)
            for part in segments(round(clip.duration_s * rate), rate):
                places.append((clip, seed, part.start))
                asked.append(_asked(self._seen[clip], recipe, part))
        try:
            with _blame(self, "generator", self.recipe.generator):
                made = generator.generate_all(asked, self.ctx.part(_LOOKED, _MADE))
        except Cancelled:
            raise
        except VersaSoundError:
            return
        self._made = dict(zip(places, made, strict=False))

    def encode(self, clip: VideoClip) -> VisualFeatures:
        """Look at a clip, or read from the cache what was seen before; events are filled in if the encoder has none."""
        ctx = self.ctx.part(0, _LOOKED)
        if clip in self._seen:
            return self._seen[clip]
        cache, key = self._cache(clip)
        features = cache.load(key) if cache else None
        if features is None:
            with _blame(self, "encoder", self.recipe.encoder):
                features = self._encoder.encode(clip, ctx)
                _check_features(features, clip)
            if features.events is None:
                from .events import detect_events

                features = attrs.evolve(features, events=detect_events(clip, ctx))
            if cache:
                cache.store(key, features)
        ctx.report(1.0, "looked at the clip")
        return features

    def sound(self, clip: VideoClip, features: VisualFeatures, *, seed: int | None = None) -> AudioData:
        """Make the finished sound `[B, C, T]` of a clip in memory, as long as the picture."""
        recipe = self.recipe if seed is None else attrs.evolve(self.recipe, seed=seed)
        with _Making(self, clip, features, recipe) as making:
            audio = joined(making.finished(self.ctx.part(_MADE, 1)))
            return attrs.evolve(audio, metadata=making.metadata)

    def _add_sound(self, clip: VideoClip, output: Path, recipe: Recipe) -> Result:
        from .media.audio import save_audio
        from .media.mux import check_target, mux

        alone = output.suffix.lower() in SOUND_SUFFIXES
        if not alone:
            check_target(clip, output)
        elif clip.path and output.exists() and output.samefile(clip.path):
            raise InvalidInputError(f"{output} is the clip itself; it would be lost.", "Write to another file.")
        features = self.encode(clip)
        with _Making(self, clip, features, recipe) as making:
            refined = making.finished(self.ctx.part(_MADE, 1))
            if alone:
                save_audio(joined(refined), output)
            else:
                with closing(ahead(refined)) as blocks:  # the sound is coded while its next block is finished
                    mux(clip, blocks, output)
        self.ctx.report(1.0, "done")
        return Result(
            path=output,
            seed=recipe.seed,
            duration_s=clip.duration_s,
            features=features,
            notes=making.metadata.pop("notes", []),
            metadata=making.metadata,
        )

    def _backend(self, role: Role, name: str | None) -> Any:  # noqa: ANN401
        options = getattr(self.recipe, f"{role}_options")
        return None if name is None else self.registry.create(role, name, **options)

    def _cache(self, clip: VideoClip) -> tuple[FeatureCache | None, str]:
        if self.ctx.cache_dir is None:
            return None, ""
        from .cache import FeatureCache

        encoder = self.registry.get("encoder", self.recipe.encoder)
        cache = FeatureCache(self.ctx.cache_dir / "features")
        options = (encoder.card.depends_on(self.recipe.encoder_options) if encoder.card else {}) | {
            "precision": self.recipe.precision
        }
        return cache, cache.key(clip.content_hash(), encoder.full_name, encoder.version, options)

    def _progress(self, fraction: float, message: str) -> None:
        self.registry.hooks.call("versasound_progress", fraction=fraction, message=message)
        if self._told is not None:
            self._told(fraction, message)


class _Making:
    """The sound of one clip on its way through generator, aligner and refiner, block by block."""

    def __init__(self, pipeline: Pipeline, clip: VideoClip, features: VisualFeatures, recipe: Recipe) -> None:
        from .media.spool import Spool

        self.pipeline, self.clip, self.features, self.recipe = pipeline, clip, features, recipe
        self.spool = Spool()
        self.metadata: dict[str, Any] = {}
        self._channels: dict[str, tuple[int, ...]] = {"generator": (1, 2), "refiner": (1, 2)}

    def __enter__(self) -> _Making:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.__exit__()

    def finished(self, ctx: RunContext) -> Iterator[AudioData]:
        """Yield the blocks of the finished sound."""
        recipe = self.recipe
        count = round(self.clip.duration_s * recipe.sample_rate)
        for block in joined_segments(segments(count, recipe.sample_rate), self._segment):
            self._hear(block)
            self.spool.write(block)
        blocks: Iterable[AudioData] = self.spool
        if recipe.keep_original != "replace" and self.clip.has_audio:
            from .media.audio import read_audio_blocks
            from .media.mixing import mix_original

            original = read_audio_blocks(cast("Path", self.clip.path), recipe.sample_rate)
            blocks = mix_original(blocks, original, recipe.keep_original, recipe.original_level_db)
        made = 0
        for block in self._refined(blocks, ctx):
            ctx.check()
            self._check("refiner", block)
            made += block.shape[2]
            if made > count:
                break
            self._hear(block)
            yield block
        if made != count:
            raise BrokenPluginError(f"the refiner {recipe.refiner} returned {made} samples or more where {count} came.")

    def _refined(self, blocks: Iterable[AudioData], ctx: RunContext) -> Iterator[AudioData]:
        refiner = self.pipeline._refiner
        if refiner is None:
            yield from blocks
            return
        with _blame(self.pipeline, "refiner", self.recipe.refiner):
            if isinstance(refiner, BlockRefiner):
                yield from refiner.refine_blocks(blocks, ctx)
            else:
                yield refiner.refine(joined(blocks), ctx)

    def _segment(self, part: Segment) -> AudioData:
        """Generate and align one stretch."""
        pipeline, recipe, rate = self.pipeline, self.recipe, self.recipe.sample_rate
        total = max(1, round(self.clip.duration_s * rate))
        ctx = pipeline.ctx.part(
            _LOOKED + (_MADE - _LOOKED) * part.start / total, _LOOKED + (_MADE - _LOOKED) * part.fade / total
        )
        features, request = _asked(self.features, recipe, part)
        ctx.report(0.0, "making the sound")
        audio = pipeline._made.pop((self.clip, recipe.seed, part.start), None)
        if audio is None:
            with _blame(pipeline, "generator", recipe.generator):
                audio = pipeline._generator.generate(features, request, ctx)
        self._check("generator", audio, request.num_samples)
        return self._aligned(attrs.evolve(audio, waveform=audio.waveform.to("cpu")), features, ctx)

    def _aligned(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> AudioData:
        """Bring sound and picture together, as far as the aligner can be believed."""
        pipeline, recipe = self.pipeline, self.recipe
        if pipeline._aligner is None or recipe.sync_strength == 0:
            return audio
        with _blame(pipeline, "aligner", recipe.aligner):
            alignment = pipeline._aligner.estimate(audio, features, ctx)
            card = pipeline.registry.get("generator", recipe.generator).card
            if card is not None and card.timed and audio.metadata.get("timing") != "none":
                alignment = alignment.within(_TIMED_S)
            return alignment.apply(audio, recipe.sync_strength)

    def _check(self, role: Role, audio: AudioData, samples: int | None = None) -> None:
        """Refuse what is no sound, or of another shape or rate than was asked for."""
        batch, rate, channels = self.clip.batch_size, self.recipe.sample_rate, self._channels[role]
        right = isinstance(audio, AudioData) and (audio.shape[0], audio.sample_rate) == (batch, rate)
        if not right or audio.num_channels not in channels or samples not in {None, audio.shape[2]}:
            asked = f"[{batch}, {' or '.join(map(str, channels))}, {samples or 'T'}] at {rate} Hz"
            name = getattr(self.recipe, role)
            raise BrokenPluginError(f"the {role} {name} returned {audio!r} where {asked} was asked for.")
        self._channels[role] = (audio.num_channels,)  # in what follows too

    def _hear(self, audio: AudioData) -> None:
        """Keep what is said of the sound; lists, such as the notes, grow from segment to segment."""
        for key, value in audio.metadata.items():
            known = self.metadata.get(key, [])
            both = isinstance(value, list) and isinstance(known, list)
            self.metadata[key] = [*known, *(one for one in value if one not in known)] if both else value


def _asked(features: VisualFeatures, recipe: Recipe, part: Segment) -> tuple[VisualFeatures, GenerationRequest]:
    """Say what is wanted of the generator for one stretch of a clip."""
    rate = recipe.sample_rate
    request = GenerationRequest(
        duration_s=(part.end - part.start) / rate,
        prompt=recipe.prompt,
        negative_prompt=recipe.negative_prompt,
        seed=recipe.seed,
        sample_rate=rate,
        num_inference_steps=recipe.num_inference_steps,
        guidance_scale=recipe.guidance_scale,
        start_s=part.start / rate,
    )
    return features.window(part.start / rate, part.end / rate), request


def _check_features(features: object, clip: VideoClip) -> None:
    if not isinstance(features, VisualFeatures):
        raise TypeError(f"it returned {features!r}, which are no VisualFeatures")
    if features.shape[0] != clip.batch_size:
        raise ValueError(f"it returned {features!r} for a batch of {clip.batch_size}")
    if features.fps is None:
        raise ValueError('its features do not say metadata["fps"]')


@contextmanager
def _blame(pipeline: Pipeline, role: Role, name: str | None) -> Iterator[None]:
    """Name the backend in whatever its code raises."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{role} {name}: {error.message}", error.hint) from error
    except VersaSoundError:
        raise
    except PLUGIN_FAILURES as error:
        backend = pipeline.registry.get(role, str(name))
        raise BrokenPluginError(f"{backend} failed: {in_words(error)}") from error


def add_sound(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    recipe: Recipe | None = None,
    **recipe_fields: Any,  # noqa: ANN401  (as many types as a recipe has fields)
) -> Result:
    """Make sound for one clip: `add_sound("clip.mp4", "out.mp4", prompt="footsteps on gravel")`.

    Args:
        source: A video file.
        output: As for `Pipeline.add_sound`, which also tells what is raised.
        recipe: What to do; the weightless default if not given.
        **recipe_fields: Fields of the recipe to change.
    """
    return Pipeline(attrs.evolve(recipe or Recipe(), **recipe_fields)).add_sound(source, output)
