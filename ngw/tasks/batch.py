"""Many runs in one job: a stage for each run, one after another in one process; finished runs are not repeated."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ngw import io
from ngw.arguments import NAMES, POSITIONAL, TEXT, shaped
from ngw.cli import function, parser, stage, stages
from ngw.errors import FullDisk, InputError
from ngw.fingerprints.code import files, fingerprint
from ngw.io import digests

KINDS = ("reads", "makes")
NAMED = {"type": "object", "additionalProperties": TEXT}
RUN = {
    "type": "object",
    "required": ["folder", "options", "reads"],
    "properties": {"folder": TEXT, "options": {"type": "object"}, "reads": NAMED},
}
GROUP = {  # the runs of one method, or fusion
    "type": "object",
    "required": ["parts", "folder", "reads", "makes", "runs"],
    "properties": {
        "parts": NAMES, "folder": TEXT, "reads": NAMED, "makes": NAMED, "files": NAMES,
        "runs": {"type": "array", "minItems": 1, "items": RUN},
    },
}  # fmt: skip
RUNS = {
    "type": "object",
    "required": ["groups"],
    "properties": {"outside": NAMES, "groups": {"type": "array", "minItems": 1, "items": GROUP}},
}


@dataclass
class Run:
    """One of a job's runs: the stage's options for it, its input files besides those of all runs, its output files.

    parts: the modules of the components that it builds.
    """

    options: dict[str, Any]
    reads: list[str]
    makes: list[str]
    parts: list[str]

    @classmethod
    def of(cls, group: Mapping[str, Any], one: Mapping[str, Any]) -> Run:
        """A run from a job's JSON: its files have the group's names, in the run's folder."""
        folder = f"{group['folder']}/{one['folder']}"
        reads, makes = ({name: f"{folder}/{file}" for name, file in group[kind].items()} for kind in KINDS)
        reads |= one["reads"]
        files = [f"{folder}/{file}" for file in group.get("files", [])]
        made = [*makes.values(), *files]
        return cls({**one["options"], **reads, **makes}, list(reads.values()), made, group["parts"])

    @property
    def name(self) -> str:
        return self.makes[0]


@stage("Run one stage for each of several runs; finished runs are kept.")
def batch(
    task: Annotated[str, POSITIONAL, "the stage"],
    runs: Annotated[Mapping, shaped(RUNS), "as JSON: folder and options of each run, files and code of each group"],
    done: Annotated[Path, "where the job notes what each file was made of (json)"],
    inputs: Annotated[Sequence[Path], "files that all runs read"] = (),
    options: Annotated[Sequence[str], POSITIONAL, "after --: options that all runs share"] = (),
) -> None:  # fmt: skip
    """The command of rules whose runs share a job: a failed run is reported, and the others run all the same.

    A run is finished if the code, the options and the content of its inputs are the present ones, and its files are as
    they were written: `.NAME` beside `done` notes this after each run.  Under `torchrun` the processes make each run
    together, and the first of them decides and notes.
    """
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    first, agreed = _join() if several else (True, float)
    state, whole = done.with_name(f".{done.name}"), f"{stages()[task].module}:{task.replace('-', '_')}"
    all_of_them = [Run.of(group, one) for group in runs["groups"] for one in group["runs"]]
    if any("spec" in run.options for run in all_of_them):
        _import(whole, *(group["parts"] for group in runs["groups"]))
    others = [runs.get("outside", []), list(options)]
    noted, call, failed = _noted(state), _caller(task, options), []
    for k, run in enumerate(all_of_them, 1):
        try:
            if first:
                _bring_back(run.makes)
            made_of = _made_of([fingerprint(whole, *run.parts), *others], run, inputs)
            is_done = bool(agreed(_is_done(noted.get(run.name), made_of)))
            if first:
                print(f"[{k}/{len(all_of_them)}] {run.name}{' is there already' if is_done else ''}", flush=True)
            if is_done:
                continue
            if first:
                _disown(run.name, done)
            with _aside(run.makes if first else ()):
                call(run.options)
        except FullDisk:
            raise
        except InputError as error:
            failed.append(f"{run.name}: {error}")
            print(f"ngw {task}: {error}", file=sys.stderr, flush=True)
        except Exception:  # printed in full, and the job fails; the other runs need not wait
            if several:
                raise  # the other processes may wait for this one
            failed.append(f"{run.name}: {traceback.format_exc(limit=0).strip().splitlines()[-1]}")
            traceback.print_exc()
        else:
            if not first:
                continue
            files = {path: digests.of(path) for path in run.makes}
            noted[run.name] = {"made_of": made_of, "reads": run.reads, "files": files}
            io.write_json(state, noted)
    if failed:
        raise InputError(
            f"{task}: {len(failed)} of {len(all_of_them)} runs failed, the first of them {failed[0].rstrip('.')}; the "
            "others are kept. Mend it and run again."
        )
    if first:
        io.write_json(done, {run.name: noted[run.name] for run in all_of_them})


