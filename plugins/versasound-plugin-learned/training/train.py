"""Train the network: `python train.py` in this folder. Everything it needs is in `config.yaml`.

It trains, goes on with other clips and by their lags too, and keeps the mean of the weights before and after, in `out`.
`python train.py --start weights.safetensors --seconds 190 --set rate=1.0e-3` only goes on with weights that are there,
for so long: the rate of learning falls with the time that is left. With `--real FOLDER` the sounds of real clips,
shifted, teach it as well.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch.nn import functional as nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # also without the plugin installed
from camera import Clips, film
from judge import judge, targets
from lags import cut, self_supervised, supervised
from mean import mean
from recordings import Recording, load, windows
from versasound_plugin_learned.network import StrikeNet

_WEIGHTS, _LOG = "strikes.safetensors", "train.jsonl"


def flipped(cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror some clips left to right, and a few upside down."""
    for axis, share in ((4, 0.5), (3, 0.15)):
        chosen = torch.rand(len(cells), generator=generator, device=cells.device) < share
        cells = torch.where(chosen[:, None, None, None, None], cells.flip(axis), cells)
    return cells


def _begin(model: StrikeNet, generator: torch.Generator, start: Path | None) -> None:
    """Draw first weights from our own generator, which leaves the global one alone, or read them."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            fan = parameter[0].numel()
            with torch.no_grad():
                draws = torch.randn(parameter.shape, generator=generator, device=generator.device)
                parameter.copy_(draws * math.sqrt(1 / fan))
    torch.nn.init.constant_(model.leave.bias, -5.0)
    if start is not None:
        model.load_state_dict({name: value.float() for name, value in load_file(start).items()}, strict=False)


class Store:
    """Batches of clips that are made up on the way, each used a few times before another takes its place."""

    def __init__(self, config: dict, generator: torch.Generator) -> None:
        self.config, self.generator = config, generator
        self.chooser = torch.Generator().manual_seed(config["seed"])
        self.batches = [self._film() for _ in range(config["store"])]
        self.oldest = 0

    def _film(self) -> Clips:
        return film(self.config["batch"], self.config["frames"], self.generator)

    def renew(self) -> None:
        """Make the oldest batch anew."""
        self.batches[self.oldest] = self._film()
        self.oldest = (self.oldest + 1) % len(self.batches)

    def draw(self) -> Clips:
        """Return parts of clips, all of the same number of pictures: short ones in larger batches."""
        total, most = self.config["frames"], self.config["batch"]
        frames = self.config["windows"][int(torch.randint(len(self.config["windows"]), (), generator=self.chooser))]
        first = int(torch.randint(total - 1 - frames + 1, (), generator=self.chooser))
        picks = torch.randint(len(self.batches), (4,), generator=self.chooser).tolist()  # equal parts of four
        rows = torch.randperm(most, generator=self.chooser)[: min(most * total // frames // 4, most)]
        rows = rows.to(self.generator.device)
        parts = zip(*(cut(self.batches[k], first, frames) for k in picks), strict=True)
        return Clips(*(torch.cat([part[rows] for part in group]) for group in parts))


def retrain(config: dict, out: Path, device: str, recordings: list[Recording] | None = None) -> None:
    """Train twice, and write the mean of the weights, and both logs one after the other, to `out`.

    Args:
        config: The entries of `config.yaml`.
        out: A folder; what is trained lies in `first` and `second` below it.
        device: Where.
        recordings: As for `train`.
    """
    folders = out / "first", out / "second"
    weights = [folder / _WEIGHTS for folder in folders]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    train(config, folders[0], device, recordings=recordings)
    train({**config, **config["second"]}, folders[1], device, start=weights[0], recordings=recordings)
    mean(weights, out / _WEIGHTS)
    (out / _LOG).write_text("".join((folder / _LOG).read_text() for folder in folders))


def train(  # noqa: PLR0913, PLR0917
    config: dict,
    out: Path,
    device: str,
    start: Path | None = None,
    seconds: float | None = None,
    recordings: list[Recording] | None = None,
) -> None:
    """Train as the configuration says; writes the weights and the log to `out`.

    Args:
        config: The entries of `config.yaml`.
        out: A folder.
        device: Where.
        start: Weights to go on with; new ones if not given.
        seconds: How long; all steps if not given.
        recordings: Real clips to learn from beside those that are made up.
    """
    begun = time.time()
    model = StrikeNet(**config["network"]).to(device)
    generator = torch.Generator(device).manual_seed(config["seed"])
    _begin(model, generator, start)
    check = [
        film(32, config["frames"], torch.Generator(device).manual_seed(config["seed"] + 1 + k))
        for k in range(config["check"])
    ]
    check = Clips(*(torch.cat(parts) for parts in zip(*check, strict=True)))
    generator.manual_seed(config["seed"] + (1000 if start is not None else 0))  # going on, it sees other clips
    store = Store(config, generator)
    best = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config["rate"], weight_decay=config["decay"])
    log = (out / _LOG).open("w")
    step, share = 0, 0.0
    while True:
        if step and step % config["renew"] == 0:
            store.renew()
        share = step / config["steps"] if seconds is None else min((time.time() - begun) / seconds, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = config["rate"] * min(1.0, step / 300 + 0.01) * 0.5 * (1 + math.cos(math.pi * share))
        loss, losses = _loss(model, store, recordings, config)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        with torch.no_grad():
            keep = min(0.998, (step + 1) / (step + 10))
            for mean, now in zip(best.state_dict().values(), model.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)
        last = share == 1.0 if seconds is not None else step == config["steps"] - 1
        if step % config["report"] == 0 or last:
            best.eval()
            spent = round(time.time() - begun, 1)
            line = {"step": step, "seconds": spent, **{name: float(part) for name, part in losses.items()}}
            line |= judge(best, check)
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(line, flush=True)
            save(best, config, out / _WEIGHTS)
        step += 1
        if last:
            break
    log.close()


def _loss(
    model: StrikeNet, store: Store, recordings: list[Recording] | None, config: dict
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of one batch, and its parts: nats per strike, per lag, and per recording."""
    clips = store.draw()
    cells, times_s = clips.cells, clips.times_s
    device, made = cells.device, len(cells)
    real = windows(recordings, config["recordings"], cells.shape[1], store.chooser) if recordings else None
    if real is not None:
        cells, times_s = torch.cat([cells, real.cells.to(device)]), torch.cat([times_s, real.times_s.to(device)])
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = model(flipped(cells, store.generator), times_s.diff(dim=1))
    goal, valid = targets(clips)
    entropy = nn.binary_cross_entropy_with_logits(logits[:made].float(), goal, reduction="none")
    loss = (entropy * valid[..., None]).sum() / goal.sum().clamp_min(1)
    losses = {"train_loss": loss.detach()}
    if config["lag"]:
        lag = supervised(logits[:made].float().sigmoid() * valid[..., None], clips, store.generator)
        losses["lag_loss"] = lag.detach()
        loss = loss + config["lag"] * lag
    if real is not None:
        heard = (part.to(device) for part in real[2:])
        lag = self_supervised(logits[made:].float().sigmoid(), times_s[made:], *heard)
        losses["real_loss"] = lag.detach()
        loss = loss + config["real"] * lag
    return loss, losses


def save(model: torch.nn.Module, config: dict, path: Path) -> None:
    """Write the weights, large ones in half precision."""
    tensors = {
        name: (value.half() if value.ndim > 1 else value.float()).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if "num_batches" not in name
    }
    save_file(tensors, path, {"network": json.dumps(config["network"]), "seed": str(config["seed"])})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parent
    parser.add_argument("--config", type=Path, default=here / "config.yaml")
    parser.add_argument("--out", type=Path, default=here / "out")
    parser.add_argument("--start", type=Path, help="weights to go on with")
    parser.add_argument("--real", type=Path, help="a folder of any clips with sound, to learn from their own lags too")
    parser.add_argument("--seconds", type=float, help="how long to train, instead of all steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="change an entry of the configuration"
    )
    told = parser.parse_args()
    entries = yaml.safe_load(told.config.read_text())
    entries.update((name, yaml.safe_load(value)) for name, value in (pair.split("=", 1) for pair in told.set))
    told.out.mkdir(parents=True, exist_ok=True)
    real = load(told.real) if told.real else None
    if told.start is None and told.seconds is None:
        retrain(entries, told.out, told.device, real)
    else:
        train(entries, told.out, told.device, told.start, told.seconds, real)
