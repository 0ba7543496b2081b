"""Sound to the log-mel spectrogram that the model was trained on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

_FFT = 1024
_FLOOR = 1e-5


def log_mel(sound: torch.Tensor, frames: int, vocoder: Any) -> torch.Tensor:  # noqa: ANN401  (a config)
    """Return `[frames, bands]` of a sound `[T]` at the vocoder's rate: magnitudes, Slaney's bands, natural logarithm.

    Silence follows a sound that is too short. Drafts have their peaks near half of full scale, which is what the model
    was trained on, and are not scaled: windows of one sound stay as loud as they are.
    """
    from transformers.audio_utils import mel_filter_bank

    hop = math.prod(vocoder.upsample_rates)
    wanted = (frames - 1) * hop
    sound = functional.pad(sound.float(), (0, max(0, wanted - len(sound))))[: max(wanted, _FFT)]
    spectrum = torch.stft(
        functional.pad(sound, (0, max(0, _FFT - len(sound)))),
        _FFT,
        hop,
        window=torch.hann_window(_FFT),
        return_complex=True,
    ).abs()
    bands = mel_filter_bank(
        _FFT // 2 + 1, vocoder.model_in_dim, 0.0, vocoder.sampling_rate / 2, vocoder.sampling_rate, "slaney", "slaney"
    )
    mel = torch.from_numpy(bands).float().T @ spectrum
    return mel.clamp_min(_FLOOR).log().T[:frames]
