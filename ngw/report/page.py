"""The report page: every table and figure of a run in one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import html
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

ORDER = (
    ("retrieval", "Retrieval"),
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

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1d2733; --soft: #5c6b7a; --line: #d9e0e7; --page: #ffffff; --panel: #f5f7f9; --mark: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --soft: #9aa8b5; --line: #34404b; --page: #14191e; --panel: #1d242b; --mark: #fb923c; }
  figure img { background: #ffffff; }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--page); font: 15px/1.55 system-ui, sans-serif; }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 28px; margin: 0 0 4px; }
h2 { font-size: 21px; margin: 44px 0 10px; padding-top: 12px; border-top: 2px solid var(--line); }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 8px 0; max-width: 90ch; }
nav { position: sticky; top: 0; z-index: 2; background: var(--page); border-bottom: 1px solid var(--line);
  overflow-x: auto; white-space: nowrap; scrollbar-width: thin;
  padding: 8px max(20px, (100% - 1140px) / 2); }
nav a { margin-right: 18px; }
@media (min-width: 800px) { nav { display: flex; flex-wrap: wrap; } }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
section, h2 { scroll-margin-top: 64px; }
.soft, dl { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 12px 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 10px 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; width: 100%; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { position: sticky; top: 0; background: var(--panel); cursor: pointer; user-select: none; }
th[aria-sort]::after { content: " \\25B2"; color: var(--mark); }
th[aria-sort=descending]::after { content: " \\25BC"; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--page); }
th:first-child { background: var(--panel); z-index: 1; text-align: left; }
tbody tr:hover td { background: var(--panel); }
td em { color: var(--soft); }
figure { margin: 16px 0; }
figure img { max-width: 100%; height: auto; border-radius: 6px; }
figcaption { color: var(--soft); font-size: 13px; }
pre { background: var(--panel); padding: 12px; border-radius: 6px; overflow: auto; max-height: 480px; }
summary { cursor: pointer; font-weight: 600; }
details ul { columns: 2 420px; font-size: 12.5px; overflow-wrap: anywhere; }
"""

_SCRIPT = """
// A click on a column's head sorts the rows by it: by the first number of a cell, or by its text; a second click turns.
// Controls stay below the methods.
for (const table of document.querySelectorAll("table")) {
  const rows = [...table.tBodies[0].rows];
  const from = rows.findIndex(row => row.cells[0].textContent === "controls");
  if (from >= 0) {
    table.createTBody().append(rows[from]);
    table.createTBody().append(...rows.slice(from + 1));
  }
  [...table.tHead.rows[0].cells].forEach((head, k) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = row => {
        const text = row.cells[k].textContent.trim();
        const number = parseFloat(text.replace(/,/g, ""));
        return Number.isNaN(number) ? null : number;
      };
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null && y === null) return a.cells[k].textContent.localeCompare(b.cells[k].textContent);
        if (x === null || y === null) return x === null ? 1 : -1;  // what isn't there stands last
        return down ? y - x : x - y;
      };
      for (const body of table.tBodies) body.append(...[...body.rows].sort(order));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
"""


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
    found = [Section(name, title, documents[name]) for name, title in ORDER if name in documents]
    found += [Section(name, name.capitalize(), text) for name, text in documents.items() if name not in dict(ORDER)]
    for file, png in figures.items():
        name = file.split(".")[0]
        for section in found:
            if section.name == FIGURES.get(name, name):
                section.figures[file] = png
    for table, files in records.items():
        for section in found:
            if section.name == FIGURES.get(table, table):
                section.records += files
    return found


def page(title: str, about: Mapping[str, str], config: str, parts: Sequence[Section]) -> str:
    """The HTML. about: what was run, where and by which versions; config: as YAML."""
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in about.items())
    links = "".join(_link(f"#{part.name}", part.title) for part in parts)
    body = "".join(map(_section, parts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{html.escape(title)}</h1>
<p class="soft">A click on a column's head sorts a table. Each section ends with the records that its numbers come
from; <code>python -m ngw provenance FILE</code> tells how a file was made, command by command.</p>
<dl>{facts}</dl>
<details><summary>The config</summary><pre>{html.escape(config)}</pre></details>
</header>
<nav>{links}</nav>
<main>
{body}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _section(part: Section) -> str:
    """One part: figures first, then the tables."""
    text = _tables(part.text.partition("\n")[2])  # without its heading, the part's own
    text = text.replace("<h2>", "<h3>").replace("</h2>", "</h3>")
    text = text.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    shown = "".join(
        f'<figure><img loading="lazy" alt="{html.escape(file)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}"><figcaption>{_link(f"figures/{file}", file)}</figcaption></figure>'
        for file, png in part.figures.items()
    )
    head = f'<section id="{html.escape(part.name)}"><h2>{html.escape(part.title)}</h2>'
    return f"{head}{shown}{text}{_records(part)}</section>\n"


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
