"""What every generator is asked, with a tiny checkpoint in the real format."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from versasound_core.testing import GeneratorContract

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytestmark = [  # of the library's own calls
    pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning"),
]


class TestAudioLDM2(GeneratorContract):
    name = "audioldm2"
    steps: ClassVar = 2

    @pytest.fixture(autouse=True)
    def weights(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add("cvssp/audioldm2")
