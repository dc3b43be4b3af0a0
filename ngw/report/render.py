"""A laid-out table as Markdown, TeX (booktabs) or plain text, and whole documents of tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from ngw.report.layout import Line, Number, Table


@dataclass(frozen=True)
class Markup:
    """How one format writes the parts of a table."""

    escape: Callable[[str], str]
    bold: str
    italic: str
    spread: str  # of a number over seeds; empty where there is no room for it


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"†": r"\textsuperscript{\dag}", "–": "--", "±": r"$\pm$"}
)
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\|*_~`[]"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})
LONGEST = 200  # characters of a line's label


def _one_line(text: str) -> str:
    """A text on one line; control characters and halves of surrogate pairs, which no text file can hold, as "�"."""
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in " ".join(text.split()))


def _escape_tex(text: str) -> str:
    """TeX's special characters as printed ones; a bracket or star after a line's end would be read as its option."""
    line = _one_line(text)
    return "{}" * line.startswith(("[", "*")) + line.translate(_TEX)


MARKDOWN = Markup(lambda text: _one_line(text).translate(_MARKDOWN), "**{}**", "*{}*", " ± {}")
TEX = Markup(_escape_tex, r"\textbf{{{}}}", r"\textit{{{}}}", r" {{\scriptsize$\pm$ {}}}")
PLAIN = Markup(_one_line, "{}*", "{}", "")


def _cells(line: Line, markup: Markup) -> list[str]:
    """The label and the cells of a line, marked up; a cell without a number is a dash."""
    label = line.label if len(line.label) <= LONGEST else line.label[: LONGEST - 1].rstrip() + "…"
    mark = markup.italic.format if line.control else str
    cells = [
        mark(" / ".join(_number(number, markup) for number in cell)) if cell else markup.escape("–")
        for cell in line.cells
    ]
    return [mark(markup.escape(label + ("" if line.converged else " †"))), *cells]


def _number(number: Number, markup: Markup) -> str:
    """A number with its spread."""
    text = markup.escape(number.text)
    spread = markup.spread.format(number.spread) if number.spread else ""
    return (markup.bold.format(text) if number.best else text) + spread


def _parts(table: Table, markup: Markup) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """The header, the methods' lines and, apart from them, the controls' lines, as marked-up cells."""
    methods, controls = (
        [_cells(line, markup) for line in table.lines if line.control is part] for part in (False, True)
    )
    return [markup.escape(text) for text in (table.corner, *table.header)], methods, controls


def markdown(table: Table) -> str:
    """A GitHub table under its title, its legend below."""
    head, methods, controls = _parts(table, MARKDOWN)
    heading = [["*controls*", *[""] * len(table.header)]] if methods and controls else []
    lines = [head, ["---", *["---:"] * len(table.header)], *methods, *heading, *controls]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"**{MARKDOWN.escape(table.title)}**\n\n{body}\n\n" + "  \n".join(table.legend) + "\n"


def tex(table: Table) -> str:
    """A `table` environment; needs the packages booktabs and adjustbox (which shrinks a table wider than the page)."""
    head, methods, controls = _parts(table, TEX)
    rule = [r"    \midrule"]

    def join(lines: Sequence[Sequence[str]]) -> list[str]:
        return ["    " + " & ".join(line) + r" \\" for line in lines]

    return "\n".join(
        [
            r"\begin{table}[t]",
            r"  \centering",
            rf"  \caption{{{TEX.escape(table.title)}. {' '.join(map(TEX.escape, table.legend))}}}",
            rf"  \label{{tab:{table.slug}}}",
            r"  \begin{adjustbox}{max width=\linewidth}",
            rf"  \begin{{tabular}}{{l{'r' * len(table.header)}}}",
            r"    \toprule",
            *join([head]),
            *rule,
            *join(methods),
            *rule * bool(methods and controls),
            *join(controls),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"  \end{adjustbox}",
            r"\end{table}",
            "",
        ]
    )


def plain(table: Table) -> str:
    """Aligned text for a terminal: no spread, the best of a column with a star."""
    head, methods, controls = _parts(table, PLAIN)
    widths = [max(map(len, column)) for column in zip(head, *methods, *controls, strict=True)]
    rule = "-" * (sum(widths) + 2 * len(table.header))

    def join(line: Sequence[str]) -> str:
        label, *numbers = zip(line, widths, strict=True)
        return "  ".join([str.ljust(*label), *(str.rjust(*number) for number in numbers)]).rstrip()

    lines = [*wrap(table.title, max(60, len(rule))), rule, join(head), rule, *map(join, methods)]
    lines += [rule] * bool(methods and controls) + [*map(join, controls), rule]
    small = [text.replace("Bold:", "*") for text in table.legend if not text.startswith("±")]
    return "\n".join(lines + [part for text in small for part in wrap(text, max(60, len(rule)))]) + "\n"


def files(name: str, heading: str, tables: Sequence[Table]) -> dict[str, str]:
    """A document of tables under one heading as Markdown, and the tables alone as TeX: {file name: text}."""
    return {
        f"{name}.md": "\n".join([f"# {heading}\n", *map(markdown, tables)]),
        f"{name}.tex": "\n".join(map(tex, tables)),
    }
