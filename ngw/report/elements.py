"""Markdown of tables as HTML: captions and heads for screen readers, rows for a filter, links from rows to runs."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor

from ngw.features.clouds import NONE, SETTINGS

_LINKS = (  # Markdown's inline patterns for links, raw HTML and entities, which stay plain text
    "html", "entity", "link", "image_link", "reference", "image_reference", "short_reference", "short_image_ref",
    "autolink", "automail",
)  # fmt: skip
_SETTING = "|".join(setting for setting in SETTINGS if setting != NONE)
_OF_TABLE = re.compile(rf"unpaired rows ({_SETTING})\b")  # in its title
_OF_ROW = re.compile(rf".+, ({_SETTING})")  # a cell
_BESIDE = re.compile(r" \((?:\d+|all) pairs?\)| †$")  # follows a method's name


@dataclass(frozen=True)
class Rows:
    """The methods of a section's rows, and where the runs of each are listed.

    anchors: {method: id}.  names: {(first cell, second cell): method}, for rows that don't begin with their method.
    """

    anchors: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def method(self, cells: list[str]) -> str:
        """The method of a row with these cells; empty where the row has no method, or the method no run here."""
        label, second, *_ = *cells, ""
        name = self.names.get((label.removesuffix(" †"), second)) or _BESIDE.sub("", label)
        return name if name in self.anchors else ""


def html_of(text: str, section: str, rows: Rows) -> str:
    """The HTML of a document of tables: Markdown without raw HTML, links and images, which none of our tables has.

    So no text from a config, from data or from a file brings markup or an address into the page.  section: the id of
    the enclosing section; the document's headings go one level below its heading.
    """
    reader = Markdown(extensions=["tables"])
    reader.ESCAPED_CHARS = list(string.punctuation)  # as on GitHub
    reader.preprocessors.deregister("html_block")
    for pattern in _LINKS:
        reader.inlinePatterns.deregister(pattern)
    reader.treeprocessors.register(_Tables(section, rows), "tables of ours", -1)  # after all others
    return reader.convert(text)


class _Tables(Treeprocessor):
    """A bold line above a table becomes its caption; the table and its small print become one block."""

    def __init__(self, section: str, rows: Rows) -> None:
        super().__init__()
        self.section, self.rows, self.count = section, rows, 0

    def run(self, root: Element) -> None:
        parts = list(root)
        for part in parts:
            root.remove(part)
        title, block = None, None
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            if part.tag == "table":
                block = self._block(part, title)
                root.append(block)
                title = None
            elif following is not None and following.tag == "table" and _is_bold(part):
                title, block = part[0], None
            elif part.tag == "p" and block is not None:
                block.append(part)
            else:
                block = None
                if re.fullmatch("h[1-5]", part.tag):
                    part.tag = f"h{int(part.tag[1]) + 1}"
                root.append(part)

    def _block(self, table: Element, title: Element | None) -> Element:
        """A table with its caption, in a frame that scrolls, also by the keyboard."""
        block = Element("div", {"class": "block"})
        frame = SubElement(block, "div", {"class": "wide", "tabindex": "0", "role": "group"})
        frame.append(table)
        if title is not None:
            self.count += 1
            caption = Element("caption", {"id": f"{self.section}-table-{self.count}"})
            caption.append(title)
            table.insert(0, caption)
            frame.set("aria-labelledby", caption.attrib["id"])
            if setting := _OF_TABLE.search(_text(title)):
                block.set("data-setting", setting[1])
        for head in table.iterfind("thead/tr/th"):
            head.set("scope", "col")
        for body in table.findall("tbody"):
            self._body(table, body)
        return block

    def _body(self, table: Element, body: Element) -> None:
        """The rows, each headed by its first cell; controls, which follow a line of their own, in a second body."""
        own = body
        for row in list(body):
            cells = [_text(cell) for cell in row]
            head = row[0]
            head.tag = "th"
            if cells[0] == "controls" and not any(cells[1:]):
                own = SubElement(table, "tbody")
                for cell in row[1:]:
                    row.remove(cell)
                head.attrib |= {"scope": "rowgroup", "colspan": str(len(cells))}
            else:
                self._row(row, head, cells)
            if own is not body:
                body.remove(row)
                own.append(row)

    def _row(self, row: Element, head: Element, cells: list[str]) -> None:
        """Mark a row with its method, linked to its runs, and its setting."""
        head.set("scope", "row")
        if method := self.rows.method(cells):
            row.set("data-method", method)
            link = Element("a", {"href": f"#{self.rows.anchors[method]}"})
            link.text, head.text = head.text, None
            link.extend(list(head))
            for part in link:
                head.remove(part)
            head.append(link)
        if setting := next(filter(None, map(_OF_ROW.fullmatch, cells)), None):
            row.set("data-setting", setting[1])


def _is_bold(part: Element) -> bool:
    """Whether a paragraph is one bold text."""
    return part.tag == "p" and [child.tag for child in part] == ["strong"] and not (part.text or part[0].tail or "")


def _text(part: Element) -> str:
    """The visible text of an element."""
    return unescape(" ".join("".join(part.itertext()).split()))
