"""The losses against closed forms: who predicts what is true has none, at whatever noise level."""

from __future__ import annotations

import math

import pytest
import torch

from versasound_core.errors import InvalidInputError

pytest.importorskip("diffusers", reason="diffusers, whose pipelines these losses are of, is not installed")

from versasound_plugin_training.objectives import Draw, load_objective
from versasound_plugin_training.objectives.audiocraft import MusicgenObjective
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
    ("name", "options", "repository"),
    [
        ("stable_audio", {}, "stabilityai/stable-audio-open-1.0"),
        ("audioldm2", {}, "cvssp/audioldm2"),
        ("audiocraft", {"variant": "musicgen-small"}, "facebook/musicgen-small"),
    ],
)
def test_tokens_are_heard_only_where_they_should_be_and_take_all_the_gradient(tiny_hub, name, options, repository):
    tiny_hub.add(repository)
    objective = load_objective(name, options)
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
    assert torch.isfinite(tokens.grad).all()
    assert all(weight.grad is None for module in objective.modules.values() for weight in module.parameters())


@pytest.mark.parametrize("variant", ["musicgen-small", "musicgen-stereo-small"])
def test_musicgen_learns_what_the_library_calls_its_loss(tiny_hub, variant):
    """The codes, their delays, the states with their tokens and the loss itself, all by the library's own means."""
    from transformers import AutoTokenizer
    from transformers.modeling_outputs import BaseModelOutput

    folder = tiny_hub.add(f"facebook/{variant}")
    objective = MusicgenObjective.load(folder)
    model, channels = objective.model, objective.channels
    sound = 0.1 * torch.randn(3, channels, 16000, generator=torch.Generator().manual_seed(1))
    codes = objective.encode(sound)
    books, start = model.decoder.num_codebooks, model.config.decoder.pad_token_id
    for channel in range(channels):
        expected = model.audio_encoder.encode(sound[:, channel, None])[0][0]
        assert torch.equal(codes[:, channel::channels], expected)
    begun = torch.nn.functional.pad(codes, (1, 0), value=start).flatten(0, 1)
    length = codes.shape[-1] + books // channels
    labels = model.decoder.build_delay_pattern_mask(begun, start, length)[1].unflatten(0, (3, books))[..., 1:]
    texts = ["a thud", "rain on a roof", "a thud"]
    words = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    tokens = torch.randn(3, 5, objective.token_dim, generator=torch.Generator().manual_seed(2))
    model.config.decoder.decoder_start_token_id = start
    with torch.no_grad():
        plain = model(**words, labels=labels.transpose(1, 2)).loss
        states = torch.cat([model.text_encoder(**words).last_hidden_state, tokens], 1)
        mask = torch.cat([words.attention_mask, torch.ones(3, 5, dtype=torch.long)], 1)
        seeing = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            labels=labels.transpose(1, 2),
        ).loss
        deaf = torch.tensor([[True, False]] * 3)
        ours = [objective.loss(codes, tokens, texts, 0.5, heard, draw()) for heard in (deaf, BOTH)]
    torch.testing.assert_close(ours[0].mean(), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1].mean(), seeing, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, seeing, atol=1e-3)


def test_what_nobody_says_is_not_attended_to(tiny_hub):
    """An empty prompt is none, as for the generator; and who hears nothing predicts as guidance leads away from."""
    objective = MusicgenObjective.load(tiny_hub.add("facebook/musicgen-small"))
    tokens = torch.randn(3, 5, objective.token_dim)
    _, mask = objective.condition(tokens, ["", "a thud", "a thud"], torch.tensor([[True, True]] * 2 + [[False, False]]))
    assert mask.sum(1).tolist()[0] == 5
    assert mask.sum(1).tolist()[1] > 5
    nothing = objective.model.get_unconditional_inputs(1)
    ids = torch.randint(0, 64, (3, 4, 6), generator=torch.Generator().manual_seed(0))
    states, mask = objective.condition(tokens, [""] * 3, torch.zeros(3, 2, dtype=torch.bool))
    with torch.no_grad():
        expected = objective.model(
            encoder_outputs=nothing.encoder_outputs,
            attention_mask=nothing.attention_mask,
            decoder_input_ids=ids[0],
        ).logits
        torch.testing.assert_close(objective.predict(ids, states, mask)[0], expected, atol=1e-5, rtol=1e-5)


