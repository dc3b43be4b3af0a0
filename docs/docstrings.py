"""For the page of the Python API: comments of fields become docstrings, and "name: what it is" lines become lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import griffe

NAME = r"[a-z_]\w*(?: \[[^\]]*\])?"  # a parameter, and its shape
ENTRY = re.compile(rf"^({NAME}(?:, {NAME})*): +(?=\S)")
BEHIND = re.compile(r"\S  # (.+)$")


class Docstrings(griffe.Extension):
    """Griffe's reader of this project's docstrings and comments."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """A field's comment becomes its docstring."""
        is_field = attr.parent and attr.parent.is_class and "property" not in attr.labels
        if is_field and not attr.docstring and attr.lineno:
            text = comment(attr.lines_collection[attr.filepath], attr.lineno, attr.endlineno or attr.lineno)
            attr.docstring = griffe.Docstring(text, parent=attr) if text else None

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """A function's parameters become a list."""
        listed(func.docstring)

    def on_class_instance(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """A class's parameters become a list."""
        listed(cls.docstring)


def comment(lines: Sequence[str], first: int, last: int) -> str:
    """The comment behind a field, whose lines are first to last, or else the comment lines above it."""
    if behind := BEHIND.search(lines[last - 1]):
        return behind[1]
    above = takewhile(lambda line: line.lstrip().startswith("# "), reversed(lines[: first - 1]))
    return " ".join(line.strip()[2:] for line in reversed(list(above)))


def listed(docstring: griffe.Docstring | None) -> None:
    """Make each line of a docstring that begins with names and a colon an entry of a list."""
    if docstring:
        docstring.value = "\n".join(
            f"\n- **{entry[1]}**: {line[entry.end() :]}" if (entry := ENTRY.match(line)) else line
            for line in docstring.value.split("\n")
        )
