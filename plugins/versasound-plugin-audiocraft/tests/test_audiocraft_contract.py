"""What every generator is asked, with a tiny checkpoint in the real format."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from versasound_core.testing import GeneratorContract

if TYPE_CHECKING:
    from tiny_hub import TinyHub


class TestAudiocraft(GeneratorContract):
    name = "audiocraft"
    steps: ClassVar = 2
    peak: ClassVar = 1.5  # random weights make noise at full scale, which resampling carries beyond
    options: ClassVar = {"variant": "musicgen-small"}

    @pytest.fixture(autouse=True)
    def weights(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add("facebook/musicgen-small")
