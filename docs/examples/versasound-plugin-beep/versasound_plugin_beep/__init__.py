import torch

from versasound_core import AudioData


class Beep:
    def __init__(self, hz):
        self.hz = hz

    def generate(self, features, request, ctx):
        ctx.report(0.0, "beeping")  # shows progress, and stops where the user asks to
        tone = torch.sin(torch.arange(request.num_samples) * (6.283185307 * self.hz / request.sample_rate))
        return AudioData(tone.expand(1 if features is None else features.shape[0], 1, -1), request.sample_rate)
