"""Any installed aligner as a `torch.nn.Module`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import attrs
import torch
from torch import nn

from comfyui_extension.backends import create
from versasound_core.containers import AudioData, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.device import resolve_device
from versasound_core.errors import InvalidInputError

from .clock import over

if TYPE_CHECKING:
    from versasound_core.contracts import Aligner


class NothingToFollowWarning(UserWarning):
    """Features without events were given: there is nothing to move the sound to, and it stays as it is."""


class TemporalAlignmentModule(nn.Module):
    """Moves sound onto what is seen, with any aligner that is installed.

    Args:
        visual_dim: Length of a feature vector.
        audio_dim: Width of the sound's features.
        hidden_dim: Width of an aligner that is trained on features.
        num_layers: Its depth.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`.

    Raises:
        InvalidInputError: A width or a depth that is no whole number above 0.
        DeviceError: There is no such device.
    """

    def __init__(
        self,
        visual_dim: int = 768,
        audio_dim: int = 1024,
        hidden_dim: int = 512,
        num_layers: int = 4,
        device: str = "auto",
    ) -> None:
        super().__init__()
        self.sizes = {
            "visual_dim": visual_dim,
            "audio_dim": audio_dim,
            "hidden_dim": hidden_dim,
            "num_layers": num_layers,
        }
        for name, value in self.sizes.items():
            if not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number of 1 or more, not {value!r}.")
        self._aligners: dict[tuple[str, bool], Aligner] = {}
        self.register_buffer("_place", torch.zeros(0, device=resolve_device(device)), persistent=False)

    @torch.no_grad()
    def forward(
        self,
        audio: torch.Tensor | AudioData,
        visual_features: torch.Tensor | VisualFeatures,
        sync_method: str = "learned",
        sync_strength: float = 0.5,
        adaptive: bool = True,
    ) -> AudioData:
        """Align a batch of sounds.

        Args:
            audio: `[B, C, T]`; a bare tensor is at 16 kHz.
            visual_features: Of the same batch. Aligners follow their events; a bare tensor has none, and the sound is
                returned as it came, with a `NothingToFollowWarning`.
            sync_method: `learned`, `dtw`, `cross_correlation`, or any other that `versasound plugins` lists.
            sync_strength: 0 leaves the sound as it is, 1 moves every event all the way.
            adaptive: Let the offset vary in time; False looks for one offset for the whole sound, if the aligner can.

        Returns:
            The sound, as long as it came; `metadata["sync_confidence"]` says for each item how sure the aligner was.

        Raises:
            PluginError: There is no such aligner, or it cannot be used.
            InvalidInputError: A strength outside [0, 1], or batches that differ.
        """
        sound = audio if isinstance(audio, AudioData) else AudioData(audio)
        aligner = self._aligner(sync_method, adaptive=adaptive)
        features = over(visual_features, sound.duration)
        if features.events is None:
            text = "The features have no events, so that nothing says when: the sound was left as it is."
            cure = "Give the aligner what UniversalVisualEncoder returns."
            warnings.warn(f"{text} {cure}", NothingToFollowWarning, stacklevel=2)
            return sound
        device = cast("torch.Tensor", self._place).device
        alignment = aligner.estimate(sound, features, RunContext(device=str(device)))
        moved = alignment.apply(sound, sync_strength)
        return attrs.evolve(moved, metadata={**moved.metadata, "sync_confidence": list(alignment.confidence)})

    def _aligner(self, name: str, *, adaptive: bool) -> Aligner:
        key = name, bool(adaptive)
        if key not in self._aligners:
            options: dict[str, Any] = {"adaptive": bool(adaptive), **self.sizes}
            self._aligners[key] = cast("Aligner", create("aligner", name, options))
        return self._aligners[key]
