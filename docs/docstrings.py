"""For the page of the Python API: commented fields become a table, and "name: what it is" lines become lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import griffe

from ngw.options import Bounds

NAME = r"[a-z_]\w*(?: \[[^\]]*\])?"  # a parameter, and its shape
ENTRY = re.compile(rf"^({NAME}(?:, {NAME})*): +(?=\S)")
BEHIND = re.compile(r"\S  # (.+)$")


class Docstrings(griffe.Extension):
    """Griffe's reader of this project's docstrings and comments."""

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """A function's parameters become a list."""
        listed(func.docstring)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """A class's parameters become a list, its commented fields a table."""
        listed(cls.docstring)
        if cls.docstring and (lines := [line for attr in cls.attributes.values() for line in field(attr)]):
            table = ["| field | values | default | what it is |", "| --- | --- | --- | --- |", *lines]
            cls.docstring.value += "\n\n" + "\n".join(table)


def field(attr: griffe.Attribute) -> Iterator[str]:
    """A field's line of the table, below that of the comment on its group; none without a comment."""
    if "property" in attr.labels or attr.docstring or not attr.lineno:
        return
    behind, above = comments(attr.lines_collection[attr.filepath], attr.lineno, attr.endlineno or attr.lineno)
    if behind and above:
        yield f"| | | | **{above.removesuffix('.')}** |"
    if text := behind or above:
        values, default = option(str(attr.annotation or ""), str(attr.value or ""))
        yield f"| `{attr.name}` | {values} | {default and f'`{default}`'} | {text} |".replace(" | None", " or None")


def comments(lines: Sequence[str], first: int, last: int) -> tuple[str, str]:
    """The comment behind a field, whose lines are first to last, and the comment lines above it."""
    behind = BEHIND.search(lines[last - 1])
    above = takewhile(lambda line: line.lstrip().startswith("# "), reversed(lines[: first - 1]))
    return behind[1] if behind else "", " ".join(line.strip()[2:] for line in reversed(list(above)))


def option(annotation: str, value: str) -> tuple[str, str]:
    """The values that a field takes, bounds included, and its default."""
    call = ast.parse(value, mode="eval").body if value else None
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "option":
        literal = {
            word.arg: word.value
            for word in call.keywords
            if not isinstance(word.value, (ast.Name, ast.Attribute, ast.Call))
        }
        bounds = Bounds(**{str(name): ast.literal_eval(node) for name, node in literal.items() if name != "kw_only"})
        return f"{annotation}, {bounds}" if bounds != Bounds() else annotation, ast.unparse(call.args[0])
    return annotation, "" if isinstance(call, ast.Call) else value


def listed(docstring: griffe.Docstring | None) -> None:
    """Make each line of a docstring that begins with names and a colon an entry of a list."""
    if docstring:
        docstring.value = "\n".join(
            f"\n- **{entry[1]}**: {line[entry.end() :]}" if (entry := ENTRY.match(line)) else line
            for line in docstring.value.split("\n")
        )
