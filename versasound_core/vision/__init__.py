"""What every encoder built on a trained backbone needs: frames in, one feature a frame out, and words for what is seen.

No model library is imported here. A plugin brings a `Backbone`; `VideoEncoder` does the rest.
"""

from __future__ import annotations

from .backbone import Backbone, Seen
from .encoder import Settings, UntrainedProjectionWarning, VideoEncoder
from .preprocess import Preprocess
from .pretrained import Pretrained
from .sounds import SoundTable

__all__ = [
    "Backbone",
    "Preprocess",
    "Pretrained",
    "Seen",
    "Settings",
    "SoundTable",
    "UntrainedProjectionWarning",
    "VideoEncoder",
]
