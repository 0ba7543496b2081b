"""AudioGen's own files as a checkpoint of transformers: the same numbers under other names.

AudioGen was published in audiocraft's format alone. Its language model and its codec are those of MusicGen, so that
transformers' MusicGen runs it; the text encoder is an unchanged T5 and is not in those files.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from versasound_core.cache import default_cache_dir
from versasound_core.errors import ModelLoadError
from versasound_core.log import get_logger
from versasound_core.weights import checkpoint, find, own_card

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.weights import Checkpoint

    State = dict[str, torch.Tensor]

LM, CODEC = "state_dict.bin", "compression_state_dict.bin"
_FORMAT = 1  # of what is written; a change makes it be written anew
_LM_NAMES = {
    "emb.": "model.decoder.embed_tokens.",
    "transformer.layers.": "model.decoder.layers.",
    "out_norm.": "model.decoder.layer_norm.",
    "linears.": "lm_heads.",
    ".norm_cross.": ".encoder_attn_layer_norm.",
    ".norm1.": ".self_attn_layer_norm.",
    ".norm2.": ".final_layer_norm.",
    ".cross_attention.": ".encoder_attn.",
    ".linear1.": ".fc1.",
    ".linear2.": ".fc2.",
}
_CODEC_NAMES = {
    "coder.model.": "coder.layers.",
    ".conv.conv.": ".conv.",
    ".convtr.convtr.": ".conv.",
    "quantizer.vq.layers.": "quantizer.layers.",
    "._codebook.": ".codebook.",
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
_PROJECTION = "condition_provider.conditioners.description.output_proj."
_log = get_logger(__name__)


def converted(wanted: Checkpoint, folder: Path) -> Path:
    """Return a folder that transformers can load: `folder` itself, or what its files were converted to.

    A conversion is written once, into the cache, whole or not at all.

    Raises:
        ModelLoadError: If the files are not what they should be, or the text encoder is missing.
    """
    if not wanted.names or (folder / "config.json").is_file():
        return folder
    card = own_card(str(Path(__file__)), wanted.role, wanted.backend)
    text = find(checkpoint(card, wanted.role, wanted.backend, wanted.also[0]))
    sources = [folder / LM, folder / CODEC, *sorted(text.glob("*.safetensors"))]
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    key = hashlib.sha256(repr((_FORMAT, stamps)).encode()).hexdigest()[:16]
    home = default_cache_dir() / "converted"
    done = home / f"{wanted.variant}-{key}"
    if done.is_dir():
        return done
    home.mkdir(parents=True, exist_ok=True)
    _log.info("Converting %s to %s, once", folder, done)
    aside = Path(tempfile.mkdtemp(prefix=f".{done.name}-", dir=home))
    try:
        convert(folder, text, aside)
        if not done.is_dir():  # another process may have been faster
            aside.rename(done)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return done


def convert(folder: Path, text: Path, target: Path) -> None:
    """Write a checkpoint of transformers into `target`, and compare what was written with what was read.

    Args:
        folder: With audiocraft's two files.
        text: With the T5 that reads the prompts.
        target: An empty folder.

    Raises:
        ModelLoadError: If a weight is missing, left over, of another shape, or comes back different.
    """
    from transformers import GenerationConfig, MusicgenConfig, MusicgenForConditionalGeneration

    lm, lm_config = read(folder / LM)
    codec, codec_config = read(folder / CODEC)
    config = MusicgenConfig(
        text_encoder=_text_config(text), audio_encoder=_codec_config(codec_config), decoder=_decoder_config(lm_config)
    )
    with torch.device("meta"):
        model = MusicgenForConditionalGeneration(config)
    state = _lm_state(lm) | {f"audio_encoder.{_renamed(name, _CODEC_NAMES)}": w for name, w in codec.items()}
    state |= _text_state(text)
    _check(model, state, folder)
    state = {name: weight.contiguous() for name, weight in state.items()}
    save_file(state, target / "model.safetensors", {"format": "pt"})
    config.architectures = ["MusicgenForConditionalGeneration"]
    config.save_pretrained(target)
    start = config.decoder.pad_token_id
    frames = round(lm_config["dataset"]["segment_duration"] * config.audio_encoder.frame_rate)
    tokens = {"pad_token_id": start, "bos_token_id": start, "decoder_start_token_id": start}
    guidance = lm_config["classifier_free_guidance"]["inference_coef"]
    GenerationConfig(do_sample=True, guidance_scale=guidance, max_length=frames, **tokens).save_pretrained(target)
    for path in text.iterdir():
        if "token" in path.name or path.name == "spiece.model":
            shutil.copyfile(path, target / path.name)
    with safe_open(target / "model.safetensors", "pt") as file:
        if not all(torch.equal(file.get_tensor(name), weight) for name, weight in state.items()):
            raise ModelLoadError(f"{target} does not hold what was written to it.", "Check the disk and try again.")


def read(path: Path) -> tuple[State, dict[str, Any]]:
    """Return the weights and the configuration in one of audiocraft's exported files.

    Nothing but tensors and plain values is unpickled.

    Raises:
        ModelLoadError: If it holds no weights.
    """
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    try:
        return content["best_state"], _resolved(yaml.safe_load(content["xp.cfg"]))
    except (KeyError, TypeError) as error:
        raise ModelLoadError(
            f"{path} is no export of audiocraft with weights of its own: {error}.", "Fetch it again."
        ) from error


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    """Put the values in the place of `${references}` to them; what leads nowhere stays."""

    def look_up(reference: str) -> Any:  # noqa: ANN401
        found: Any = config
        for key in reference[2:-1].split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return reference if found is None else resolve(found)

    def resolve(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {key: resolve(one) for key, one in value.items()}
        if isinstance(value, str) and re.fullmatch(r"\$\{[\w.]+\}", value):
            return look_up(value)
        return value

    return cast("dict[str, Any]", resolve(config))


def _decoder_config(config: Mapping[str, Any]) -> dict[str, Any]:
    lm = config["transformer_lm"]
    return {
        "vocab_size": lm["card"],
        "hidden_size": lm["dim"],
        "num_hidden_layers": lm["num_layers"],
        "num_attention_heads": lm["num_heads"],
        "ffn_dim": lm["hidden_scale"] * lm["dim"],
        "activation_function": lm["activation"],
        "num_codebooks": lm["n_q"],
        "audio_channels": config["channels"],
        "pad_token_id": lm["card"],
        "bos_token_id": lm["card"],
    }


def _codec_config(config: Mapping[str, Any]) -> dict[str, Any]:
    from transformers import EncodecConfig

    net, books = config["seanet"], config["rvq"]
    frames = config["sample_rate"] / torch.tensor(net["ratios"]).prod().item()
    bandwidth = books["n_q"] * frames * (books["bins"] - 1).bit_length() / 1000
    codec = EncodecConfig(
        target_bandwidths=[bandwidth],
        sampling_rate=config["sample_rate"],
        audio_channels=config["channels"],
        normalize=config["encodec"]["renormalize"],
        hidden_size=net["dimension"],
        num_filters=net["n_filters"],
        num_residual_layers=net["n_residual_layers"],
        upsampling_ratios=net["ratios"],
        norm_type=net["norm"],
        kernel_size=net["kernel_size"],
        last_kernel_size=net["last_kernel_size"],
        residual_kernel_size=net["residual_kernel_size"],
        dilation_growth_rate=net["dilation_base"],
        use_causal_conv=net["causal"],
        pad_mode=net["pad_mode"],
        compress=net["compress"],
        num_lstm_layers=net["lstm"],
        trim_right_ratio=net["decoder"]["trim_right_ratio"],
        codebook_size=books["bins"],
        codebook_dim=net["dimension"],
        use_conv_shortcut=not net["true_skip"],
    )
    return cast("dict[str, Any]", codec.to_dict())


def _text_config(folder: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    config.is_encoder_decoder, config.use_cache = False, False
    return cast("dict[str, Any]", config.to_dict())


def _text_state(folder: Path) -> State:
    state: State = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no mapping)
                if name == "shared.weight" or name.startswith("encoder."):
                    state[f"text_encoder.{name}"] = file.get_tensor(name)
    return state


def _lm_state(lm: State) -> State:
    state: State = {}
    for old, weight in lm.items():
        if old.startswith(_PROJECTION):
            state[f"enc_to_dec_proj.{old.removeprefix(_PROJECTION)}"] = weight
            continue
        name = f"decoder.{_renamed(old, _LM_NAMES)}"
        if name.endswith("in_proj_weight"):
            for part, piece in zip("qkv", weight.chunk(3), strict=True):
                state[name.replace("in_proj_weight", f"{part}_proj.weight")] = piece
        else:
            state[name] = weight
    return state


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        name = name.replace(old, new)
    return name


def _check(model: Any, state: State, folder: Path) -> None:  # noqa: ANN401
    """See to it that every weight has its place and every place its weight."""
    places = {name: weight.shape for name, weight in model.state_dict().items()}
    tied = {"text_encoder.encoder.embed_tokens.weight", "text_encoder.shared.weight"}
    wrong = {name for name, weight in state.items() if places.get(name) != weight.shape}
    missing = places.keys() - state.keys() - tied
    if not tied & state.keys():
        missing |= {"text_encoder.shared.weight"}
    if wrong or missing:
        raise ModelLoadError(
            f"{folder} is no AudioGen: {len(missing)} weights are missing and {len(wrong)} are of no use, "
            f"such as {sorted(wrong | missing)[0]}.",
            "Fetch it again.",
        )
