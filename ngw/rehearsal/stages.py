"""`ngw rehearse`: a config's workflow on made data, in a folder of its own; then the cost of each rule's jobs."""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml

from ngw import io
from ngw.arguments import ConfigFiles, Root, count
from ngw.cli import stage
from ngw.config import Config
from ngw.errors import InputError, did_you_mean
from ngw.rehearsal import config, data
from ngw.tools import plan, study
from ngw.tools.measured import REHEARSAL, Work, works
from ngw.tools.status import merged_files

MEMORY = "16000"  # MB; a plan's kernel can take half of it, as in a job of profiles/slurm
# Snakemake's message about a failed job: its command, whose output is in the log.
FAILED = re.compile(r"^Command '.* -m ngw (?:batch )?([\w-]+) .* > '?(\S+?)'? 2>&1' returned non-zero", re.MULTILINE)


def portion(text: str) -> float:
    """A number above 0 and at most 1."""
    if not (re.fullmatch(r"[0-9]*\.?[0-9]+", text) and 0 < float(text) <= 1):
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, found {text!r}")
    return float(text)


@stage("Run a config's whole workflow on made data of its sizes, to learn which job breaks and what each costs.")
def rehearse(
    folder: Annotated[Path, "where everything is made and run: a new folder, or a rehearsal's, which resumes"],
    configfile: ConfigFiles = (), root: Root = Path(),
    share: Annotated[float, portion, "share of the images"] = 1.0,
    only: Annotated[Sequence[str], "the tables to make; default: all, with figures and page"] = (),
    cores: Annotated[int | None, count, "cores for Snakemake; default: all"] = None,
) -> None:  # fmt: skip
    """The rehearse command, which no rule runs: made data in official layouts, then Snakemake, then a line per rule."""
    values = merged_files(configfile, root)
    Config(values)
    _check(only, values)
    made = config.rehearsed(values, share)
    Config(made)
    _prepare(folder, made, share)
    status, text = _run(folder, only, cores)
    jobs = works(merged_files((), folder), (), folder)
    print("\n".join(lines(jobs)))
    failed = FAILED.findall(text)
    for name, log in failed:
        print(f"failed: {name}: {_last(folder / log)} ({folder / log})")
    if status:
        sys.exit(1)


def _check(only: Sequence[str], values: Mapping[str, Any]) -> None:
    """Every table of `--only` is in the config."""
    tables = [name for name, table in values["tables"].items() if table is not None]
    for name in only:
        if name not in tables:
            raise InputError(f"--only {name}: expected a table of the config.{did_you_mean(name, tables)}")


def _prepare(folder: Path, values: dict[str, Any], share: float) -> None:
    """Prepare the folder: a study's files with this config, made data, tiny networks; an earlier rehearsal resumes."""
    about = {"share": share, "datasets": values["datasets"]}
    before = io.read_json(folder / REHEARSAL) if (folder / REHEARSAL).is_file() else None
    if before not in (None, about):
        new, old = about["datasets"], before.get("datasets", {})
        others = ", ".join(name for name in {**new, **old} if new.get(name) != old.get(name))
        raise InputError(
            f"{folder / REHEARSAL}: expected a rehearsal of share {share} of these data sets, found one of share "
            f"{before.get('share')}{f' with another {others}' * bool(others)}; name a new folder."
        )
    if before is None:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(
                f"{folder}: expected a new folder, or a rehearsal's, found others' files, which made data could "
                "replace; name a new folder."
            )
        io.write_json(folder / REHEARSAL, about)
    if not (folder / "Snakefile").is_file():  # or what an interrupted call left is made again
        data.make(folder, values["datasets"], share)
        data.models(folder)
        study.start(folder)
    io.write_text(folder / "config.yaml", yaml.safe_dump(values, sort_keys=False, width=120))


def _run(folder: Path, only: Sequence[str], cores: int | None) -> tuple[int, str]:
    """Run Snakemake there, past failures; returns its exit status and its output, which is also printed."""
    command = [sys.executable, "-m", "ngw", "run", "--keep-going", "--cores", str(cores or "all")]
    command += [f"results/tables/{name}.csv" for name in only]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "SLURM_MEM_PER_NODE": MEMORY,
    }  # fmt: skip
    words = []
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            words.append(line)
    return process.returncode, "".join(words)


def _last(log: Path) -> str:
    """The last line of a log that isn't empty."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


HEADS = ("jobs", "done", "longest s", "its CPU s", "planned s", "most GB", "planned GB")


def lines(jobs: Sequence[Work]) -> list[str]:
    """A line per rule, the longest job first: its cost beside the constants of `ngw plan`."""
    text = [f"{'rule':24}{''.join(f'{name:>11}' for name in HEADS)}  the longest"]
    done = [work for work in jobs if work.cost is not None]
    rules = {rule: [work for work in done if work.rule == rule] for rule in dict.fromkeys(work.rule for work in done)}
    for rule, some in sorted(rules.items(), key=lambda item: -max(work.took.seconds for work in item[1])):
        longest = max(some, key=lambda work: work.took.seconds)
        planned, asked = plan.constant(longest), sum(work.rule == rule for work in jobs)
        memory = max((work.took.memory for work in some if not math.isnan(work.took.memory)), default=math.nan)
        numbers = (longest.took.seconds, longest.took.cpu_seconds, planned.seconds, memory, planned.memory)
        words = f"{asked:11,}{len(some):11,}{''.join(f'{number:11,.2f}' for number in numbers)}"
        text.append(f"{rule:24}{words}  {longest.name or '-'} {longest.dataset}".rstrip())
    return text
