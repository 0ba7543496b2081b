"""An aligner in one page: it measures, and the core applies."""

import torch
from versasound_core import Alignment, AudioData, RunContext, VisualFeatures
from versasound_core.errors import InvalidInputError
from versasound_core.events import onset_envelope

RATE_HZ = 100.0


class FirstBeatAligner:
    """Moves the whole sound so that its first onset falls on the first event."""

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Return one knot for each item, or none where nothing is heard or seen."""
        if features.events is None or features.shape[0] != audio.shape[0]:
            raise InvalidInputError("first_beat needs features with events, as many as there are sounds.")
        knots = []
        for item, flux in enumerate(onset_envelope(audio, RATE_HZ)):
            ctx.report(item / audio.shape[0], "listening")
            seen, heard = features.events.onsets[item], torch.nonzero(flux > 0.5 * flux.max())[:, 0]
            found = bool(seen) and len(heard) > 0 and abs(seen[0][0] - float(heard[0]) / RATE_HZ) < audio.duration
            knots.append([(float(heard[0]) / RATE_HZ, seen[0][0])] if found else [])
        return Alignment(knots, [0.5 if item else 0.0 for item in knots])
