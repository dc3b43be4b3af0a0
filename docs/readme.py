"""Fills in the pages' tables from those of the last `make`: run `python docs/readme.py` after it.

The numbers go to docs/numbers.csv first, and from there into README.md and docs/results/benchmark.md, at each
`<!-- table NAME -->`.  Without `results/tables` the pages are filled in from docs/numbers.csv alone; a test checks that
the pages are current.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

DOCS = Path(__file__).parent
NUMBERS, TABLES = DOCS / "numbers.csv", DOCS.parent / "results" / "tables"
BARS = DOCS.parent / "ngw/tools/bars/snakemake_logger_plugin_ngw/stages.csv"  # seconds of jobs, for the time left
PAGES = (DOCS.parent / "README.md", DOCS / "results" / "benchmark.md")
SHORT = ("ngw", "sotalign", "wasserstein-procrustes", "contrastive", "cca", "ridge", "procrustes", "shuffled")  # rows
COLUMNS = (
    "table", "method", "pairs", "unpaired", "labels", "metric", "mean", "low", "high", "n_seeds", "role", "converged",
)  # fmt: skip
KEPT = {
    "retrieval": ("i2t_recall_1", "t2i_recall_1"),
    "vqa": ("accuracy",),
    "generation": (
        "bleu_4", "meteor", "cider", "nearest_cider", "score[scenes-clip]", "cosine[scenes-clip]",
        "nearest_score[scenes-clip]", "real_score[scenes-clip]", "fd[effnet-lite0-pca32]", "kd[effnet-lite0]",
    ),
}  # fmt: skip

Row = dict[str, str]


def taken(folder: Path) -> list[Row]:
    """The numbers that the pages show, from the csv tables in a folder; the disjoint setting's for retrieval alone."""
    found = []
    for table, metrics in KEPT.items():
        for row in csv.DictReader((folder / f"{table}.csv").open(encoding="utf-8")):
            if row["metric"] in metrics and (table == "retrieval" or row["unpaired"] != "disjoint"):
                found.append({"labels": "", "converged": "true", **row, "table": table, "method": name(row)})
    return [{column: row[column] for column in COLUMNS} for row in found]


def name(row: Row) -> str:
    """A method's name, or a fusion's."""
    return row.get("fusion") or row["method"]


def written(rows: Iterable[Row]) -> str:
    """Rows as csv."""
    text = io.StringIO()
    out = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    return text.getvalue()


class Numbers:
    """The numbers of one setting of the unpaired rows, by table, method, pairs or labels, and metric."""

    def __init__(self, rows: Iterable[Row], disjoint: bool = False) -> None:
        self.rows = [row for row in rows if (row["unpaired"] == "disjoint") == disjoint]
        self.by = {(r["table"], r["method"], r["labels"] or r["pairs"], r["metric"]): r for r in self.rows}

    def methods(self, table: str) -> list[Row]:
        """A row of each method, controls last, in the table's order."""
        first: dict[str, Row] = {}
        for row in self.rows:
            if row["table"] == table:
                first.setdefault(row["method"], row)
        return sorted(first.values(), key=lambda row: row["role"] == "control")

    def cells(self, table: str, method: str, where: str, metrics: Iterable[str], scale: float = 100) -> list[float]:
        """The values of some metrics; none if the method didn't run."""
        found = [self.by.get((table, method, where, metric)) for metric in metrics]
        return [scale * float(row["mean"]) for row in found if row]

    def marked(self, table: str, method: str, where: str, metric: str) -> str:
        """A dagger if the run did not converge."""
        row = self.by.get((table, method, where, metric))
        return " †" if row and row["converged"] == "false" else ""


