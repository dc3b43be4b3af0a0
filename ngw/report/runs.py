"""The runs behind the page, each with its record and logs, and their list by method, to which a table's rows link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ngw.config import FUSION, RUN, Config
from ngw.config.batches import Batches
from ngw.record import Record
from ngw.report.frames import count, in_words
from ngw.tools.provenance import logs


@dataclass(frozen=True)
class Run:
    """A run of a table.  path: of its record; logs: of its jobs, in order; both relative to the page's folder.

    record: the record's content, empty where the file is missing.
    """

    path: str
    record: Mapping[str, Any] = field(default_factory=dict)
    logs: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """The label of the run's row: the name of its fusion or method; empty without a record."""
        return str(self.record.get("fusion", self.record.get("method", "")))

    @property
    def converged(self) -> bool:
        """Whether its fit converged; a training of fixed length always does."""
        return bool(self.record.get("converged", True))

    @property
    def budget(self) -> str:
        """Its pairs and its setting, in words."""
        return count(self.record["pairs"]) + in_words(self.record["unpaired"])

    @property
    def words(self) -> str:
        """What distinguishes it from the other runs of its method and encoders."""
        labels = f", labels {self.record['labels']}" if "labels" in self.record else ""
        return f"{self.budget}{labels}, seed {self.record['seed']}" + ", not converged" * (not self.converged)

    @property
    def place(self) -> tuple[str, tuple[str, ...]]:
        """Its task, data set and encoders in words, and its logs, which many runs of a method share."""
        task, dataset, vision, text = (self.record[key] for key in ("task", "dataset", "vision", "text"))
        return f"{task} on {dataset}, {vision} and {text}", self.logs


def of_config(config: Config) -> dict[str, list[Run]]:
    """{table: its runs} of a config, from the folder in which it ran; logs as Snakemake recorded them."""
    jobs, trained = Batches(config), config.vqa.staged("fuse")
    fitted = jobs.fits()  # {record: the output of the job that fits, answers, captions or draws}
    for cell in config.generation.cells():
        fitted[f"{RUN}/metrics/captioning.json".format(**cell)] = jobs.done("generate-captions", cell)
        fitted[f"{RUN}/metrics/imaging.json".format(**cell)] = jobs.done("generate-images", cell)
    for cell in config.vqa.cells():
        answered = jobs.done("fuse", cell) if cell["fusion"] in trained else config.vqa.answered(cell)[0]
        fitted[f"{FUSION}/metrics/vqa.json".format(**cell)] = answered
    records = jobs.records()
    made_by = {file for some in records.values() for file in some.values()}
    known = {file: logs(file, Path()) for file in made_by | set(fitted.values())}

    def run(path: str, scored: str) -> Run:
        told = [log for file in (fitted.get(path, scored), scored) for log in known[file] if Path(log).is_file()]
        record = Record.read(path) if Path(path).is_file() else {}
        return Run(_seen(path), record, tuple(map(_seen, dict.fromkeys(told))))

    return {table: [run(path, scored) for path, scored in some.items()] for table, some in records.items()}


def _seen(path: str) -> str:
    """A path relative to the page's folder."""
    return Path(path).relative_to("results").as_posix()


def by_method(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs that have a record, by method, in order of first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.record:
            groups.setdefault(run.method, []).append(run)
    return groups


def anchors(section: str, runs: Iterable[Run]) -> dict[str, str]:
    """{method: the id of its runs in a section's list}."""
    return {method: f"{section}-runs-{k}" for k, method in enumerate(by_method(runs), 1)}


def html_of(section: str, runs: Sequence[Run]) -> str:
    """The list of a section's runs, folded by method under the id that its rows link to."""
    ids = anchors(section, runs)
    folded = "".join(_method(method, ids[method], own) for method, own in by_method(runs).items())
    return f'<h3>Records and logs of the runs</h3><div class="runs">{folded}</div>' if folded else ""


def link(path: str, words: str) -> str:
    """A link to a path relative to the page's folder."""
    return f'<a href="{escape(quote(path, safe="/#"))}">{escape(words)}</a>'


def _method(method: str, anchor: str, runs: Sequence[Run]) -> str:
    """A method's runs."""
    name, number = escape(method), f"{len(runs)} run" + "s" * (len(runs) > 1)
    head = f'<details id="{anchor}" data-method="{name}"><summary>{name}: {number}</summary>'
    return f"{head}{''.join(_places(runs))}</details>"


def _places(runs: Iterable[Run]) -> Iterator[str]:
    """Runs of one task, pair of encoders and log together: the logs, then one line per record."""
    for (where, own), some in groupby(runs, lambda run: run.place):
        told = f". Logs: {', '.join(link(log, _job(log)) for log in own)}" if own else ""
        records = "".join(f"<li>{link(run.path, run.words)}</li>" for run in some)
        yield f"<p>{escape(where)}{told}. Records:</p><ul>{records}</ul>"


def _job(log: str) -> str:
    """The job that wrote a log: the folder of the logs of its rule, or its own name."""
    path = Path(log)
    return path.parent.name if len(path.parts) > 2 else path.stem.partition(".")[0]
