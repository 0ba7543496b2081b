"""What this plugin adds to the command line: `versasound train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.hooks import hookimpl

if TYPE_CHECKING:
    import argparse


@hookimpl
def versasound_register_commands(cli: Any) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command `train`."""
    parser = cli.add_parser(
        "train",
        help="teach a generator to follow the picture, or an aligner to tell how far a sound is off",
        description="Train an adapter between an encoder and a generator, both frozen, or an aligner on an encoder's "
        "features, as a configuration file says. Repeated after an interruption, it goes on where it stopped.",
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file with dataset, training, visual_encoder, ...")
    parser.add_argument("-o", "--output", metavar="DIR", help="where to write (default: training.output_dir)")
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of training.num_epochs")
    parser.add_argument(
        "--rendered", type=int, metavar="N", help="first render N scenes with their sounds into dataset.video_dir/.."
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train as the file says, and print the folder of what was trained."""
    from versasound_core.cli import _console as console
    from versasound_core.context import CancelToken, RunContext
    from versasound_core.device import resolve_device

    from .config import load_run
    from .dataset import VideoAudioDataset
    from .trainer import VersaSoundTrainer

    told = load_run(args.config)
    device = resolve_device(told.core.device.device_type)  # refuses: nobody trains for days on a CPU by accident
    progress, token = console.Progress(quiet=args.quiet), CancelToken()
    with console.cancelling(token), progress:
        progress.start("train")
        if args.rendered:
            _render(told.dataset.video_dir, args.rendered, progress, token)
        data = told.dataset
        dataset = VideoAudioDataset(
            data.video_dir,
            data.audio_dir or None,
            duration_s=data.duration_s,
            crops="grid" if data.crops == "grid" else "random",
            prompts=data.prompts or None,
            seed=told.training.seed,
            ctx=RunContext(progress=progress, cancel=token),
        )
        for reason in list(dataset.left_out.values())[:10]:
            progress.clear()
            console.warn(f"left out: {reason}")
        trainer = VersaSoundTrainer(
            told.core.visual_encoder,
            told.core.audio_generator,
            device,
            training=told.training,
            progress=progress,
            cancel=token,
        )
        adapter = trainer.train(dataset, args.epochs, output_dir=args.output)
    print(adapter)
    return 0


def _render(video_dir: str, count: int, progress: Any, token: Any) -> None:  # noqa: ANN401
    from pathlib import Path

    from versasound_core.errors import Cancelled

    from .rendered import write_rendered

    def tell(fraction: float) -> None:
        if token.cancelled:
            raise Cancelled("Cancelled.")
        progress(fraction, "rendering scenes")

    write_rendered(Path(video_dir).parent, count, progress=tell)
