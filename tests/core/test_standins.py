"""Stand-ins for packages that are imported and not needed."""

from __future__ import annotations

import sys

import pytest

from versasound_core.worker.standins import standing_in_for


def test_what_is_absent_can_be_imported_meanwhile_and_what_is_there_stays() -> None:
    finders = list(sys.meta_path)
    with standing_in_for(["versasound_test_absent", "json"]):
        import json

        from versasound_test_absent.deep.inside import Thing

        assert isinstance(Thing(), Thing)
        assert json.loads("[1]") == [1]
        with pytest.raises(ImportError):
            import versasound_test_nowhere  # noqa: F401
    assert sys.meta_path == finders
    with pytest.raises(ImportError):
        import versasound_test_absent  # noqa: F401
