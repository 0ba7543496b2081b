"""What the model is told: the user's words first, then what the picture adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from versasound_core.vocabulary.parse import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.containers import GenerationRequest, VisualFeatures

_LIKELY = 0.2
_MOST = 3


@attrs.frozen
class Wording:
    """What one item's model is told.

    Args:
        text: The prompt.
        added: What of it the picture's labels added, in order.
        negative: What must not be heard; None if nothing was said.
    """

    text: str
    added: tuple[str, ...]
    negative: str | None


def wordings(features: VisualFeatures | None, request: GenerationRequest, *, on: bool = True) -> list[Wording]:
    """Return what is said for each item of the batch.

    The user's prompt stands first and unchanged; labels follow it with commas, likeliest first: at most three, those
    with a score of 0.2 or more, without those that the prompt or the negative prompt says already. Where there is no
    prompt, the likeliest label is taken whatever its score, for something is better than nothing.

    Args:
        features: With the labels; None has none.
        request: With the prompt and the negative prompt.
        on: Whether labels are added at all.
    """
    prompt = (request.prompt or "").strip()
    negative = (request.negative_prompt or "").strip() or None
    items = 1 if features is None else features.shape[0]
    made = []
    for item in range(items):
        labels = features.labels[item] if on and features is not None and features.labels else []
        added = _added(labels, prompt, negative or "")
        text = request.prompt or "" if not added else ", ".join([*([prompt] if prompt else []), *added])
        made.append(Wording(text, added, negative))
    return made


def _added(labels: Sequence[tuple[str, float]], prompt: str, negative: str) -> tuple[str, ...]:
    said, unwanted = set(tokens(prompt)), set(tokens(negative))
    new = [(text, score) for text, score in labels if (words := set(tokens(text))) - said and words - unwanted]
    likely = [text for text, score in new if score >= _LIKELY][:_MOST]
    return tuple(likely or [text for text, _ in new[:1] if not prompt])
