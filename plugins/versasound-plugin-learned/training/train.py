"""Train the network: `python train.py` in this folder. Everything it needs is in `config.yaml`.

`python train.py --start weights.safetensors --seconds 190 --set rate=1.0e-3` goes on with weights that are there, for
so long: the rate of learning falls with the time that is left.
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
from versasound_plugin_learned.network import SLOTS, StrikeNet


def targets(clips: Clips) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which slots hold a strike `[B, F, SLOTS]`, and which changes count `[B, F]`."""
    batch, frames = clips.cells.shape[:2]
    place = torch.searchsorted(clips.times_s, clips.strikes, right=True) - 1
    inside = (place >= 0) & (place < clips.counts[:, None])
    place = place.clamp(0, frames - 1)
    begin, end = torch.gather(clips.times_s, 1, place), torch.gather(clips.times_s, 1, place + 1)
    slot = ((clips.strikes - begin) / (end - begin) * SLOTS).clamp(0, SLOTS - 1).long()
    flat = torch.zeros(batch, frames * SLOTS + 1, device=place.device)
    flat.scatter_(1, torch.where(inside, place * SLOTS + slot, frames * SLOTS), 1.0)
    valid = torch.arange(frames, device=place.device) < clips.counts[:, None]
    return flat[:, :-1].unflatten(1, (frames, SLOTS)), valid


def flipped(cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror some clips left to right, and a few upside down."""
    for axis, share in ((4, 0.5), (3, 0.15)):
        chosen = torch.rand(len(cells), generator=generator, device=cells.device) < share
        cells = torch.where(chosen[:, None, None, None, None], cells.flip(axis), cells)
    return cells


_NEAR_S, _SURE = 0.08, 0.5
_EXACT_S = 0.01


def judge(model: torch.nn.Module, clips: Clips) -> dict[str, float]:
    """Loss in nats per strike, and how near the best slot of each is, for clips never trained on."""
    goal, valid = targets(clips)
    loss, near = 0.0, []
    for b in range(0, len(clips.cells), 64):
        part = slice(b, b + 64)
        times = clips.times_s[part]
        with torch.no_grad():
            logits = model(clips.cells[part], times.diff(dim=1)).float()
        loss += float(
            (nn.binary_cross_entropy_with_logits(logits, goal[part], reduction="none") * valid[part, :, None]).sum()
        )
        shares = (torch.arange(SLOTS, device=times.device) + 0.5) / SLOTS
        centres = (times[:, :-1, None] + times.diff(dim=1)[..., None] * shares).flatten(1).cpu()
        chance = (logits.sigmoid() * valid[part, :, None]).flatten(1).cpu()
        for item, strikes in enumerate(clips.strikes[part].cpu()):
            for strike in strikes[strikes < centres[item, int(clips.counts[part][item]) * SLOTS - 1]].tolist():
                weight = chance[item] * ((centres[item] - strike).abs() < _NEAR_S)
                near.append(
                    abs(float((weight * centres[item]).sum() / weight.sum().clamp_min(1e-9)) - strike)
                    if float(weight.sum()) > _SURE
                    else 1.0
                )
    errors = torch.tensor(near)
    return {
        "loss": loss / max(float(goal.sum()), 1.0),
        "median_ms": float(errors.median()) * 1e3,
        "within_10_ms": float((errors < _EXACT_S).float().mean()),
        "found": float((errors < _NEAR_S).float().mean()),
    }


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


def train(config: dict, out: Path, device: str, start: Path | None = None, seconds: float | None = None) -> None:
    """Train as the configuration says; writes the weights and the log to `out`.

    Args:
        config: The entries of `config.yaml`.
        out: A folder.
        device: Where.
        start: Weights to go on with; new ones if not given.
        seconds: How long; all steps if not given.
    """
    begun = time.time()
    model = StrikeNet(**config["network"]).to(device)
    generator = torch.Generator(device).manual_seed(config["seed"])
    _begin(model, generator, start)
    check = [film(32, config["frames"], torch.Generator(device).manual_seed(config["seed"] + 1 + k)) for k in range(8)]
    check = Clips(*(torch.cat(parts) for parts in zip(*check, strict=True)))
    steps, batch = config["steps"], config["batch"]
    store: list[Clips] = []
    best = copy.deepcopy(model)
    chooser = torch.Generator().manual_seed(config["seed"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=config["rate"], weight_decay=config["decay"])
    log = (out / "train.jsonl").open("w")
    for step in range(steps):
        while len(store) < config["store"] or (step % config["renew"] == 0 and len(store) == config["store"]):
            clips = film(batch, config["frames"], generator)
            if len(store) == config["store"]:
                store[(step // config["renew"]) % len(store)] = clips
                break
            store.append(clips)
        share = step / steps if seconds is None else min((time.time() - begun) / seconds, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = config["rate"] * min(1.0, step / 300 + 0.01) * 0.5 * (1 + math.cos(math.pi * share))
        picks = torch.randint(len(store), (4,), generator=chooser).tolist()  # a quarter of a batch from each of four
        rows = torch.randperm(batch, generator=chooser)[: batch // 4].to(device)
        clips = Clips(
            *(torch.cat([part[rows] for part in parts]) for parts in zip(*(store[k] for k in picks), strict=True))
        )
        goal, valid = targets(clips)
        model.train()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(flipped(clips.cells, generator), clips.times_s.diff(dim=1))
        loss = (nn.binary_cross_entropy_with_logits(logits.float(), goal, reduction="none") * valid[..., None]).sum()
        loss = loss / goal.sum().clamp_min(1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        with torch.no_grad():
            keep = min(0.998, (step + 1) / (step + 10))
            for mean, now in zip(best.state_dict().values(), model.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)
        last = step == steps - 1 or share == 1.0
        if step % config["report"] == 0 or last:
            best.eval()
            line = {
                "step": step,
                "seconds": round(time.time() - begun, 1),
                "train_loss": float(loss.detach()),
                **judge(best, check),
            }
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(line, flush=True)
            save(best, config, out / "strikes.safetensors")
        if last:
            break
    log.close()


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
    parser.add_argument("--out", type=Path, default=here.parent / "versasound_plugin_learned" / "weights")
    parser.add_argument("--start", type=Path, help="weights to go on with")
    parser.add_argument("--seconds", type=float, help="how long to train, instead of all steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="change an entry of the configuration"
    )
    told = parser.parse_args()
    entries = yaml.safe_load(told.config.read_text())
    entries.update((name, yaml.safe_load(value)) for name, value in (pair.split("=", 1) for pair in told.set))
    told.out.mkdir(parents=True, exist_ok=True)
    train(entries, told.out, told.device, told.start, told.seconds)
