"""An argument parser that may look at the words before it knows all of its flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

# Adds the flags that the words call for, and returns the words as argparse is to read them.
Prepare = Callable[["Parser", list[str]], list[str]]


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` with one addition, and without abbreviated flags.

    Args:
        prepare: Called once with the words of the command, before they are parsed or the help is shown.
        **keywords: Of `argparse.ArgumentParser`.
    """

    def __init__(self, *, prepare: Prepare | None = None, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(allow_abbrev=False, **keywords)
        self._prepare = prepare

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Prepare, then parse as argparse does."""
        return super().parse_known_args(args if args is None else self._prepared(list(args)), namespace)

    def format_help(self) -> str:
        """Prepare if that is yet to come, then format as argparse does."""
        self._prepared([])
        return super().format_help()

    def _prepared(self, words: list[str]) -> list[str]:
        prepare, self._prepare = self._prepare, None
        return prepare(self, words) if prepare else words