def test_musicgens_samples_are_those_of_its_generator_when_one_token_is_left_to_choose(tiny_hub, monkeypatch):
    from versasound_plugin_training.objectives import audiocraft

    from versasound_core import registry
    from versasound_core.containers import GenerationRequest
    from versasound_core.context import RunContext

    objective = MusicgenObjective.load(tiny_hub.add("facebook/musicgen-stereo-small"))
    monkeypatch.setattr(audiocraft, "_LIKELIEST", 1)
    generator = registry.create(
        "generator", "audiocraft", variant="musicgen-stereo-small", words=False, timing="none", top_k=1
    )
    request = GenerationRequest(duration_s=0.5, prompt="a thud", sample_rate=32000)
    expected = generator.generate(None, request, RunContext()).waveform
    nothing = torch.zeros(3, 0, objective.token_dim)
    made = objective.sample(nothing, ["a thud"] * 3, 0.5, draw())
    assert made.shape == (3, 2, 16000)
    for item in made:
        torch.testing.assert_close(item[None], expected, atol=1e-4, rtol=0)


def test_musicgen_computes_activations_twice_when_asked_and_the_gradient_is_the_same(tiny_hub):
    objective = MusicgenObjective.load(tiny_hub.add("facebook/musicgen-small"))
    codes = objective.encode(0.1 * torch.randn(3, 1, 16000, generator=torch.Generator().manual_seed(1)))
    calls = []
    for layer in objective.model.decoder.model.decoder.layers:
        layer.fc1.register_forward_hook(lambda *_: calls.append(1))
    gradients = []
    for spared in (False, True):
        if spared:
            objective.checkpoint_gradients()
        tokens = torch.randn(3, 5, objective.token_dim, generator=torch.Generator().manual_seed(2)).requires_grad_()
        objective.loss(codes, tokens, [""] * 3, 0.5, BOTH, draw()).sum().backward()
        gradients.append(tokens.grad)
        assert len(calls) == (6 if spared else 2)  # two layers, and those again
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("kind", "repository"), [(AudioLDM2Objective, "cvssp/audioldm2"), (MusicgenObjective, "facebook/musicgen-small")]
)
def test_an_item_has_the_same_loss_in_any_batch(tiny_hub, kind, repository):
    objective = kind.load(tiny_hub.add(repository))
    encoded = objective.encode(0.1 * torch.randn(3, objective.channels, objective.sample_rate))
    tokens = torch.randn(3, 5, objective.token_dim)
    texts = ["", "a thud", "rain"]
    with torch.no_grad():
        whole = objective.loss(encoded, tokens, texts, 1.0, BOTH, draw())
        source = Draw([torch.Generator().manual_seed(1)], CPU)
        alone = objective.loss(encoded[1:2], tokens[1:2], texts[1:2], 1.0, BOTH[:1], source)
    torch.testing.assert_close(alone, whole[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "repository"), [(AudioLDM2Objective, "cvssp/audioldm2"), (MusicgenObjective, "facebook/musicgen-small")]
)
def test_samples_are_as_long_as_asked_and_the_same_again(tiny_hub, kind, repository):
    objective = kind.load(tiny_hub.add(repository))
    tokens = torch.randn(1, 2, objective.token_dim, generator=torch.Generator().manual_seed(2))
    first, second = (
        objective.sample(tokens, ["rain"], 0.5, Draw([torch.Generator().manual_seed(4)], CPU)) for _ in range(2)
    )
    assert first.shape == (1, 1, objective.sample_rate // 2)
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()


def test_a_generator_without_a_loss_is_refused():
    with pytest.raises(
        InvalidInputError, match=r"the generator 'foley' cannot be taught.*audiocraft, audioldm2, stable_audio"
    ):
        load_objective("foley", {})
