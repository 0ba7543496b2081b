"""The losses against closed forms: who predicts what is true has none, at whatever noise level."""

from __future__ import annotations

import math

import pytest
import torch

from versasound_core.errors import InvalidInputError

pytest.importorskip("diffusers", reason="diffusers, whose pipelines these losses are of, is not installed")

from versasound_plugin_training.objectives import Draw, load_objective
from versasound_plugin_training.objectives.audioldm2 import AudioLDM2Objective
from versasound_plugin_training.objectives.stable_audio import StableAudioObjective

CPU = torch.device("cpu")
BOTH = torch.ones(3, 2, dtype=torch.bool)


def draw(seed=0):
    return Draw([torch.Generator().manual_seed(seed + k) for k in range(3)], CPU)


class KnowingStableAudio(StableAudioObjective):
    """Knows the clean latents, and predicts the velocity `cos(t) noise - sin(t) clean` (Salimans and Ho 2022)."""

    clean: torch.Tensor

    def predict(self, latents, time, words, times):
        angle = time[:, None, None] * math.pi / 2
        noise = (latents - angle.cos() * self.clean) / angle.sin()
        return angle.cos() * noise - angle.sin() * self.clean


class KnowingAudioLDM2(AudioLDM2Objective):
    """Knows the clean latents, and predicts the noise (Ho et al. 2020)."""

    clean: torch.Tensor

    def predict(self, latents, steps, tokens, texts, shown):
        kept = self.pipe.scheduler.alphas_cumprod[steps][:, None, None, None]
        return (latents - kept.sqrt() * self.clean) / (1 - kept).sqrt()


def test_stable_audio_learns_the_velocity(tiny_hub):
    objective = KnowingStableAudio.load(tiny_hub.add("stabilityai/stable-audio-open-1.0"))
    objective.clean = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(9))
    tokens = torch.randn(3, 5, objective.token_dim)
    loss = objective.loss(objective.clean, tokens, ["", "a thud", ""], 2.0, BOTH, draw())
    torch.testing.assert_close(loss, torch.zeros(3), atol=1e-6, rtol=0)
    wrong = objective.loss(objective.clean + 1, tokens, ["", "a thud", ""], 2.0, BOTH, draw())
    assert (wrong > 1e-3).all()


def test_audioldm2_learns_the_noise(tiny_hub):
    objective = KnowingAudioLDM2.load(tiny_hub.add("cvssp/audioldm2"))
    objective.clean = torch.randn(3, 8, 20, 4, generator=torch.Generator().manual_seed(9))
    loss = objective.loss(objective.clean, torch.randn(3, 5, objective.token_dim), [""] * 3, 2.0, BOTH, draw())
    torch.testing.assert_close(loss, torch.zeros(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "repository"), [("stable_audio", "stabilityai/stable-audio-open-1.0"), ("audioldm2", "cvssp/audioldm2")]
)
def test_tokens_are_heard_only_where_they_should_be_and_take_all_the_gradient(tiny_hub, name, repository):
    tiny_hub.add(repository)
    objective = load_objective(name, {})
    sound = 0.1 * torch.randn(
        3, objective.channels, objective.sample_rate // 4, generator=torch.Generator().manual_seed(1)
    )
    encoded = objective.encode(sound)
    tokens = torch.randn(3, 5, objective.token_dim, generator=torch.Generator().manual_seed(2)).requires_grad_()
    heard = torch.tensor([[True, True], [True, False], [False, False]])
    objective.loss(encoded, tokens, ["a thud"] * 3, 1.0, heard, draw()).sum().backward()
    sizes = tokens.grad.flatten(1).norm(dim=1)
    assert sizes[0] > 0
    assert sizes[1] == sizes[2] == 0
    assert all(weight.grad is None for module in objective.modules.values() for weight in module.parameters())


def test_an_item_has_the_same_loss_in_any_batch(tiny_hub):
    objective = AudioLDM2Objective.load(tiny_hub.add("cvssp/audioldm2"))
    encoded = objective.encode(0.1 * torch.randn(3, objective.channels, objective.sample_rate))
    tokens = torch.randn(3, 5, objective.token_dim)
    texts = ["", "a thud", "rain"]
    with torch.no_grad():
        whole = objective.loss(encoded, tokens, texts, 1.0, BOTH, draw())
        source = Draw([torch.Generator().manual_seed(1)], CPU)
        alone = objective.loss(encoded[1:2], tokens[1:2], texts[1:2], 1.0, BOTH[:1], source)
    torch.testing.assert_close(alone, whole[1:2], atol=1e-5, rtol=1e-5)


def test_samples_are_as_long_as_asked_and_the_same_again(tiny_hub):
    objective = AudioLDM2Objective.load(tiny_hub.add("cvssp/audioldm2"))
    tokens = torch.randn(1, 2, objective.token_dim, generator=torch.Generator().manual_seed(2))
    first, second = (
        objective.sample(tokens, ["rain"], 0.5, Draw([torch.Generator().manual_seed(4)], CPU)) for _ in range(2)
    )
    assert first.shape == (1, 1, 8000)
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()


def test_a_generator_without_a_loss_is_refused():
    with pytest.raises(InvalidInputError, match=r"the generator 'foley' cannot be taught.*audioldm2, stable_audio"):
        load_objective("foley", {})
