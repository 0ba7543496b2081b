"""Train a tiny generator with its adapter on rendered scenes, and measure whether the picture steers the sound.

    python prove.py --out FOLDER --limit-s 1700

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
from codec import components, latents_of, make_codec  # noqa: E402
from judge import Listener, best_threshold, f1, onsets  # noqa: E402
from pipeline import make_pipeline, save_pipeline  # noqa: E402
from scenes import HELD_OUT, Scenes, render  # noqa: E402
from versasound_plugin_training.objectives.draw import Draw  # noqa: E402
from versasound_plugin_training.objectives.stable_audio import StableAudioObjective  # noqa: E402
from versasound_plugin_training.rendered import MATERIALS  # noqa: E402

from versasound_core.adapters import EVENT_CHANNELS, Adapter, AdapterFacts  # noqa: E402
from versasound_core.containers import AudioData  # noqa: E402
from versasound_core.media.audio import save_audio  # noqa: E402

_FINISH_S = 60.0  # kept for judging and writing
_SAVE_EVERY_S = 30.0
_TELL_EVERY = 100
_KEEP = 0.998
_FITTED_ON = 300


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
        self.told: dict[str, Any] = {"limit_s": limit_s}

    def tell(self, part: str, step: int, loss: float) -> None:
        """Log a line and show it."""
        line = f"{part},{step},{time.monotonic() - BEGUN:.1f},{loss:.5f}"
        self.log.write(line + "\n")
        self.log.flush()
        print(line, flush=True)

    def run(self) -> None:
        """Render, train, judge, write."""
        config, finish = self.config, min(_FINISH_S, 0.3 * (self.end - BEGUN))
        count, first = config["scenes"]["train"], config["seed"]
        train, held = (
            render(range(start, start + size), config)
            for start, size in ((first, count), (HELD_OUT + first, config["scenes"]["held_out"]))
        )
        self.tell("scenes", count, 0.0)
        parts = components(train.sounds[:_FITTED_ON], config)
        codec, latents = make_codec(parts, config), latents_of(train.sounds, parts)
        torch.manual_seed(config["seed"])
        pipe = make_pipeline(codec, config, self.out / "generator")
        pipe.to(self.device)
        objective = StableAudioObjective(pipe)
        adapter = self.new_adapter(train)
        self.teach(objective, adapter, latents.to(self.device), train, self.end - finish)
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
            training={"data": "rendered scenes", "seed": config["seed"]},
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
        optimiser = torch.optim.AdamW(weights, lr=config["rate"], betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        texts = objective.said(["", *MATERIALS])
        batch, moments = config["batch"], config["adapter"]["num_tokens"]
        seen, materials = train.seen.to(device), train.materials.to(device)
        times_s = (torch.arange(moments, device=device) + 0.5) * config["window_s"] / moments
        begun = saved = time.monotonic()
        step, total = 0, torch.zeros((), device=device)
        adapter.network.train()
        while (now := time.monotonic()) < until:
            share = (now - begun) / (until - begun)
            for group in optimiser.param_groups:
                group["lr"] = config["rate"] * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * share))
            draw = torch.rand(4, batch, generator=generator, device=device)
            rows = (draw[0] * len(seen)).long()
            first = (draw[1] * (seen.shape[1] - moments + 1)).long()[:, None]
            spans = first + torch.arange(moments, device=device)  # of features, and of latents, which are as long
            shown = self.varied(seen[rows[:, None], spans], draw[2], generator)
            clean = torch.gather(latents[rows], 2, spans[:, None].expand(-1, latents.shape[1], -1))
            nothing, word, both = draw[3] < 0.1, (draw[3] >= 0.1) & (draw[3] < 0.2), draw[3] > 0.85  # noqa: PLR2004
            text = texts[torch.where(word | both, materials[rows] + 1, 0)]
            heard = torch.stack([~nothing, ~(nothing | word)], 1)
            start_s = torch.zeros(batch, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                tokens = adapter.network(shown, times_s)
                span_s = (start_s, start_s + objective.longest_s)
                loss = objective.loss_at(clean, tokens, text, heard, span_s, Draw(generator, device)).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            torch._foreach_lerp_(means, [w.detach() for w in weights], 1 - min(_KEEP, (step + 1) / (step + 10)))
            total += loss.detach()
            step += 1
            if step % _TELL_EVERY == 0:
                self.tell("generator", step, float(total) / _TELL_EVERY)
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
        config, device, rate, seed = self.config, self.device, self.config["sample_rate"], self.config["seed"]
        vae, moments = objective.pipe.vae, config["adapter"]["num_tokens"]
        window, first = round(config["window_s"] * rate), held.seen.shape[1] - moments  # the ends, where more strikes
        begin = held.sounds.shape[1] - window
        true, seen = held.sounds[:, begin:], held.seen[:, first:].to(device)
        strikes = [[at - begin / rate for at in times if at >= begin / rate] for times in held.strikes]
        listener = Listener(train.sounds, train.materials)

        def through(sounds: torch.Tensor) -> torch.Tensor:
            parts = [
                vae.decode(vae.encode(part[:, None].to(device)).latent_dist.mode()).sample for part in sounds.split(16)
            ]
            return torch.cat(parts)[:, 0].cpu()

        known = 30
        threshold = best_threshold(onsets(through(train.sounds[:known]), rate), train.strikes[:known])
        times_s = (torch.arange(moments, device=device) + 0.5) * config["window_s"] / moments
        own = adapter.network(seen, times_s).float()
        said = objective.said(["", *MATERIALS])
        silent, words = said[:1].expand(len(seen), -1, -1), said[held.materials.to(device) + 1]
        shown, told = torch.tensor([[True, True]], device=device), torch.tensor([[True, False]], device=device)

        def made(tokens: torch.Tensor, text: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
            noise = torch.Generator(device).manual_seed(seed)
            latents = torch.randn(
                len(tokens), vae.config.decoder_input_channels, moments, generator=noise, device=device
            )
            heard, steps, guidance = heard.expand(len(tokens), -1), config["steps"], config["guidance"]
            latents = objective.denoised(tokens, text, latents, objective.longest_s, heard, steps, guidance)
            return torch.cat([vae.decode(part).sample[:, 0].cpu() for part in latents.split(32)])

        rows = {
            "true sounds": true,
            "true sounds through the autoencoder": through(true),
            "the scene's own features": made(own, silent, shown),
            "another scene's features": made(own.roll(len(own) // 2, 0), silent, shown),
            "no adapter, its word": made(own, words, told),
            "no adapter, no word": made(own, silent, told),
        }
        table = {
            name: {
                "material": round(float((listener.hears(sounds) == held.materials).float().mean()), 4),
                "onset_f1": round(f1(onsets(sounds, rate), strikes, threshold), 4),
            }
            for name, sounds in rows.items()
        }
        self.told |= {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
            "torch": torch.__version__,
            "train_scenes": len(train.seen),
            "held_out_scenes": len(held.seen),
            "threshold": threshold,
            "guidance": config["guidance"],
            "sampler_steps": config["steps"],
            "strikes_per_scene": round(sum(map(len, strikes)) / len(strikes), 2),
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
    parser.add_argument("--limit-s", type=float, default=1700.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--change", type=Path, action="append", default=[], help="YAML with entries to change")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    settings = yaml.safe_load((here / "config.yaml").read_text(encoding="utf-8"))
    for path in [here / "quick.yaml"] * args.quick + args.change:
        settings = merged(settings, yaml.safe_load(path.read_text(encoding="utf-8")))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    Proof(settings, args.out, torch.device(args.device), args.limit_s).run()