def grid(corner: str, columns: list[str], lines: list[tuple[str, str, list[tuple[float | None, str]]]]) -> str:
    """A markdown table, the best of a column in bold. lines: name, role, a cell's (value, larger is better; text)."""
    best = [
        max((cells[k][0] for _, role, cells in lines if role != "control" and cells[k][0] is not None), default=None)
        for k in range(len(columns))
    ]
    text = [f"| {corner} | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for k, (label, role, cells) in enumerate(lines):
        shown = []
        for (value, cell), top in zip(cells, best, strict=True):
            bold = role != "control" and value is not None and value == top
            shown.append(f"**{cell}**" if bold else f"*{cell}*" if role == "control" and cell != "–" else cell)
        label = f"*{label}*" if role == "control" else f"**{label}**" if k == 0 else label
        text.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join(text)


def recall(numbers: Numbers, method: str, pairs: str) -> tuple[float | None, str]:
    """A method's R@1 both ways at a budget: their sum, and both as text."""
    found = numbers.cells("retrieval", method, pairs, KEPT["retrieval"])
    mark = numbers.marked("retrieval", method, pairs, "i2t_recall_1")
    return (sum(found), f"{found[0]:.1f} / {found[1]:.1f}{mark}") if found else (None, "–")


def overview(rows: Iterable[Row]) -> str:
    """R@1 both ways of some methods, at some budgets of both settings."""
    shared, disjoint = Numbers(rows), Numbers(rows, disjoint=True)
    columns = {
        "100 pairs, shared": (shared, "100"), "300": (shared, "300"),
        "100, disjoint": (disjoint, "100"), "300 ": (disjoint, "300"), "all": (shared, "all"),
    }  # fmt: skip
    known = {row["method"]: row["role"] for row in shared.methods("retrieval")}
    lines = [
        (name, known[name], [recall(numbers, name, pairs) for numbers, pairs in columns.values()]) for name in SHORT
    ]
    return grid("", list(columns), lines)


def retrieval(numbers: Numbers) -> str:
    """R@1 both ways, a column a budget."""
    budgets = sorted(
        {r["pairs"] for r in numbers.rows if r["table"] == "retrieval"}, key=lambda p: (p == "all", p.zfill(9))
    )
    lines = []
    for row in numbers.methods("retrieval"):
        cells = [recall(numbers, row["method"], pairs) for pairs in budgets]
        seeds = ", one seed" if row["n_seeds"] == "1" else ""
        lines.append((row["method"] + seeds, row["role"], cells))
    return grid("known pairs", budgets, lines)


def vqa(numbers: Numbers) -> str:
    """Accuracy, a column a share of the labels."""
    said = {
        "ngw-fusion": "ngw-fusion: cross-attention through `T_AB` and `T_BA`, similarity in the aligned space",
        "no-alignment": "no-alignment: cross-attention between the raw spaces",
        "concat": "concat: both sides averaged and concatenated",
        "joint": "joint: a small transformer from scratch on pixels and words, one seed",
        "weight-averaging": "weight-averaging of an image-only and a question-only transformer, one seed",
    }
    shares = sorted({r["labels"] for r in numbers.rows if r["table"] == "vqa"}, key=lambda s: (s == "all", s.zfill(9)))
    lines = []
    for row in numbers.methods("vqa"):
        if "~" in row["method"]:
            continue
        found = [numbers.cells("vqa", row["method"], share, ["accuracy"]) for share in shares]
        cells = [(value[0], f"{value[0]:.1f}") if value else (None, "–") for value in found]
        lines.append((said.get(row["method"], row["method"]), row["role"], cells))
    return grid("labelled questions", ["all" if s == "all" else f"{s} %" for s in shares], lines)


def captions(numbers: Numbers) -> str:
    """BLEU-4, METEOR, CIDEr and the nearest caption's CIDEr at both budgets."""
    metrics, lines = ("bleu_4", "meteor", "cider", "nearest_cider"), []
    for row in numbers.methods("generation"):
        cells = []
        for pairs in ("300", "all"):
            where = pairs if numbers.cells("generation", row["method"], pairs, metrics) else row["pairs"]
            found = numbers.cells("generation", row["method"], where, metrics)
            mark = numbers.marked("generation", row["method"], where, "bleu_4")
            cells += [(value, f"{value:.1f}{mark}") for value in found]
        lines.append((row["method"], row["role"], cells))
    columns = ["300: BLEU-4", "METEOR", "CIDEr", "nearest", "all: BLEU-4", "METEOR", "CIDEr", "nearest"]
    return grid("known pairs", columns, lines)


def pictures(numbers: Numbers) -> str:
    """Scores and distances at 300 pairs."""
    scales = {
        "score[scenes-clip]": 1,
        "cosine[scenes-clip]": 100,
        "nearest_score[scenes-clip]": 1,
        "fd[effnet-lite0-pca32]": -1,
        "kd[effnet-lite0]": -100,
    }
    lines = []
    for row in numbers.methods("generation"):
        where = "300" if numbers.cells("generation", row["method"], "300", scales) else row["pairs"]
        cells = []
        for metric, scale in scales.items():
            value = next(iter(numbers.cells("generation", row["method"], where, [metric], scale)), None)
            mark = numbers.marked("generation", row["method"], where, metric)
            shown = "–" if value is None else f"{abs(value) if scale < 0 else value:.1f}{mark}"
            cells.append((value, shown))
        lines.append((row["method"], row["role"], cells))
    return grid("300 known pairs", ["score", "cosine", "nearest", "Frechet, 32 axes", "kernel"], lines)


BLOCKS: dict[str, Callable[[list[Row]], str]] = {
    "overview": overview,
    "shared": lambda rows: retrieval(Numbers(rows)),
    "disjoint": lambda rows: retrieval(Numbers(rows, disjoint=True)),
    "vqa": lambda rows: vqa(Numbers(rows)),
    "captions": lambda rows: captions(Numbers(rows)),
    "pictures": lambda rows: pictures(Numbers(rows)),
}


def filled(text: str, rows: list[Row]) -> str:
    """A page with its tables filled in from these numbers."""

    def block(match: re.Match) -> str:
        return f"<!-- table {match[1]} -->\n{BLOCKS[match[1]](rows)}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


if __name__ == "__main__":
    if TABLES.is_dir():
        NUMBERS.write_text(written(taken(TABLES)), encoding="utf-8")
        shutil.copy(TABLES / "stages.csv", BARS)
    known = list(csv.DictReader(NUMBERS.open(encoding="utf-8")))
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), known), encoding="utf-8")
