"""A run's record: its identity and status, its origin, its cost and its metrics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngw import io
from ngw.record.origin import stamp

IDENTITY = ("dataset", "vision", "text", "method", "pairs", "unpaired")  # a run's identity, without its seed


@dataclass(frozen=True, eq=False)
class Record(Mapping[str, Any]):
    """A run's record, as a mapping in its file's order.

    Identity (`run`, or `fusion_run`) and status, then the stamp, then results: cost, metrics, the task's entries.
    """

    entries: Mapping[str, Any]

    @classmethod
    def of(cls, identity: Mapping[str, Any], **results: Any) -> Record:
        """The record of this process's results.  identity: followed by the status, if there is one."""
        return cls({**identity, **stamp(), **results})

    @classmethod
    def read(cls, path: str | os.PathLike) -> Record:
        """The record that `write` wrote; an `InputError` if it is missing or damaged."""
        return cls(io.read_record(path))

    def scored(self, task: str, task_version: int, **results: Any) -> Record:
        """The record with a task's measurements of the run's output."""
        return Record({**self.entries, "task": task, "task_version": task_version, **results})

    def write(self, path: str | os.PathLike, files: Iterable[Path] = ()) -> None:
        """Write it as JSON.  files: the files for which it vouches."""
        io.write_record(path, self.entries, files)

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def spaces(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """The data set and both encoders, from the metadata of features or tokens."""
    return {"dataset": a["dataset"], "vision": a["encoder"], "text": b["encoder"]}


def run(head: Mapping[str, str], role: str) -> dict[str, Any]:
    """The identity of a run, from the metadata of its fitted file."""
    return {name: head[name] for name in IDENTITY} | {"seed": int(head["seed"]), "kind": head["kind"], "role": role}


def fusion_run(
    spaces: Mapping[str, str], fusion: str, aligner: Mapping[str, str], labels: str, seed: int
) -> dict[str, Any]:
    """The identity of a fusion's run.  aligner: the metadata of the aligner's fitted file; empty without one."""
    own = {"fusion": fusion, "aligner": aligner.get("method"), "pairs": aligner.get("pairs", "0")}
    return {**spaces, **own, "unpaired": aligner.get("unpaired", "none"), "labels": labels, "seed": seed}


def status(
    task: str, task_version: int, n_images: int, n_captions: int, converged: bool = True, note: str = ""
) -> dict[str, Any]:
    """The task, the number of items on each side, and whether the fit converged."""
    sizes = {"n_images": n_images, "n_captions": n_captions}
    return {"task": task, "task_version": task_version, **sizes, "converged": converged, "note": note}
