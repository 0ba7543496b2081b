"""The aligner for features of one's own: untrained it knows nothing, trained it finds shifts that it never saw."""

from __future__ import annotations

import pytest
import torch

from versasound_core.errors import InvalidInputError
from versasound_core.feature_aligner import FeatureAligner, shifted

SIZES = {"visual_dim": 12, "audio_dim": 20, "hidden_dim": 32, "num_layers": 1, "max_lag": 6}


def pairs(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The same strikes in two languages: `[count, 48, 12]` and `[count, 48, 20]`, with noise."""
    fixed = torch.Generator().manual_seed(1)
    strikes = (torch.rand(count, 48, 1, generator=generator) < 0.15).float()
    seen, heard = torch.randn(1, 12, generator=fixed), torch.randn(1, 20, generator=fixed)
    return (
        strikes * seen + 0.3 * torch.randn(count, 48, 12, generator=generator),
        strikes * heard + 0.3 * torch.randn(count, 48, 20, generator=generator),
    )


def test_it_learns_shifts_from_pairs_that_are_in_time() -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FeatureAligner(**SIZES)
    visual, audio = pairs(64, generator)
    lags = torch.randint(-6, 7, (64,), generator=generator)
    late = torch.stack([shifted(item, int(lag)) for item, lag in zip(audio, lags, strict=True)])

    def right() -> float:
        return float(((model.lag(visual, late) + lags).abs() < 0.5).float().mean())

    before = right()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model.loss(*pairs(32, generator), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert before < 0.5
    assert right() > 0.95


def test_sound_of_another_rate_is_brought_to_that_of_the_picture() -> None:
    model = FeatureAligner(**SIZES)
    assert model(torch.randn(2, 30, 12), torch.randn(2, 75, 20)).shape == (2, 13)


def test_the_global_random_numbers_stay_when_lags_are_drawn_from_a_generator() -> None:
    model, state = FeatureAligner(**SIZES), torch.get_rng_state()
    data = pairs(2, torch.Generator().manual_seed(0))
    losses = [model.loss(*data, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_sizes_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=name):
        FeatureAligner(**{**SIZES, name: value})


def test_what_cannot_be_compared_is_refused() -> None:
    model = FeatureAligner(**SIZES)
    with pytest.raises(InvalidInputError, match="2 clips cannot be aligned with 1 sounds"):
        model(torch.randn(2, 30, 12), torch.randn(1, 30, 20))
    with pytest.raises(InvalidInputError, match="6 steps are too few"):
        model(torch.randn(1, 6, 12), torch.randn(1, 6, 20))
