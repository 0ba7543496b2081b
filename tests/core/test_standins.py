"""Stand-ins for packages that are imported and not needed."""

from __future__ import annotations

import sys

import pytest

from versasound_core.worker.standins import stand_in_for


def test_what_is_absent_can_be_imported_and_what_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    stand_in_for(["versasound_test_absent", "json"])
    stand_in_for(["versasound_test_absent"])
    import json

    from versasound_test_absent.deep.inside import Thing

    assert isinstance(Thing(), Thing)
    assert json.loads("[1]") == [1]
    for name in [name for name in sys.modules if name.startswith("versasound_test_absent")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError):
        import versasound_test_nowhere  # noqa: F401
    assert len([finder for finder in sys.meta_path if type(finder).__name__ == "_StandIns"]) == 1
