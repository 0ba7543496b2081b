"""`versasound add-sound`: clips in, clips with sound out."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from versasound_core.cards import ROLES
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, VersaSoundError
from versasound_core.recipe import Recipe

from . import _console as console
from ._batch import Job, batch_of
from ._flags import OPTIONAL_ROLES, add_backend_flags, recipe_of

if TYPE_CHECKING:
    from pathlib import Path

    from versasound_core.containers import VideoClip
    from versasound_core.pipeline import Pipeline

    from ._parser import Parser

_KEEP = ("mix", "duck", "replace")
_MOST_VARIATIONS = 1000
# Sounds made together wait in memory: so many clips, of at most so many seconds, and so many sounds.
_TOGETHER, _SHORT_S, _MOST_AHEAD = 16, 120, 64


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "add-sound",
        help="put sound to clips",
        description="Put sound to clips. The picture is copied as it is; the path of each result goes to stdout.",
        usage="%(prog)s [options] CLIP [CLIP ...]",
        parents=parents,
        prepare=_prepare,
    )
    usual = Recipe()
    clips = parser.add_argument_group("clips")
    clips.add_argument("clips", nargs="+", metavar="CLIP", help="video files, or folders of them")
    clips.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="the file to write (.wav, .flac, .ogg, .mp3 or .m4a for the sound alone), for several clips the folder; "
        "by default CLIP_with_sound beside each clip",
    )
    clips.add_argument(
        "--variations", type=_count, default=1, metavar="N", help="make N sounds with seeds from --seed on"
    )
    clips.add_argument(
        "--report", action="store_true", help="draw pictures, events and sound into a PNG beside the result"
    )
    clips.add_argument("--quiet", action="store_true", help="show neither progress nor notes")
    sound = parser.add_argument_group("sound", argument_default=argparse.SUPPRESS)
    sound.add_argument("--prompt", metavar="TEXT", help="what is heard; by default the picture decides")
    sound.add_argument("--negative-prompt", metavar="TEXT", help="what must not be heard")
    sound.add_argument(
        "--seed", type=int, metavar="N", help=f"the same seed gives the same sound (default: {usual.seed})"
    )
    sound.add_argument(
        "--keep-original",
        choices=_KEEP,
        metavar="HOW",
        help="the clip's own sound: mix it in (also without HOW), duck the new sound under it, or replace it (default)",
    )
    sound.add_argument(
        "--original-level",
        dest="original_level_db",
        type=float,
        metavar="DB",
        help=f"loudness of the clip's own sound against the new one (default: {usual.original_level_db:g} dB)",
    )
    sound.add_argument(
        "--sync-strength",
        type=float,
        metavar="X",
        help=f"how far sounds are moved onto what is seen, 0 to 1 (default: {usual.sync_strength:g})",
    )
    sound.add_argument("--sample-rate", type=int, metavar="HZ", help=f"of the result (default: {usual.sample_rate} Hz)")
    sound.add_argument("--steps", dest="num_inference_steps", type=int, metavar="N", help="of an iterative generator")
    sound.add_argument("--guidance-scale", type=float, metavar="X", help="how closely a generator follows the prompt")
    chosen = parser.add_argument_group("backends", "`versasound plugins` lists them; each brings flags of its own.")
    for role in ROLES:
        none = ", or none" if role in OPTIONAL_ROLES else ""
        chosen.add_argument(f"--{role}", metavar="NAME", help=f"default: {getattr(usual, role)}{none}")
    chosen.add_argument("--config", metavar="FILE", help="take backends, options and settings from this YAML file")
    chosen.add_argument(
        "--device", metavar="NAME", default=argparse.SUPPRESS, help="auto, cuda, cuda:N, mps or cpu (default: auto)"
    )
    chosen.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default=argparse.SUPPRESS, help="of models")
    chosen.add_argument("--no-cache", action="store_true", help="look at the clip anew, and keep nothing of it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do every clip, whatever becomes of the others, and return the exit code of the first that failed."""
    recipe = recipe_of(args)
    _configure_logging(args)
    batch = batch_of(args.clips, args.output, args.variations, report=args.report)
    if args.report:
        from versasound_core.report import require_matplotlib

        require_matplotlib()
    progress, token = console.Progress(quiet=args.quiet), CancelToken()
    with console.cancelling(token), batch.folder_made(), progress:
        progress.start(batch.jobs[0].clip.name)
        from versasound_core.cache import default_cache_dir
        from versasound_core.pipeline import Pipeline

        cache_dir = None if args.no_cache else default_cache_dir()
        pipeline = Pipeline(recipe, RunContext(progress=progress, cancel=token, cache_dir=cache_dir))
        if len(batch.jobs) == 1:
            clips = _ahead(batch.jobs, pipeline)
            _do(batch.jobs[0], clips, pipeline, progress, args)
            return 0
        return _do_all(batch.jobs, pipeline, progress, args)


