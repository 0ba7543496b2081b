"""`versasound align`: bring a sound to its picture. `versasound sync-report`: say how far it is off."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.recipe import Recipe

from . import _console as console
from ._flags import add_backend_flags, recipe_of

if TYPE_CHECKING:
    from versasound_core.cards import Role
    from versasound_core.containers import VideoClip
    from versasound_core.sync import Sync

    from ._parser import Parser

_ROLES: tuple[Role, ...] = ("encoder", "aligner")


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "align",
        help="bring a sound to its picture",
        description="Move what is heard to where it is seen to happen, and write the sound. Where nothing in it can be "
        "matched to the picture, that is said, and the sound is written as it is.",
        parents=parents,
        prepare=prepare,
    )
    parser.add_argument("clip", metavar="CLIP", help="a video file")
    parser.add_argument("sound", metavar="SOUND", help="a sound file, or a video file whose sound is meant")
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="the file to write: a sound, or .mp4, .m4v, .mov, .mkv or .webm for the clip with it; "
        "by default SOUND_aligned.wav beside the sound",
    )
    parser.add_argument(
        "--sync-strength",
        type=float,
        default=argparse.SUPPRESS,
        metavar="X",
        help=f"how far sounds are moved, 0 to 1 (default: {Recipe().sync_strength:g})",
    )
    add_choices(parser)
    parser.set_defaults(run=run)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the flags that both commands have."""
    parser.add_argument("--quiet", action="store_true", help="do not show progress")
    for role in _ROLES:
        parser.add_argument(f"--{role}", metavar="NAME", help=f"default: {getattr(Recipe(), role)}")
    parser.add_argument("--device", default=argparse.SUPPRESS, help="auto, cuda, cuda:N, mps or cpu (default: auto)")
    parser.add_argument("--no-cache", action="store_true", help="look at the clip anew, and keep nothing of it")


def run(args: argparse.Namespace) -> int:
    """Align, write, and say what was done."""
    from versasound_core.containers import VideoClip
    from versasound_core.media.audio import save_audio
    from versasound_core.media.mux import check_target, mux
    from versasound_core.pipeline import SOUND_SUFFIXES

    clip, sound = VideoClip.open(args.clip), Path(args.sound)
    output = Path(args.output) if args.output else sound.with_name(f"{sound.stem}_aligned.wav")
    alone = output.suffix.lower() in SOUND_SUFFIXES
    for source in (clip.path, sound):
        if source and output.exists() and source.exists() and output.samefile(source):
            raise InvalidInputError(f"{output} is one of the sources; it would be lost.", "Write to another file.")
    if not alone:
        check_target(clip, output)
    sync = measured(args, clip, sound)
    moved = sync.alignment.apply(sync.audio, recipe_of(args).sync_strength)
    if alone:
        save_audio(moved, output)
    else:
        mux(clip, [_as_long(moved, clip.duration_s)], output)
    console.say(str(sync))
    print(output)
    return 0


def measured(args: argparse.Namespace, clip: VideoClip, sound: Path) -> Sync:
    """Look at the clip, listen to the sound, and measure."""
    from versasound_core.cache import default_cache_dir
    from versasound_core.media.audio import load_audio
    from versasound_core.pipeline import Pipeline
    from versasound_core.registry import default_registry
    from versasound_core.sync import measure_sync

    recipe = recipe_of(args)
    if recipe.aligner is None:
        raise InvalidInputError("without an aligner nothing can be measured.", "Leave --aligner none out.")
    progress, token = console.Progress(quiet=args.quiet), CancelToken()
    with console.cancelling(token), progress:
        progress.start(Path(args.clip).name)
        ctx = RunContext(progress=progress, cancel=token, cache_dir=None if args.no_cache else default_cache_dir())
        audio = load_audio(sound)
        features = Pipeline(recipe, ctx).encode(clip)
        aligner = default_registry.create("aligner", recipe.aligner, **recipe.aligner_options)
        return measure_sync(audio, features, aligner, ctx)


def prepare(parser: Parser, words: list[str]) -> list[str]:
    """Add the flags of the chosen backends."""
    add_backend_flags(parser, words, _ROLES)
    return words


def _as_long(audio: Any, duration_s: float) -> Any:  # noqa: ANN401
    """The sound cut or filled with silence to the length of the picture."""
    import attrs
    from torch.nn.functional import pad

    count = round(duration_s * audio.sample_rate)
    wave = audio.waveform[..., :count]
    return attrs.evolve(audio, waveform=pad(wave, (0, count - wave.shape[-1])))
