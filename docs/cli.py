"""docs/reference/cli.md, each command and option by the stages' signatures: run `python docs/cli.py` after a change.

A test checks that nothing would change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ngw.cli import EPILOG, parser, stages

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = f"""\
# The command line

`ngw COMMAND --help` prints what stands here; `python -m ngw <COMMAND>` is the same. {EPILOG}

"""
PARTS = {  # the modules that begin so
    "Commands for people": ("ngw.dual", "ngw.download", "ngw.rehearsal", "ngw.tools"),
    "Stages, which the rules call": ("ngw.tasks", "ngw.report"),
}
KINDS = {Path: "path", str: "text", int: "integer", float: "number", None: "text"}


def page() -> str:
    """The whole page."""
    known, lines = stages(), [HEAD]
    for part, modules in PARTS.items():
        lines.append(f"## {part}\n\n")
        lines += [section(name, each.about) for name, each in known.items() if each.module.startswith(modules)]
    return "".join(lines).rstrip() + "\n"


def section(name: str, about: str) -> str:
    """A command: what it does, and a table of its options."""
    rows = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in options(name))
    table = f"| option | expects | default | what it is |\n| --- | --- | --- | --- |\n{rows}\n" if rows else ""
    return f"### {name}\n\n{about}\n\n{table}"


def options(name: str) -> Iterator[tuple[str, str, str, str]]:
    """(option, what it expects, its default, its help) of a command, required ones in bold."""
    (choices,) = (a for a in parser(name)._actions if isinstance(a, argparse._SubParsersAction))
    for action in choices.choices[name]._actions:
        if not isinstance(action, argparse._HelpAction):
            shown = f"`{action.option_strings[0] if action.option_strings else action.dest.upper()}`"
            yield f"**{shown}**" if action.required else shown, expected(action), default(action), action.help or ""


def expected(action: argparse.Action) -> str:
    """What an option expects, in words."""
    if action.nargs == 0:
        return "nothing"
    if action.choices:
        return " or ".join(f"`{choice}`" for choice in action.choices)
    kind = action.type
    word = KINDS.get(kind) or (kind.__doc__ or "JSON").split("\n")[0].rstrip(".").replace("A ", "a ", 1)
    return {"+": f"{word}, one or more", "*": f"{word}, any number"}.get(str(action.nargs), word)


def default(action: argparse.Action) -> str:
    """An option's default; nothing where there is none."""
    value = action.default
    values = (
        value if isinstance(value, (list, tuple)) else [] if value is None or value is False or value == "" else [value]
    )
    return " ".join(f"`{word}`" for word in values)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
