"""As a backend: found and completed by its card, telling how far it is, stopping when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from versasound_plugin_foley import FoleyGenerator

from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError


def test_the_registry_makes_it_from_its_card() -> None:
    generator = registry.create("generator", "foley", ambience=0.5)
    audio = generator.generate(None, GenerationRequest(duration_s=0.5, prompt="rain"), RunContext())
    assert tuple(audio.shape) == (1, 2, 24000)
    for wrong in ({"material": "cheese"}, {"ambience": 2.0}, {"amibence": 0.1}):
        with pytest.raises(InvalidInputError):
            registry.create("generator", "foley", **wrong)


def test_progress_and_cancellation() -> None:
    seen: list[float] = []
    generator = FoleyGenerator(material="auto", ambience=0.2, lexicon=None)
    request = GenerationRequest(duration_s=20.0, prompt="rain")
    generator.generate(None, request, RunContext(progress=lambda f, _: seen.append(f)))
    assert len(seen) > 15
    assert seen == sorted(seen)
    token = CancelToken()
    count = 0

    def stop(_fraction: float, _message: str) -> None:
        nonlocal count
        count += 1
        token.cancel()

    with pytest.raises(Cancelled):
        generator.generate(None, request, RunContext(progress=stop, cancel=token))
    assert count == 1


def test_importing_the_plugin_loads_no_heavy_package() -> None:
    code = "import sys, versasound_plugin_foley; sys.exit(bool({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys; from versasound_plugin_foley import FoleyGenerator; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
