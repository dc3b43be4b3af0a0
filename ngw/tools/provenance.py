"""The origin of a page of results, and the origin of a file, command by command."""

from __future__ import annotations

import base64
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from ngw.arguments import POSITIONAL, count
from ngw.cli import stage
from ngw.config.batches import ALL
from ngw.errors import InputError
from ngw.record.origin import stamp

RAW = "results/joint/"  # the models of methods that read raw items


def about() -> dict[str, str]:
    """Facts about this process, by name: date, versions, machine."""
    record = stamp()
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ngw": " ".join([record["version"], record["commit"]]).strip(),
        "config": record["config"] or "none",
        "libraries": ", ".join(f"{name} {number}" for name, number in record["libraries"].items()),
        "python": platform.python_version(),
        "machine": f"{record['machine']}, {platform.system()} {platform.machine()}",
    }


def job(file: str, store: Path) -> dict | None:
    """Snakemake's note about a file that it made (rule, shellcmd, input, starttime, endtime), or None."""
    name = base64.urlsafe_b64encode(os.fsencode(file)).decode()
    parts = [name[k : k + 254] for k in range(0, len(name), 254)]  # Snakemake cuts names that are too long for a disk
    path = store.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def logs(file: str, root: Path) -> list[str]:
    """The logs of the job that made a file, after the logs of its inputs that belong to the same run.

    These inputs are files beside it (the maps' plan) and models of methods that read raw items.
    """
    made = job(file, root / ".snakemake" / "metadata")
    if made is None:
        return []
    own = [other for other in made["input"] if Path(other).parent == Path(file).parent or other.startswith(RAW)]
    return list(dict.fromkeys([*(log for other in own for log in logs(other, root)), *made["log"]]))


def batch(file: str, root: Path) -> tuple[str, list[str]] | None:
    """The output of the batch job that made a run's file, and the inputs that it read for this run only.

    The job's own note (`ngw batch`) says so.
    """
    for folder in Path(file).parents:
        for note in sorted([*(root / folder).glob("*.json"), *(root / folder).glob(f"{ALL}*/*.json")]):
            name = note.relative_to(root).as_posix()
            if job(name, root / ".snakemake" / "metadata") is None:
                continue
            entries = json.loads(note.read_text(encoding="utf-8"))
            for made in entries.values() if isinstance(entries, dict) else ():
                if isinstance(made, dict) and file in made.get("files", ()):
                    return name, made.get("reads", [])
    return None


def trace(file: str, root: Path, depth: int = 9) -> list[str]:
    """How a file was made, and from what, as lines of text; each file once.

    file: relative to `root`, where Snakemake ran.  Raises `InputError` if Snakemake has no note of it.
    """
    store = root / ".snakemake" / "metadata"
    of_run = None if job(file, store) is not None else batch(file, root)
    made_by = file if of_run is None else of_run[0]
    if job(made_by, store) is None:
        raise InputError(
            f"{file}: expected a file that Snakemake has made in {root}, found no note of it; give its path as the "
            "workflow writes it, such as results/tables/retrieval.csv, from the folder in which it ran."
        )
    seen, lines = set(), [] if made_by == file else [f"{file}: one of the runs of {made_by}"]
    own = None if of_run is None else {maker for maker, _ in filter(None, (batch(other, root) for other in of_run[1]))}

    def follow(name: str, level: int) -> None:
        seen.add(name)
        made, pad = job(name, store) or {}, "  " * level
        when = datetime.fromtimestamp(made["starttime"]).strftime("%Y-%m-%d %H:%M:%S")
        seconds = made["endtime"] - made["starttime"]
        gone = "" if (root / name).exists() else ", no longer there"
        lines.append(f"{pad}{name}: rule {made['rule']}, {when}, {seconds:.1f} s{gone}")
        lines.append(f"{pad}  $ {' '.join(made['shellcmd'].split())}")
        sources = [other for other in made["input"] if job(other, store) is None]
        if sources:
            lines.append(f"{pad}  by {', '.join(sources)}")
        rest = [other for other in made["input"] if other not in sources and other not in seen]
        if own and name == made_by:  # among the jobs of the runs that it reads, only this run's
            rest = [other for other in rest if other in own or not (root / other).match("runs/*/*/*/*.json")]
        for other in rest if level < depth else []:
            if other not in seen:
                follow(other, level + 1)

    follow(made_by, 0)
    return lines


@stage("Tell how a file of the workflow was made, and from what.")
def provenance(
    file: Annotated[str, POSITIONAL, "its path as the workflow writes it, such as results/tables/retrieval.csv"],
    depth: Annotated[int, count, "how many steps back; 1: its own inputs"] = 9,
) -> None:
    """The provenance command, which no rule runs: how a file was made, and from what, from Snakemake's notes."""
    print("\n".join(trace(os.path.relpath(file or "."), Path(), depth)))
