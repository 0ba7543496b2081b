"""Any installed aligner as a `torch.nn.Module`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

import attrs
import torch
from torch import nn

from comfyui_extension.backends import create
from versasound_core.containers import AudioData, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.device import resolve_device
from versasound_core.errors import InvalidInputError
from versasound_core.feature_aligner import FeatureAligner

from .clock import over

if TYPE_CHECKING:
    from versasound_core.contracts import Aligner


class NothingToFollowWarning(UserWarning):
    """Features without events were given: there is nothing to move the sound to, and it stays as it is."""


class TemporalAlignmentModule(nn.Module):
    """Moves sound onto what is seen, with any aligner that is installed.

    The sizes are those of `feature_aligner`, a network to train on features of one's own: `module.feature_aligner.loss`
    needs pairs that are in time, `.lag` measures by how many steps a pair is off. `forward` does not use it: the
    aligners that it names need no training.

    Args:
        visual_dim: Length of a visual feature.
        audio_dim: Length of a feature of the sound.
        hidden_dim: Width of the network.
        num_layers: Its depth.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`.

    Attributes:
        feature_aligner: A `versasound_core.feature_aligner.FeatureAligner`.

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
        sizes = {"visual_dim": visual_dim, "audio_dim": audio_dim, "hidden_dim": hidden_dim, "num_layers": num_layers}
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number of 1 or more, not {value!r}.")
        place = resolve_device(device)
        self.feature_aligner = _to_train(sizes)
        self._aligners: dict[tuple[str, bool], Aligner] = {}
        self.register_buffer("_place", torch.zeros(0), persistent=False)
        self.to(place).eval()

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
        return align(aligner, sound, visual_features, sync_strength, str(cast("torch.Tensor", self._place).device))

    def _aligner(self, name: str, *, adaptive: bool) -> Aligner:
        key = name, bool(adaptive)
        if key not in self._aligners:
            self._aligners[key] = cast("Aligner", create("aligner", name, {"adaptive": bool(adaptive)}))
        return self._aligners[key]


def align(
    aligner: Aligner, sound: AudioData, seen: torch.Tensor | VisualFeatures, strength: float, device: str
) -> AudioData:
    """Move a sound onto the events of features, as `TemporalAlignmentModule.forward` does."""
    features = over(seen, sound.duration)
    if features.events is None:
        text = "The features have no events, so that nothing says when: the sound was left as it is."
        cure = "Give the aligner what UniversalVisualEncoder returns."
        warnings.warn(f"{text} {cure}", NothingToFollowWarning, stacklevel=3)
        return sound
    alignment = aligner.estimate(sound, features, RunContext(device=device))
    moved = alignment.apply(sound, strength)
    return attrs.evolve(moved, metadata={**moved.metadata, "sync_confidence": list(alignment.confidence)})


def _to_train(sizes: dict[str, int]) -> FeatureAligner:
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(0)  # the same weights every time, and nobody else's random numbers used up
    try:
        return FeatureAligner(**sizes)
    finally:
        torch.set_rng_state(state)