def _disown(name: str, done: Path) -> None:
    """Remove the notes of other jobs of this stage that this run's files are theirs, since it will be made anew.

    Another config may have had the run in another job.  Going back to it, Snakemake then runs that job again.
    """
    for other in done.parent.parent.glob(f"*/*.{done.name.partition('.')[2]}"):
        if other.name[0] != "." and other != done and name in _noted(other):
            other.unlink(missing_ok=True)


def _old(path: str) -> Path:
    """Where a run's file waits while a new one is made, since it must not pass for it."""
    return Path(path).with_name(f".{Path(path).name}.old")


@contextmanager
def _aside(paths: Sequence[str]) -> Iterator[None]:
    """Old files out of the way; where no new ones are made, they wait for `_bring_back`."""
    for path in paths:
        if os.path.exists(path):
            os.replace(path, _old(path))
    yield
    for path in paths:
        _old(path).unlink(missing_ok=True)


def _bring_back(paths: Sequence[str]) -> None:
    """Files that an earlier job put aside and didn't make anew: they may be what is wanted now."""
    for path in paths:
        if not os.path.exists(path) and _old(path).exists():
            os.replace(_old(path), path)


def _join() -> tuple[bool, Callable[[float], float]]:
    """Join torchrun's processes: (whether this is the first; a function that gives all the first one's value)."""
    from ngw.nn import distributed

    distributed.start()
    return distributed.first(), distributed.agreed


def _import(stage: str, *groups: Sequence[str]) -> None:
    """Import all that a stage can reach, so that the first run's measured cost doesn't include these imports."""
    for file in sorted(set().union(*(files(stage, *parts) for parts in groups))):
        importlib.import_module(".".join(["ngw", *Path(file).with_suffix("").parts]).removesuffix(".__init__"))


def _noted(state: Path) -> dict[str, Any]:
    """The notes of earlier jobs; empty if there are none or the file is broken."""
    try:
        return json.loads(state.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _caller(task: str, options: Sequence[str]):
    """A function that calls the stage with a run's own options and the shared ones."""
    words, of_stage = parser(task), function(task)

    def call(own: Mapping[str, Any]) -> None:
        line = [word for name, value in own.items() for word in (f"--{name.replace('_', '-')}", _word(value))]
        known = vars(words.parse_args([task, *options, *line]))
        known.pop("stage")
        of_stage(**known)

    return call


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _made_of(made_by: Sequence[Any], run: Run, inputs: Sequence[Path]) -> str:
    """Twelve digits that identify what a run is made of."""
    content = {path: _content(path, *_stat(path)) for path in [*map(str, inputs), *run.reads]}
    whole = json.dumps([made_by, run.options, content], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _is_done(note: Mapping[str, Any] | None, made_of: str) -> bool:
    return note is not None and note["made_of"] == made_of and all(
        Path(path).is_file() and digests.of(path) == digest for path, digest in note["files"].items()
    )  # fmt: skip


def _stat(path: str | os.PathLike) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file, though its job is noted as done; run Snakemake with --forcerun and that job's rule."
        ) from None
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _content(path: str | os.PathLike, size: int, changed: int) -> str:
    """A file's digest, computed once for each state of the file."""
    return digests.of(path)