def _do_all(todo: list[Job], pipeline: Pipeline, progress: console.Progress, args: argparse.Namespace) -> int:
    codes = {}
    clips: dict[Path, VideoClip] = {}
    for number, job in enumerate(todo, 1):
        progress.start(f"{number}/{len(todo)} {job.clip.name}")
        if (number - 1) % _TOGETHER == 0:
            clips = _ahead(todo[number - 1 : number - 1 + _TOGETHER], pipeline)
        try:
            _do(job, clips, pipeline, progress, args, name=f"{job.clip.name}: ")
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  (told, and the next clip is done)
            progress.clear()
            codes[job.clip] = console.tell(error, about=str(job.clip), debug=args.debug)
    progress.clear()
    if codes or not args.quiet:
        failed = f"; failed: {', '.join(map(str, codes))}" if codes else ""
        console.say(f"{len(todo) - len(codes)} of {len(todo)} clips done{failed}")
    return next(iter(codes.values()), 0)


def _ahead(jobs: list[Job], pipeline: Pipeline) -> dict[Path, VideoClip]:
    """Open clips, and have the sounds of the short ones made together where that is faster."""
    from versasound_core.containers import VideoClip

    clips: dict[Path, VideoClip] = {}
    if not pipeline.makes_ahead or sum(len(job.outputs) for job in jobs) == 1:
        return clips
    for job in jobs:
        with suppress(VersaSoundError):  # told when its turn comes
            clips[job.clip] = VideoClip.open(job.clip)
    short = [job for job in jobs if job.clip in clips and clips[job.clip].duration_s <= _SHORT_S]
    seed = pipeline.recipe.seed
    wanted = [(clips[job.clip], seed + number) for job in short for number in range(len(job.outputs))]
    pipeline.make_ahead(wanted[:_MOST_AHEAD])
    return clips


def _do(  # noqa: PLR0913, PLR0917
    job: Job,
    clips: dict[Path, VideoClip],
    pipeline: Pipeline,
    progress: console.Progress,
    args: argparse.Namespace,
    name: str = "",
) -> None:
    """Make every variation of one clip, and say where each is."""
    said: set[str] = set()
    for number, output in enumerate(job.outputs):
        source = clips.get(job.clip, job.clip)
        result = pipeline.add_sound(source, output, seed=pipeline.recipe.seed + number)
        progress.clear()
        for note in () if args.quiet else result.notes:
            if note not in said:
                console.say(f"{name}{note}")
            said.add(note)
        print(result.path, flush=True)
        if args.report:
            from versasound_core.report import write_report

            picture = write_report(result, job.clip, output.with_suffix(".png"), pipeline.recipe, pipeline.ctx)
            progress.clear()
            if not args.quiet:
                console.say(f"{name}The report is {picture}.")


def _configure_logging(args: argparse.Namespace) -> None:
    """Log as the configuration says, where it says anything and the command line nothing."""
    from versasound_core.config import LoggingConfig
    from versasound_core.log import configure_logging

    if args.configuration is not None and args.log_level is None and args.configuration.logging != LoggingConfig():
        configure_logging(args.configuration.logging)


def _prepare(parser: Parser, words: list[str]) -> list[str]:
    add_backend_flags(parser, words)
    # argparse would take the clip that follows a bare flag for its value.
    return [
        f"{word}=mix" if word == "--keep-original" and following not in _KEEP else word
        for word, following in zip(words, [*words[1:], ""], strict=False)
    ]


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_VARIATIONS):
        raise argparse.ArgumentTypeError(f"{text!r}: wanted a whole number from 1 to {_MOST_VARIATIONS}")
    return int(text)
