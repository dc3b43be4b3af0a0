"""The report page: a summary, then every table and figure, in one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import html
import io as memory
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from ngw.report import elements, runs
from ngw.report.runs import Run, link
from ngw.report.summary import Summary

TEMPLATE = Path(__file__).with_suffix(".html")
LIMIT = 5_000_000  # bytes of a page
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18)  # of its figures' sides, until it is small enough
ORDER = (
    ("retrieval", "Retrieval"),
    ("classification", "Zero-shot classification"),
    ("vqa", "Visual question answering"),
    ("generation", "Captions of images, pictures of captions"),
    ("efficiency", "What quality costs"),
    ("ablations", "Ablations"),
    ("identifiability", "Identifiability"),
    ("similarity", "Similarity before alignment"),
    ("stages", "Where the time went"),
)
PARTS = {  # the sections of figures and tables of runs that have other names
    "alignment": "retrieval", "retrieval-examples": "retrieval", "captions": "generation", "images": "generation",
    "vqa-examples": "vqa",
}  # fmt: skip
LENT = {"efficiency": "retrieval"}  # sections whose rows come from the runs of another one
SHOWN = {  # alternative texts of the figures, in the order in which a section shows them
    "retrieval": "Curves of R@1 and R@10 against the number of known pairs, one line per method with 95 % interval, in"
    " panels by direction and setting",
    "alignment": "Test images and captions as points: each cloud by itself, both together after alignment with lines"
    " between true pairs, and a new transport plan of a small sample as a matrix",
    "retrieval-examples": "Examples: some images with the captions found for them, some captions with the images found",
    "classification": "Curves of top-1 accuracy against the number of known pairs, one line per method with interval",
    "vqa": "Curves of accuracy against the share of labelled questions, one line per fusion with 95 % interval",
    "vqa-examples": "Examples: questions, images faded where attention is weak, and the fusions' answers",
    "captions": "Examples: test images, a reference caption each, and the caption of each method",
    "images": "Examples: test captions, their real images, and the picture that each method draws",
    "efficiency": "Points of mean R@1 against the CPU seconds of training, one mark per method, with the Pareto front",
    "ablations": "Curves of mean R@1 against the values of each option, one panel per option",
    "ablations-full": "Curves of mean R@1 against the values of each option, one panel per option",
    "identifiability": "Singular values of both maps' Jacobians, one panel per method, beside those of shuffled pairs",
}


@dataclass
class Section:
    """One table's document (Markdown), its figures, {file name: png}, and the runs in it.

    names: methods of rows, see `elements.Rows`.
    """

    name: str
    title: str
    text: str
    figures: dict[str, bytes] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name as an address within the page."""
        return re.sub(r"[^\w-]+", "-", self.name)


def sections(
    documents: Mapping[str, str], figures: Mapping[str, bytes], records: Mapping[str, Sequence[Run]],
    names: Mapping[str, Mapping[tuple[str, str], str]] | None = None,
) -> list[Section]:  # fmt: skip
    """The page's sections in their order. documents: Markdown by the table's name; figures: png by file name.

    records: the runs by table.  names: by table, the methods of rows, as in `elements.Rows`.
    """
    titles = dict(ORDER)
    order = [name for name in titles if name in documents] + [name for name in documents if name not in titles]
    parts = {
        name: Section(name, titles.get(name, name.capitalize()), documents[name], names=(names or {}).get(name, {}))
        for name in order
    }
    place = {name: k for k, name in enumerate(SHOWN)}
    for file, png in sorted(figures.items(), key=lambda figure: place.get(figure[0].split(".")[0], len(place))):
        name = file.split(".")[0]
        if part := parts.get(PARTS.get(name, name)):
            part.figures[file] = png
    for table, some in records.items():
        if part := parts.get(PARTS.get(table, table)):
            part.runs += some
    return list(parts.values())


def page(title: str, about: Mapping[str, str], config: str, parts: Sequence[Section], summary: Summary) -> str:
    """The HTML, of at most `LIMIT` bytes where smaller figures allow it.

    about: what was run, where and by which versions; config: as YAML.
    """
    links = [link(f"#{part.id}", part.title) for part in parts]
    anchors = {part.name: runs.anchors(part.id, part.runs) for part in parts}
    tables = [_tables(part, anchors.get(LENT.get(part.name, part.name), {})) for part in parts]
    texts = {
        "title": html.escape(title), "config": html.escape(config), "facts": _facts(about),
        "links": "".join(f"<li>{one}</li>" for one in links), "summary": _summary(summary),
    }  # fmt: skip
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    for scale in SCALES:
        body = "".join(map(_section, parts, tables, repeat(scale)))
        whole = template.substitute(texts, body=body)
        if len(whole.encode()) <= LIMIT:
            break
    return whole


def _facts(facts: Mapping[str, str]) -> str:
    """A list of facts by name."""
    items = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>" if items else ""


def _summary(summary: Summary) -> str:
    """What ran, the findings, what failed."""
    findings = "".join(
        f"<li><strong>{html.escape(heading)}</strong>{_items(texts)}</li>"
        for heading, texts in summary.findings.items()
    )
    none = "<p>The tables compare no method with a baseline.</p>"
    return (
        f"<h3>What ran</h3>{_facts(summary.ran) or '<p>There are no records.</p>'}"
        f"<h3>Findings</h3>{f'<ol>{findings}</ol>' if findings else none}"
        f"<h3>What failed or did not converge</h3>{_items(summary.failed) or '<p>The config has no runs.</p>'}"
    )


def _items(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>" if texts else ""


def _tables(part: Section, anchors: Mapping[str, str]) -> str:
    """One part's tables, then its runs.  anchors: see `elements.Rows`."""
    text = part.text.partition("\n")[2]  # without its heading, the part's own
    return elements.html_of(text, part.id, elements.Rows(anchors, part.names)) + runs.html_of(part.id, part.runs)


def _section(part: Section, tables: str, scale: float) -> str:
    """One part: figures first."""
    shown = "".join(_figure(file, png, scale) for file, png in part.figures.items())
    head = f'<section id="{part.id}"><h2>{html.escape(part.title)}</h2>'
    return f"{head}{shown}{tables}</section>\n"


def _figure(file: str, png: bytes, scale: float) -> str:
    """A figure with an alternative text; its caption links to the png."""
    name, *where, _ = file.split(".")
    words = f"{SHOWN.get(name, name)}: {', '.join(where)}"
    return (
        f'<figure><img loading="lazy" alt="{html.escape(words)}" src="data:image/webp;base64,{_webp(png, scale)}">'
        f"<figcaption>{link(f'figures/{file}', file)}</figcaption></figure>"
    )


def _webp(png: bytes, scale: float) -> str:
    """A figure in base64, as WebP: a quarter of the size of its png, which the caption links to."""
    from PIL import Image

    figure = memory.BytesIO()
    picture = Image.open(memory.BytesIO(png)).convert("RGB")
    if scale < 1:
        picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
    picture.save(figure, "WEBP", quality=85)
    return base64.b64encode(figure.getvalue()).decode()
