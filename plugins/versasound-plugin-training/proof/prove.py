"""Train a tiny generator with its adapter on rendered scenes, and measure whether the picture steers the sound.

    python prove.py --out FOLDER --limit-s 290

writes FOLDER/generator (a Stable Audio pipeline), FOLDER/adapter, FOLDER/results.json, FOLDER/log.csv,
FOLDER/MODEL_CARD.md and FOLDER/sounds. `--quick` goes through all of it at a size that proves nothing.
"""

from __future__ import annotations

import time

BEGUN = time.monotonic()  # before the slow imports: the limit is on the clock

import argparse  # noqa: E402
import copy  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
import yaml  # noqa: E402
from card import write_card  # noqa: E402
from codec import make_codec, train_codec  # noqa: E402
from judge import best_threshold, f1, onsets, recognised, train_listener  # noqa: E402
from pipeline import make_pipeline, save_pipeline  # noqa: E402
from scenes import Renderer, Scenes  # noqa: E402
from versasound_plugin_training.objectives.draw import Draw  # noqa: E402
from versasound_plugin_training.objectives.stable_audio import StableAudioObjective  # noqa: E402
from versasound_plugin_training.rendered import MATERIALS  # noqa: E402

from versasound_core.adapters import EVENT_CHANNELS, Adapter, AdapterFacts  # noqa: E402
from versasound_core.containers import AudioData  # noqa: E402
from versasound_core.media.audio import save_audio  # noqa: E402

_FINISH_S = 45.0  # kept for judging and writing
_SAVE_EVERY_S = 30.0
_STEP = 2  # latents in a feature
_KEEP = 0.999


