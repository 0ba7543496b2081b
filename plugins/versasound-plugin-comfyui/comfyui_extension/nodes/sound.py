"""Nodes that make and treat sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .widgets import FEATURES, Widget, backends, heard, options, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.containers import AudioData, VisualFeatures

    Sound = AudioData | Mapping[str, Any]

_SEEDS = 2**63 - 1


class AudioGenerator:
    """Makes sound for visual features."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Makes sound for visual features, and for the words of a prompt."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802  (ComfyUI's name)
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "visual_features": (FEATURES,),
                "model_type": backends("generator", "audioldm2"),
                "prompt": ("STRING", {"default": "", "multiline": True, "tooltip": "Empty: the picture decides."}),
                "negative_prompt": ("STRING", {"default": "", "multiline": True}),
                "num_inference_steps": ("INT", {"default": 50, "min": 1, "max": 1000}),
                "guidance_scale": ("FLOAT", {"default": 10.0, "min": 0.0, "max": 100.0, "step": 0.5}),
                "sample_rate": ("INT", {"default": 16000, "min": 8000, "max": 192000}),
                "duration": ("FLOAT", {"default": 5.0, "min": 0.1, "max": 3600.0, "step": 0.1}),
                "seed": ("INT", {"default": 0, "min": 0, "max": _SEEDS}),
            }
        }

    def process(self, **inputs: Any) -> tuple[dict[str, Any]]:  # noqa: ANN401  (what ComfyUI gives)
        """Do what `generate` does, for ComfyUI."""
        return (told(self.generate(**inputs)),)

    def generate(  # noqa: PLR0913, PLR0917  (those of the published generator)
        self,
        visual_features: VisualFeatures,
        model_type: str = "audioldm2",
        prompt: str | None = None,
        negative_prompt: str | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 10.0,
        sample_rate: int = 16000,
        duration: float = 5.0,
        seed: int | None = None,
    ) -> AudioData:
        """Return `[B, C, duration * sample_rate]`; see `UniversalAudioGenerator`. An empty prompt is none."""
        from comfyui_extension.models.audio_generator import UniversalAudioGenerator

        generator = UniversalAudioGenerator(model_type)
        made: AudioData = generator(
            visual_features=visual_features,
            prompt=prompt or None,
            negative_prompt=negative_prompt or None,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            sample_rate=sample_rate,
            duration=duration,
            seed=seed,
        )
        return made


class TemporalSynchronizer:
    """Moves sound onto what is seen."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Moves sound onto what is seen: whole strikes, without stretching them."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "audio": ("AUDIO",),
                "visual_features": (FEATURES,),
                "sync_method": backends("aligner", "learned"),
                "sync_strength": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05}),
                "adaptive": ("BOOLEAN", {"default": True, "tooltip": "Let the offset vary in time."}),
            }
        }

    def process(self, **inputs: Any) -> tuple[dict[str, Any]]:  # noqa: ANN401
        """Do what `synchronize` does, for ComfyUI."""
        return (told(self.synchronize(**inputs)),)

    def synchronize(
        self,
        audio: Sound,
        visual_features: VisualFeatures,
        sync_method: str = "learned",
        sync_strength: float = 0.5,
        adaptive: bool = True,
    ) -> AudioData:
        """Return the sound moved onto the events of the features; see `TemporalAlignmentModule`."""
        from comfyui_extension.backends import create
        from comfyui_extension.models.temporal_aligner import align
        from versasound_core.device import resolve_device

        aligner = create("aligner", sync_method, {"adaptive": adaptive})
        return align(aligner, heard(audio), visual_features, sync_strength, str(resolve_device("auto")))


class AudioRefiner:
    """Brings sound to a loudness, and cleans and colours it on request."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Brings sound to a loudness under a true-peak ceiling; cleans and colours it on request."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802
        """Return the inputs, as ComfyUI asks for them: the options of the refiner `mastering`."""
        return {"required": {"audio": ("AUDIO",), **options("refiner", "mastering")}}

    def process(self, **inputs: Any) -> tuple[dict[str, Any]]:  # noqa: ANN401
        """Do what `refine` does, for ComfyUI."""
        return (told(self.refine(**inputs)),)

    def refine(self, audio: Sound, **settings: Any) -> AudioData:  # noqa: ANN401  (the options of a card)
        """Return the sound mastered, as long as it came.

        Args:
            audio: `[B, C, T]`, one or two channels.
            **settings: Options of the refiner `mastering`: `normalize`, `target_lufs`, `denoise_strength` and so on.

        Raises:
            InvalidInputError: An option that it does not have, or a value that it cannot take.
        """
        from versasound_core.context import RunContext
        from versasound_core.registry import default_registry

        made: AudioData = default_registry.create("refiner", "mastering", **settings).refine(heard(audio), RunContext())
        return made


class AudioBlender:
    """Joins two sounds."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Joins two sounds; the first may give way where the second has something to say."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "audio_a": ("AUDIO",),
                "audio_b": ("AUDIO",),
                "mode": (["mix", "duck"], {"default": "mix", "tooltip": "duck: the first gives way to the second."}),
                "level_db": (
                    "FLOAT",
                    {"default": 0.0, "min": -60.0, "max": 60.0, "step": 0.5, "tooltip": "Of the second to the first."},
                ),
            }
        }

    def process(self, **inputs: Any) -> tuple[dict[str, Any]]:  # noqa: ANN401
        """Do what `blend` does, for ComfyUI."""
        return (told(self.blend(**inputs)),)

    def blend(
        self, audio_a: Sound, audio_b: Sound, mode: Literal["mix", "duck"] = "mix", level_db: float = 0.0
    ) -> AudioData:
        """Return both sounds as one, as long as the first; see `versasound_core.media.mixing.mix_original`.

        Args:
            audio_a: `[B, C, T]`.
            audio_b: `[1, C, T]` for all of them, or a batch of as many; brought to the first one's rate.
            mode: `mix` adds them; `duck` lowers the first while the second has content.
            level_db: Loudness of the second relative to the first.

        Raises:
            InvalidInputError: Batches that do not fit, or a mode or a level that there is not.
        """
        import attrs
        import torch

        from versasound_core.errors import InvalidInputError
        from versasound_core.media.blocks import joined
        from versasound_core.media.mixing import mix_original

        first, second = heard(audio_a), heard(audio_b)
        second = second.resample(first.sample_rate)
        count, others = first.shape[0], second.shape[0]
        if others not in {1, count}:
            raise InvalidInputError(f"{count} sounds and {others} cannot be blended.", "Give one, or as many.")
        made = []
        for item in range(count):
            one = attrs.evolve(first, waveform=first.waveform[item : item + 1])
            place = min(item, others - 1)
            other = attrs.evolve(second, waveform=second.waveform[place : place + 1])
            made.append(joined(mix_original([one], [other], mode, level_db)).waveform)
        return attrs.evolve(first, waveform=torch.cat(made))
