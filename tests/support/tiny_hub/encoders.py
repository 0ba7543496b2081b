"""CLIP, SigLIP 2, DINOv2, DINOv3 and VideoMAE, two layers deep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .repositories import repository

_LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_KINETICS = ["applauding", "chopping wood", "playing drums", "tap dancing", "typing", "washing dishes"]


def save(make: Callable[[], Any], folder: Path) -> Any:
    """Make a model of the same random weights every time, and save it as config.json and model.safetensors."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(7)
    model = make()
    with torch.no_grad():  # weights of the usual size would make all outputs nearly alike in so small a model
        for weight in model.parameters():
            if weight.ndim:
                weight.normal_(0, 0.1)
    torch.set_rng_state(state)
    model.save_pretrained(folder)
    return model


def write_json(folder: Path, name: str, content: object) -> None:
    """Write a file of JSON."""
    (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_clip_tokenizer(folder: Path) -> int:
    """Write a byte-level tokenizer without merges, as CLIP's, and return how many tokens it has."""
    from transformers import CLIPTokenizer

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(rest))]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    write_json(folder, "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return len(words)


@repository("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16", "openai/clip-vit-large-patch14")
def write_clip(folder: Path) -> None:
    """CLIP."""
    from transformers import CLIPConfig, CLIPModel

    words = write_clip_tokenizer(folder)
    config = CLIPConfig(
        text_config={**_LAYERS, "vocab_size": words, "bos_token_id": words - 2, "eos_token_id": words - 1},
        vision_config={**_LAYERS, "image_size": 224, "patch_size": 32},
        projection_dim=16,
    )
    save(lambda: CLIPModel(config), folder)
    preprocess = {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 224,
    }
    write_json(folder, "preprocessor_config.json", preprocess)


@repository("google/siglip2-base-patch16-224")
def write_siglip2(folder: Path) -> None:
    """SigLIP 2 of fixed resolution."""
    from transformers import GemmaTokenizer, SiglipConfig, SiglipModel

    letters = [chr(byte) for byte in range(33, 127)] + ["▁"]
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *letters]
    GemmaTokenizer(vocab={w: n for n, w in enumerate(words)}, merges=[], model_max_length=64).save_pretrained(folder)
    config = SiglipConfig(
        text_config={
            **_LAYERS,
            "vocab_size": len(words),
            "max_position_embeddings": 64,
            "projection_size": 32,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
        },
        vision_config={**_LAYERS, "image_size": 224, "patch_size": 32},
    )
    save(lambda: SiglipModel(config), folder)
    preprocess = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": 224, "width": 224},
    }
    write_json(folder, "preprocessor_config.json", preprocess)


def _write_dinov2(folder: Path, classes: int) -> None:
    from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model

    sizes = {key: value for key, value in _LAYERS.items() if key != "intermediate_size"}
    if classes:
        config = Dinov2Config(**sizes, mlp_ratio=2, image_size=70, patch_size=14, num_labels=classes)
        save(lambda: Dinov2ForImageClassification(config), folder)
    else:
        config = Dinov2Config(**sizes, mlp_ratio=2, image_size=70, patch_size=14)
        save(lambda: Dinov2Model(config), folder)
    preprocess = {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        **_IMAGENET,
        "image_processor_type": "BitImageProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 256},
    }
    write_json(folder, "preprocessor_config.json", preprocess)


@repository("facebook/dinov2-small", "facebook/dinov2-base", "facebook/dinov2-large")
def write_dinov2(folder: Path) -> None:
    """DINOv2 without a head."""
    _write_dinov2(folder, 0)


@repository(*(f"facebook/dinov2-{size}-imagenet1k-1-layer" for size in ("small", "base", "large")))
def write_dinov2_imagenet(folder: Path) -> None:
    """DINOv2 with a linear head."""
    _write_dinov2(folder, 1000)


@repository(*(f"facebook/dinov3-vit{size}16-pretrain-lvd1689m" for size in "sbl"))
def write_dinov3(folder: Path) -> None:
    """DINOv3, with its four registers."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(**_LAYERS, image_size=224, patch_size=16, num_register_tokens=4)
    save(lambda: DINOv3ViTModel(config), folder)
    preprocess = {
        "default_to_square": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        **_IMAGENET,
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": 224, "width": 224},
    }
    write_json(folder, "preprocessor_config.json", preprocess)


def _write_videomae(folder: Path, *, classifies: bool) -> None:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification

    shape = {"image_size": 224, "patch_size": 32, "num_frames": 16, "tubelet_size": 2}
    if classifies:
        names = [*_KINETICS, *(f"class {number}" for number in range(len(_KINETICS), 400))]
        config = VideoMAEConfig(**_LAYERS, **shape, id2label=dict(enumerate(names)), use_mean_pooling=True)
        save(lambda: VideoMAEForVideoClassification(config), folder)
    else:
        decoder = {
            "decoder_hidden_size": 16,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 32,
        }
        config = VideoMAEConfig(**_LAYERS, **shape, **decoder, use_mean_pooling=False)
        save(lambda: VideoMAEForPreTraining(config), folder)
    preprocess = {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        **_IMAGENET,
        "image_processor_type": "VideoMAEImageProcessor",
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 224},
    }
    write_json(folder, "preprocessor_config.json", preprocess)


@repository("MCG-NJU/videomae-base-finetuned-kinetics", "MCG-NJU/videomae-large-finetuned-kinetics")
def write_videomae_kinetics(folder: Path) -> None:
    """VideoMAE with a Kinetics head."""
    _write_videomae(folder, classifies=True)


@repository("MCG-NJU/videomae-base", "MCG-NJU/videomae-large")
def write_videomae(folder: Path) -> None:
    """VideoMAE as it was pretrained, decoder and all."""
    _write_videomae(folder, classifies=False)
