"""Writes docs/reference/cli.md, every command and option from the stages' signatures: `python docs/cli.py`.

Run it after a change of a stage; a test checks that the page is current.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ngw.cli import EPILOG, parser, stages

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = f"""\
# The command line

`ngw COMMAND --help` prints the same text; `python -m ngw <COMMAND>` is equivalent. {EPILOG}

"""
PARTS = {  # by the beginnings of their modules' names; the first part that fits
    "Commands for people": ("ngw.dual", "ngw.download", "ngw.rehearsal", "ngw.tools", "ngw.report.export"),
    "Stages, which the rules call": ("ngw.tasks", "ngw.report"),
}
KINDS = {Path: "path", str: "text", int: "integer", float: "number", None: "text"}


def page() -> str:
    """The whole page."""
    known, lines = stages(), [HEAD]
    for part, modules in PARTS.items():
        lines.append(f"## {part}\n\n")
        own = [name for name, each in known.items() if each.module.startswith(modules)]
        lines += [section(name, known.pop(name).about) for name in own]
    return "".join(lines).rstrip() + "\n"


def section(name: str, about: str) -> str:
    """A command: its purpose, and a table of its options."""
    rows = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in options(name))
    table = f"| option | expects | default | what it is |\n| --- | --- | --- | --- |\n{rows}\n" if rows else ""
    return f"### {name}\n\n{about}\n\n{table}"


def options(name: str) -> Iterator[tuple[str, str, str, str]]:
    """(option, expected value, default, help) of a command's options, required ones in bold."""
    (choices,) = (a for a in parser(name)._actions if isinstance(a, argparse._SubParsersAction))
    for action in choices.choices[name]._actions:
        if not isinstance(action, argparse._HelpAction):
            shown = f"`{action.option_strings[0] if action.option_strings else action.dest.upper()}`"
            yield f"**{shown}**" if action.required else shown, expected(action), default(action), action.help or ""


def expected(action: argparse.Action) -> str:
    """The value that an option expects, in words."""
    if action.nargs == 0:
        return "nothing"
    if action.choices:
        return " or ".join(f"`{choice}`" for choice in action.choices)
    kind = action.type
    word = KINDS.get(kind) or (kind.__doc__ or "JSON").split("\n")[0].rstrip(".").replace("A ", "a ", 1)
    return {"+": f"{word}, one or more", "*": f"{word}, any number"}.get(str(action.nargs), word)


def default(action: argparse.Action) -> str:
    """An option's default; empty if there is none."""
    value = action.default
    values = (
        value if isinstance(value, (list, tuple)) else [] if value is None or value is False or value == "" else [value]
    )
    return " ".join(f"`{word}`" for word in values)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
