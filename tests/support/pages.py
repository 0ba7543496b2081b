"""The pages of the documentation as something that can be run: their blocks, and what each must do.

- `console`: every command must be one that there is, with words that it takes. A block that shows output as well is
  run, and must say what is shown; `...` stands for anything.
- `python`: runs, in the order of the page. A comment behind a statement that is a value is what comes out of it, and
  one that names an error is what it raises.
- `yaml`: a card, a configuration, or at least YAML. `toml`: TOML.

A block that begins with `# name.suffix` is written to that file, and Python in it is not run by itself.

`<!-- not run: reason -->` on the line before a block leaves it out, by name. `{code-block}` marks a fragment.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import attrs
import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^(?P<reason> *<!-- not run: .*? -->\n+)?(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```", re.M | re.S
)
_PLAIN = re.compile(r"^    ((?:pip|python|versasound|tox) .*)$", re.M)


@attrs.frozen
class Block:
    language: str
    text: str
    reason: str = ""

    @property
    def file(self) -> str | None:
        found = re.match(r"# (\S+\.\w+)$", self.text.partition("\n")[0])
        return found[1] if found else None

    def commands(self) -> list[tuple[str, str]]:
        """Each command of a console block and the output that is shown below it."""
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif found:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        return found


def pages() -> list[Path]:
    """Every page that a reader sees, but for the ones that are made from the code."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("plugins/*/*.md"), *ROOT.glob("docs/**/*.md")]
    return sorted(path for path in found if "generated" not in path.parts and "_build" not in path.parts)


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        lines = [line.removeprefix(match["indent"]) for line in match["text"].splitlines()]
        reason = match["reason"].split("not run:")[1].removesuffix("-->\n").strip(" ->\n") if match["reason"] else ""
        found.append(Block(match["language"], "\n".join(lines) + "\n", reason))
    if page.name == "README.md" or page.parent.name == "how-to":
        outside = _BLOCK.sub("", text)
        found += [Block("console", f"$ {line}\n") for line in _PLAIN.findall(outside)]
    return [block for block in found if not languages or block.language in languages]


def words_of(command: str) -> list[list[str]]:
    """The commands of a line, without comments, variables and what comes after a pipe."""
    found = []
    for part in re.split(r"\s(?:&&|\|)\s", command):
        words = shlex.split(part, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            found.append(words)
    return found


def run_python(code: str, names: dict[str, Any]) -> str:
    """Run code statement by statement, hold each to the comment behind it, and return what it printed."""
    lines = code.splitlines()
    out = io.StringIO()
    for node in ast.parse(code).body:
        end = lines[(node.end_lineno or 1) - 1]
        comment = end[node.end_col_offset :].strip().removeprefix("#").strip() if node.end_col_offset else ""
        error = re.match(r"(\w+(?:Error|Warning)): (.*)", comment)
        with contextlib.redirect_stdout(out):
            if error:
                _raises(node, names, *error.groups())
            elif isinstance(node, ast.Expr):
                value = eval(compile(ast.Expression(node.value), "page", "eval"), names)
                with contextlib.suppress(ValueError, SyntaxError):
                    wanted = ast.literal_eval(comment)
                    assert isinstance(node.value, ast.Call) or value == wanted, f"{ast.unparse(node)} is {value!r}"
            else:
                exec(compile(ast.Module([node], []), "page", "exec"), names)
    return out.getvalue()


def _raises(node: ast.stmt, names: dict[str, Any], kind: str, said: str) -> None:
    with pytest.raises(Exception, match=".*".join(re.escape(part.strip(" .")) for part in said.split("..."))) as caught:
        exec(compile(ast.Module([node], []), "page", "exec"), names)
    assert caught.typename == kind


def same(shown: str, said: str) -> bool:
    """Whether output is what a page shows, where `...` stands for anything; progress, now and then, is left out."""
    said = re.sub(r"^.*: \d+% .*\n", "", said, flags=re.M)
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, said.strip(), re.S) is not None