class Proof:
    """The whole run.

    Args:
        config: As `config.yaml` has it.
        out: Folder to write to.
        device: To train on.
        limit_s: Seconds from the start of the program until all must be written.
    """

    def __init__(self, config: dict[str, Any], out: Path, device: torch.device, limit_s: float) -> None:
        self.config, self.out, self.device = config, out, device
        self.end = BEGUN + limit_s
        out.mkdir(parents=True, exist_ok=True)
        self.log = (out / "log.csv").open("w", encoding="utf-8")
        self.log.write("part,step,seconds,loss\n")
        self.told: dict[str, Any] = {}

    def tell(self, part: str, step: int, loss: float) -> None:
        """Log a line and show it."""
        line = f"{part},{step},{time.monotonic() - BEGUN:.1f},{loss:.5f}"
        self.log.write(line + "\n")
        self.log.flush()
        print(line, flush=True)

    def run(self) -> None:
        """Render, train, judge, write."""
        config, device, finish = self.config, self.device, min(_FINISH_S, 0.3 * (self.end - BEGUN))
        renderer = Renderer(config)
        sounds = renderer.sounds().to(device)
        self.tell("sounds", len(sounds), 0.0)
        now = time.monotonic()
        codec = make_codec(config).to(device)
        train_codec(codec, sounds, config, now + config["codec"]["share"] * (self.end - finish - now), self.tell)
        train, held = (
            Scenes(part.seen.to(device), part.sounds.to(device), part.materials.to(device), part.strikes)
            for part in renderer.scenes()
        )
        self.tell("scenes", len(train.seen) + len(held.seen), 0.0)
        torch.manual_seed(config["seed"])
        pipe = make_pipeline(codec, config, self.out / "generator")
        pipe.to(device)
        objective = StableAudioObjective(pipe)
        adapter = self.new_adapter(train)
        with torch.no_grad():
            latents = torch.cat([codec.encode(part[:, None]).latent_dist.mode() for part in train.sounds.split(64)])
        self.save(objective, adapter)
        self.teach(objective, adapter, latents, train, self.end - finish)
        self.save(objective, adapter)
        self.judge(objective, adapter, train, held)

    def new_adapter(self, train: Scenes) -> Adapter:
        """Make the adapter, nothing trained but the scale of its features."""
        config = self.config
        facts = AdapterFacts(
            encoder="motion",
            feature_dim=train.seen.shape[2] - EVENT_CHANNELS,
            generator="stable_audio",
            variant="open-1.0",
            token_dim=config["text"]["width"],
            training={"data": "rendered scenes", "seed": config["seed"], "fps": config["features"]["fps"]},
            **config["adapter"],
        )
        adapter = Adapter(facts, facts.network(config["seed"]).to(self.device))
        adapter.network.fit_scale(train.seen)
        with torch.no_grad():  # as loud as the text from the first: nothing here was there before the adapter
            adapter.network.leave.weight *= facts.width**-0.5 / 0.02
        return adapter

    def teach(
        self, objective: StableAudioObjective, adapter: Adapter, latents: torch.Tensor, train: Scenes, until: float
    ) -> None:
        """Train transformer, projection and adapter together until the clock says `until`; keeps their means."""
        config, device = self.config, self.device
        generator = torch.Generator(device).manual_seed(config["seed"] + 1)
        learns = [objective.predictor, objective.pipe.projection_model, adapter.network]
        weights = [weight.requires_grad_(True) for module in learns for weight in module.parameters()]
        means = [weight.detach().clone() for weight in weights]
        optimiser = torch.optim.AdamW(weights, lr=config["rate"], betas=(0.9, 0.98), weight_decay=0.01)
        texts = objective.said(["", *MATERIALS])
        crop, batch = config["sound"]["crop"], config["batch"]
        moments = crop // _STEP
        times_s = (torch.arange(moments, device=device) + 0.5) / config["features"]["fps"]
        begun = saved = time.monotonic()
        step, total = 0, torch.zeros((), device=device)
        adapter.network.train()
        while (now := time.monotonic()) < until:
            share = (now - begun) / (until - begun)
            for group in optimiser.param_groups:
                group["lr"] = config["rate"] * min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * share))
            draw = torch.rand(5, batch, generator=generator, device=device)
            rows = (draw[0] * len(train.seen)).long()
            first = (draw[1] * (train.seen.shape[1] - moments + 1)).long()[:, None]
            seen = train.seen[rows[:, None], first + torch.arange(moments, device=device)]
            seen = self.varied(seen, draw[2], generator)
            spans = (_STEP * first + torch.arange(crop, device=device))[:, None]
            clean = torch.gather(latents[rows], 2, spans.expand(-1, latents.shape[1], -1))
            nothing, word, both = draw[3] < 0.1, (draw[3] >= 0.1) & (draw[3] < 0.2), draw[3] > 0.85  # noqa: PLR2004
            text = texts[torch.where(word | both, train.materials[rows] + 1, 0)]
            heard = torch.stack([~nothing, ~(nothing | word)], 1)
            start_s = torch.where(draw[4] > 0.7, (draw[4] - 0.7) * 60, 0)  # noqa: PLR2004  (windows of long sound)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                tokens = adapter.network(seen, times_s)
                span_s = (start_s, start_s + objective.longest_s)
                loss = objective.loss_at(clean, tokens, text, heard, span_s, Draw(generator, device)).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            torch._foreach_lerp_(means, [w.detach() for w in weights], 1 - min(_KEEP, (step + 1) / (step + 10)))
            total += loss.detach()
            step += 1
            if step % 200 == 0:
                self.tell("generator", step, float(total) / 200)
                total.zero_()
                if now - saved > _SAVE_EVERY_S:
                    saved = now
                    self.save(objective, adapter)
        self.told |= {"steps": step, "seconds": round(until - begun), "batch": batch}
        with torch.no_grad():
            for weight, mean in zip(weights, means, strict=True):
                weight.copy_(mean)
        adapter.network.eval()

    def varied(self, seen: torch.Tensor, chance: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mirror half of the scenes, and change the light of each cell a little, so that no place is known by it."""
        cells, events = seen[..., :-EVENT_CHANNELS], seen[..., -EVENT_CHANNELS:]
        grid = cells.unflatten(-1, (4, 4, 4))
        cells = torch.where((chance < 0.5)[:, None, None, None, None], grid.flip(-1), grid).flatten(2)  # noqa: PLR2004
        shape = (len(seen), 1, cells.shape[2])
        light = torch.randn(shape, generator=generator, device=seen.device) * 0.02
        light[..., -16:] = 0  # motion is no light
        return torch.cat([cells + light, events], -1)

    def save(self, objective: StableAudioObjective, adapter: Adapter) -> None:
        """Write generator and adapter, in half precision."""
        save_pipeline(objective.pipe, self.out / "generator")
        Adapter(adapter.facts, copy.deepcopy(adapter.network).half()).save(self.out / "adapter")

    @torch.no_grad()
    def judge(self, objective: StableAudioObjective, adapter: Adapter, train: Scenes, held: Scenes) -> None:
        """Measure on held-out scenes, and write the results."""
        config, device, rate = self.config, self.device, self.config["sound"]["sample_rate"]
        hop, latent = objective.pipe.vae.hop_length, objective.pipe.transformer.config.in_channels
        crop, moments, seed = config["sound"]["crop"], config["sound"]["crop"] // _STEP, config["seed"]
        samples = crop * hop
        with torch.enable_grad():
            seconds = min(8.0, 0.1 * (self.end - BEGUN))
            listener = train_listener(train.sounds, train.materials, samples, seconds, seed)
        firsts = [5 * k % (held.seen.shape[1] - moments + 1) for k in range(len(held.seen))]
        windows = [(first * _STEP * hop, first * _STEP * hop + samples) for first in firsts]
        strikes = [
            [at - begin / rate for at in times if begin <= at * rate < end]
            for times, (begin, end) in zip(held.strikes, windows, strict=True)
        ]
        true = torch.stack([sound[begin:end] for sound, (begin, end) in zip(held.sounds, windows, strict=True)])
        seen = torch.stack([one[first : first + moments] for one, first in zip(held.seen, firsts, strict=True)])

        known = train.sounds[:200, :samples]
        coded = objective.pipe.vae.decode(objective.encode(known[:, None])).sample[:, 0]
        begun = [[at for at in times if at * rate < samples] for times in train.strikes[:200]]
        threshold = best_threshold(onsets(coded, rate), begun)

        times_s = (torch.arange(moments, device=device) + 0.5) / config["features"]["fps"]
        own = adapter.network(seen, times_s).float()
        said = objective.said(["", *MATERIALS])
        silent, words = said[:1].expand(len(seen), -1, -1), said[held.materials + 1]
        shown, told = torch.tensor([[True, True]], device=device), torch.tensor([[True, False]], device=device)

        def made(tokens: torch.Tensor, text: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
            noise = torch.Generator(device).manual_seed(seed)
            latents = torch.randn(len(tokens), latent, crop, generator=noise, device=device)
            heard, steps, guidance = heard.expand(len(tokens), -1), config["steps"], config["guidance"]
            latents = objective.denoised(tokens, text, latents, objective.longest_s, heard, steps, guidance)
            return torch.cat([objective.pipe.vae.decode(part).sample[:, 0] for part in latents.split(32)])

        rows = {
            "true sounds": true,
            "true sounds through the autoencoder": objective.pipe.vae.decode(objective.encode(true[:, None])).sample[
                :, 0
            ],
            "the scene's own features": made(own, silent, shown),
            "its own features and its word": made(own, words, shown),
            "another scene's features": made(own.roll(len(own) // 2, 0), silent, shown),
            "no adapter, its word": made(own, words, told),
            "no adapter, no word": made(own, silent, told),
        }
        table = {
            name: {
                "material": round(recognised(listener, sounds, held.materials), 4),
                "onset_f1": round(f1(onsets(sounds, rate), strikes, threshold), 4),
            }
            for name, sounds in rows.items()
        }
        events = seen[..., -4:].amax(-1).cpu() > 0
        seen_s = [((torch.nonzero(row)[:, 0] + 0.5) / config["features"]["fps"]).tolist() for row in events]
        self.told |= {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
            "torch": torch.__version__,
            "train_scenes": len(train.seen),
            "held_out_scenes": len(held.seen),
            "threshold": threshold,
            "guidance": config["guidance"],
            "sampler_steps": config["steps"],
            "strikes_per_scene": round(sum(map(len, strikes)) / len(strikes), 2),
            "events_seen_per_scene": round(sum(map(len, seen_s)) / len(seen_s), 2),
            "table": table,
        }
        (self.out / "results.json").write_text(json.dumps(self.told, indent=2) + "\n", encoding="utf-8")
        write_card(self.out, self.told, config)
        print(json.dumps(self.told, indent=2), flush=True)
        (self.out / "sounds").mkdir(exist_ok=True)
        for k in range(min(8, len(true))):
            for name in ("true sounds", "the scene's own features"):
                path = self.out / "sounds" / f"{k}_{list(MATERIALS)[int(held.materials[k])]}_{name.split()[0]}.wav"
                save_audio(AudioData(rows[name][k : k + 1, None].float().cpu(), rate), path)
        print(f"done after {time.monotonic() - BEGUN:.0f} s", flush=True)


def merged(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with some entries changed, at any depth."""
    both = dict(config)
    for key, value in changes.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) else value
    return both


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit-s", type=float, default=290.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--change", type=Path, action="append", default=[], help="YAML with entries to change")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    settings = yaml.safe_load((here / "config.yaml").read_text(encoding="utf-8"))
    for path in [here / "quick.yaml"] * args.quick + args.change:
        settings = merged(settings, yaml.safe_load(path.read_text(encoding="utf-8")))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    Proof(settings, args.out, torch.device(args.device), args.limit_s).run()
