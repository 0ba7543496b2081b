"""What is missing or wrong, and what is said of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from versasound_core import registry
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError, ModelLoadError

from .subject import Subject

if TYPE_CHECKING:
    from tiny_hub import TinyHub

_WITHOUT_LIBRARY = """
import json, sys
sys.modules["diffusers"] = None
from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import RunContext
from versasound_core.errors import ModelLoadError
backend = next(b for b in registry.backends("generator") if b.name == sys.argv[1])
said = [backend.state.value, sorted(backend.card.options), sorted(backend.card.variants)]
try:
    registry.create("generator", sys.argv[1]).generate(None, GenerationRequest(duration_s=1.0), RunContext())
except ModelLoadError as error:
    said.append(str(error))
print("\\n" + json.dumps(said))
"""


class Faults(Subject):
    """What cannot be done is refused, and the message says what helps."""

    def test_missing_weights_say_how_to_get_them(self, empty_hub: TinyHub) -> None:
        with pytest.raises(ModelLoadError) as caught:
            registry.create("generator", self.name).generate(None, self.ask(), RunContext())
        card = registry.get("generator", self.name).card
        fields = card.variants[card.options["variant"].default]
        wanted = (self.repository, f"{fields['size_gb']} GB", fields["licence"], f"versasound pull {self.name}")
        for words in (*wanted, "generator foley works"):
            assert words in str(caught.value)
        gate = f"Accept its terms on https://huggingface.co/{self.repository}"
        assert (gate in str(caught.value)) == bool(fields.get("gated"))

    def test_weights_cut_short_say_so(self, empty_hub: TinyHub) -> None:
        snapshot = empty_hub.add(self.repository)
        file = max(snapshot.rglob("*.safetensors"))
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(ModelLoadError, match="cannot be used") as caught:
            registry.create("generator", self.name).generate(None, self.ask(), RunContext())
        assert str(snapshot) in str(caught.value)

    def test_a_folder_serves_in_place_of_a_repository(
        self, tiny_hub: TinyHub, empty_hub: TinyHub, tmp_path: Path
    ) -> None:
        snapshot = tiny_hub.add(self.repository)
        made = registry.create("generator", self.name, weights=str(snapshot), **self.off)
        assert made.generate(None, self.ask(), RunContext()).metadata["weights"] == str(snapshot)
        with pytest.raises(ModelLoadError, match="no folder"):
            registry.create("generator", self.name, weights=str(tmp_path / "nowhere")).generate(
                None, self.ask(), RunContext()
            )

    @pytest.mark.usefixtures("no_network")
    def test_nothing_goes_over_the_network(self, tiny_hub: TinyHub) -> None:
        assert self.generate(tiny_hub).shape[2] == self.rate

    @pytest.mark.parametrize(
        "options",
        [{"variant": "gigantic"}, {"timing": "late"}, {"timing_strength": 2.0}, {"batch_size": 0}, {"no_such": 1}],
    )
    def test_bad_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            registry.create("generator", self.name, **options)

    def test_the_card_is_read_without_the_model_library(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add(self.repository)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _WITHOUT_LIBRARY, self.name],
            env={**os.environ, **tiny_hub.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        state, options, variants, said = json.loads(done.stdout.splitlines()[-1])
        assert state == "ready"
        assert {"variant", "words", "timing", "timing_strength", "adapter", "compile", "cpu_offload"} <= set(options)
        assert set(variants) == self.variants
        assert "diffusers" in said
        assert f"pip install -U versasound-plugin-{self.name.replace('_', '-')}" in said
