"""`versasound demo`: a small scene of things that strike, and the sound that goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.recipe import Recipe

from . import _console as console
from ._batch import Batch, Job

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NEAR_S = 0.04
_SEED = 4
_HEIGHT = 480


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="make a clip of its own and put sound to it",
        description="Render a small scene of things that strike, put sound to it, and say how many strikes were found.",
        parents=parents,
    )
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="where to write (default: this folder)")
    parser.add_argument("--seed", type=int, default=_SEED, metavar="N", help=f"another scene (default: {_SEED})")
    parser.add_argument(
        "--prompt", default="wooden impacts", metavar="TEXT", help="what is heard (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="show neither progress nor notes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render, make sound, report, and compare what was found with what is known."""
    if args.seed < 0:
        raise InvalidInputError(f"--seed {args.seed}: a scene's seed is 0 or more.")
    folder = Path(args.output)
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"-o {folder} is not a folder.", "Name a folder to write to.")
    silent, output = folder / "versasound_demo_silent.mp4", folder / "versasound_demo.mp4"
    progress, token = console.Progress(quiet=args.quiet), CancelToken()
    with console.cancelling(token), Batch([Job(silent, [output])], folder).folder_made(), progress:
        progress.start("demo")
        from versasound_core.pipeline import Pipeline
        from versasound_core.report import has_matplotlib, write_report
        from versasound_core.scenes import random_scene, write_scene

        ctx = RunContext(progress=progress, cancel=token)
        scene = random_scene(args.seed)
        progress(0.0, "rendering a scene")
        write_scene(scene, silent, height=_HEIGHT)
        pipeline = Pipeline(Recipe(prompt=args.prompt, seed=args.seed), ctx)
        result = pipeline.add_sound(silent, output)
        made = [silent, output]
        if has_matplotlib():
            made.append(write_report(result, silent, output.with_suffix(".png"), pipeline.recipe, pipeline.ctx))
    for path in made:
        print(path)
    if not args.quiet:
        for note in result.notes:
            console.say(note)
    onsets = [time_s for time_s, _ in result.features.events.onsets[0]] if result.features.events else []
    strikes = [strike.time_s for strike in scene.strikes]
    found = matched(strikes, onsets)
    console.say(
        f"The scene has {len(strikes)} strikes. {found} were found within {NEAR_S * 1000:.0f} ms of when they happen; "
        f"{len(onsets) - found} more were seen where nothing strikes."
    )
    if not has_matplotlib():
        console.say("For a picture of the result: pip install matplotlib")
    return 0


def matched(true_s: Sequence[float], found_s: Sequence[float], near_s: float = NEAR_S) -> int:
    """Count the pairs of a true and a found time that are near, each time in one pair at most.

    Going through both in order of time and pairing the earliest that fit gives the most pairs there can be.
    """
    count, remaining = 0, sorted(found_s)
    for time_s in sorted(true_s):
        while remaining and remaining[0] < time_s - near_s:
            remaining.pop(0)
        if remaining and remaining[0] <= time_s + near_s:
            remaining.pop(0)
            count += 1
    return count
