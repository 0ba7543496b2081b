"""YAML files, read safely and the same way wherever one is read."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from .errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

# What PyYAML lets through for a tag that does not fit its text, such as a thirteenth month.
_SLIPS = (ValueError, LookupError, AttributeError, TypeError, RecursionError)


def read_yaml(path: Path) -> Any:  # noqa: ANN401  (plain values of any kind)
    """Return the plain values that a file holds, or None if it is empty.

    Raises:
        InvalidInputError: Saying what is wrong and in which line, to be put behind the name of the file: it cannot be
            read, is not YAML, or gives a key twice, of which the last would silently win.
    """
    import yaml

    try:
        return yaml.load(path.read_bytes(), Loader=_loader())  # noqa: S506  (a SafeLoader)
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror}.") from error
    except yaml.MarkedYAMLError as error:
        mark, began = error.problem_mark, error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        within = f" {error.context} that begins in line {began.line + 1}" if began else ""
        raise InvalidInputError(f"is not YAML: {place}{error.problem}{within}.") from error
    except (yaml.YAMLError, *_SLIPS) as error:
        raise InvalidInputError(f"is not YAML: {' '.join(str(error).split())}.") from error


@cache
def _loader() -> Any:  # noqa: ANN401  (a class whose base depends on how PyYAML was built)
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where PyYAML was built with it

    class OnceLoader(base):  # type: ignore[misc]
        def __init__(self, stream: bytes) -> None:
            super().__init__(stream)
            self._seen: set[yaml.MappingNode] = set()

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # A mapping that others merge comes here again, and then holds what it merges itself beside its own.
            if node not in self._seen:
                self._seen.add(node)
                keys = set()
                for key, _ in node.value:
                    if isinstance(key, yaml.ScalarNode):
                        if (key.tag, key.value) in keys:
                            problem = f"the key {key.value} is given twice"
                            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                        keys.add((key.tag, key.value))
            super().flatten_mapping(node)

    return OnceLoader
