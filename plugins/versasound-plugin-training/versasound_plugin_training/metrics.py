"""Numbers of a run: one row a step in a CSV file, and in TensorBoard where it is installed."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from versasound_core.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "seconds")


class Metrics:
    """Writes rows as they come, so that a killed run loses none but the last.

    Args:
        folder: Where `metrics.csv` and `tensorboard/` are.
        step: Rows after this step, of a run that went further than its checkpoint, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / "metrics.csv"
        rows = [row for row in _rows(path) if int(row["step"]) <= step]
        try:
            self._file = path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise MediaError(f"{path} cannot be written: {error.strerror}.", "Check the folder's rights.") from error
        self._table = csv.DictWriter(self._file, COLUMNS)
        self._table.writeheader()
        self._table.writerows(rows)
        self._board = _board(folder, step)

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def add(self, **row: float) -> None:
        """Write the numbers of one step; the names are `COLUMNS`."""
        self._table.writerow(row)
        self._file.flush()
        if self._board is not None:
            for name in ("loss", "learning_rate", "grad_norm"):
                self._board.add_scalar(name, row[name], row["step"])


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a file that a killed run may have left in the middle of a line."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("seconds") or "") and None not in row]


def _board(folder: Path, step: int) -> Any:  # noqa: ANN401  (it may not be installed)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
