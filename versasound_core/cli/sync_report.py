"""`versasound sync-report`: how far a sound is off its picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.errors import InvalidInputError

from . import _console as console
from .align import add_choices, measured, prepare

if TYPE_CHECKING:
    import argparse


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "sync-report",
        help="say how far a sound is off its picture",
        description="Measure how far a sound is off, as a whole and at each onset, and draw what is seen and what is "
        "heard, before and after it is moved. Nothing is changed.",
        parents=parents,
        prepare=prepare,
    )
    parser.add_argument("clip", metavar="CLIP", help="a video file")
    parser.add_argument("sound", metavar="SOUND", nargs="?", help="a sound file; the clip's own sound if not given")
    parser.add_argument("-o", "--output", metavar="PNG", help="the picture to draw; by default CLIP_sync.png")
    parser.add_argument("--no-picture", action="store_true", help="numbers only")
    parser.add_argument("--json", action="store_true", help="numbers for programs")
    add_choices(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and draw."""
    from versasound_core.containers import VideoClip
    from versasound_core.report import require_matplotlib
    from versasound_core.sync import in_words, write_sync_report

    clip = VideoClip.open(args.clip)
    sound = Path(args.sound or args.clip)
    picture = Path(args.output) if args.output else Path(args.clip).with_name(f"{Path(args.clip).stem}_sync.png")
    if not args.no_picture:
        require_matplotlib()
        if picture.suffix.lower() != ".png":
            raise InvalidInputError(f"{picture} is no name of a PNG.", "Let it end in .png.")
    if args.sound is None and not clip.has_audio:
        raise InvalidInputError(f"{args.clip} has no sound of its own.", "Name a sound file after it.")
    sync = measured(args, clip, sound)
    if args.json:
        events = [{"heard_s": round(at_s, 4), "late_s": round(late_s, 4)} for at_s, late_s in sync.late_s]
        facts = {"offset_s": sync.offset_s, "confidence": sync.confidence, "events": events}
        print(json.dumps(facts, indent=2))
    else:
        print(sync)
        for at_s, late_s in sync.late_s:
            print(f"{at_s:9.3f} s  {in_words(late_s)}")
    if not args.no_picture:
        write_sync_report(sync, f"{Path(args.clip).name}, sound of {sound.name}", picture)
        console.say(f"The report is {picture}.")
    return 0
