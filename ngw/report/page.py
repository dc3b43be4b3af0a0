"""The report page: every table and figure of a run in one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import html
import io as memory
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

TEMPLATE = Path(__file__).with_suffix(".html")
ORDER = (
    ("retrieval", "Retrieval"),
    ("classification", "Zero-shot classification"),
    ("vqa", "Visual question answering"),
    ("generation", "Captions of images, images of captions"),
    ("efficiency", "What quality costs"),
    ("ablations", "Ablations"),
    ("identifiability", "Identifiability"),
    ("similarity", "Similarity before alignment"),
    ("stages", "Where the time went"),
)
FIGURES = {  # those named otherwise, and the tables of records
    "alignment": "retrieval", "retrieval-examples": "retrieval", "captions": "generation", "images": "generation",
    "vqa-examples": "vqa",
}  # fmt: skip

_LINKS = (  # of Markdown's inline patterns those that lead elsewhere, and raw HTML
    "html", "link", "image_link", "reference", "image_reference", "short_reference", "short_image_ref", "autolink",
    "automail",
)  # fmt: skip


@dataclass
class Section:
    """One table's document (Markdown), its figures, {file name: png}, and the files of the runs in it."""

    name: str
    title: str
    text: str
    figures: dict[str, bytes] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)


def sections(
    documents: Mapping[str, str], figures: Mapping[str, bytes], records: Mapping[str, Sequence[str]]
) -> list[Section]:
    """The page's parts in their order. documents: Markdown by the table's name; figures: png by file name.

    records: the runs' records by table, as seen from the page's folder.
    """
    titles = dict(ORDER)
    order = [name for name in titles if name in documents] + [name for name in documents if name not in titles]
    parts = {name: Section(name, titles.get(name, name.capitalize()), documents[name]) for name in order}
    for file, png in figures.items():
        name = file.split(".")[0]
        if part := parts.get(FIGURES.get(name, name)):
            part.figures[file] = png
    for table, files in records.items():
        if part := parts.get(FIGURES.get(table, table)):
            part.records += files
    return list(parts.values())


def page(title: str, about: Mapping[str, str], config: str, parts: Sequence[Section]) -> str:
    """The HTML. about: what was run, where and by which versions; config: as YAML."""
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in about.items())
    links = "".join(_link(f"#{part.name}", part.title) for part in parts)
    texts = {"title": html.escape(title), "config": html.escape(config)}
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        texts, facts=facts, links=links, body="".join(map(_section, parts))
    )


def _section(part: Section) -> str:
    """One part: figures first, then the tables."""
    text = _tables(part.text.partition("\n")[2])  # without its heading, the part's own
    text = text.replace("<h2>", "<h3>").replace("</h2>", "</h3>")
    text = text.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    shown = "".join(
        f'<figure><img loading="lazy" alt="{html.escape(file)}" src="data:image/webp;base64,'
        f'{_webp(png)}"><figcaption>{_link(f"figures/{file}", file)}</figcaption></figure>'
        for file, png in part.figures.items()
    )
    head = f'<section id="{html.escape(part.name)}"><h2>{html.escape(part.title)}</h2>'
    return f"{head}{shown}{text}{_records(part)}</section>\n"


def _webp(png: bytes) -> str:
    """A figure in base64, as WebP: a quarter of the size of its png, which the caption leads to."""
    from PIL import Image

    figure = memory.BytesIO()
    Image.open(memory.BytesIO(png)).convert("RGB").save(figure, "WEBP", quality=85)
    return base64.b64encode(figure.getvalue()).decode()


def _link(path: str, words: str) -> str:
    """A link to a path as seen from the page's folder."""
    return f'<a href="{html.escape(quote(path, safe="/#"))}">{html.escape(words)}</a>'


def _tables(text: str) -> str:
    """The HTML of a document of tables: Markdown without HTML of its own, links and images, which no table of ours has.

    So no text of a config, of data or of a file brings markup or an address into the page.
    """
    from markdown import Markdown

    reader = Markdown(extensions=["tables"])
    reader.ESCAPED_CHARS = list(string.punctuation)  # as GitHub has it
    reader.preprocessors.deregister("html_block")
    for pattern in _LINKS:
        reader.inlinePatterns.deregister(pattern)
    return reader.convert(text)


def _records(part: Section) -> str:
    """Links to what a part's numbers come from, folded away; none where there is nothing."""
    if not part.records:
        return ""
    links = "".join(f"<li>{_link(file, file)}</li>" for file in part.records)
    return f"<details><summary>The records of its {len(part.records)} runs</summary><ul>{links}</ul></details>"
