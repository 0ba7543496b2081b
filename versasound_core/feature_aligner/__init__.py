"""An aligner to train on the features of one encoder: by how much is the sound off?"""

from __future__ import annotations

from .aligner import AlignerFacts, TrainedAligner, load_aligner
from .network import FeatureAligner, shifted
from .sound import SOUND_CHANNELS, sound_inputs

__all__ = [
    "SOUND_CHANNELS",
    "AlignerFacts",
    "FeatureAligner",
    "TrainedAligner",
    "load_aligner",
    "shifted",
    "sound_inputs",
]
