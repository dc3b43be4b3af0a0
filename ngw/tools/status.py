"""Which of a config's runs are done, stale (and why) or left: from records on disk and a dry run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from ngw.arguments import ConfigFiles, Root
from ngw.cli import stage
from ngw.config import Config, read
from ngw.config.batches import Batches
from ngw.errors import InputError

ENTRY = re.compile(r"([^\s'\",]+):([0-9a-f]{10}|missing|unreadable)\b")  # of a fingerprint


def merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One config merged over another, as Snakemake does: mappings key by key, anything else as a whole."""
    union = dict(base)
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(union.get(key), Mapping)
        union[key] = merged(union[key], value) if both else value
    return union


def merged_files(configfile: Sequence[Path], root: Path) -> dict[str, Any]:
    """A project's config.yaml with config files merged over it."""
    values = read(root / "config.yaml")
    for path in configfile:
        values = merged(values, read(path))
    return values


class Job(NamedTuple):
    """A job that Snakemake would run: its rule, its outputs, and Snakemake's reason."""

    rule: str
    outputs: list[str]
    reason: str


def dry_run(configfile: Sequence[Path], root: Path, *options: str) -> str:
    """The output of `snakemake --dry-run` for config files over config.yaml; an `InputError` if it refuses them."""
    files = ["--configfile", *map(str, configfile)] if configfile else []
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", *options, *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        if own := next((line for line in words if line.strip().startswith("InputError: ")), None):
            raise InputError(own.strip().removeprefix("InputError: "))
        last = next((line for line in words if line.startswith("config: ")), words[-1] if words else "nothing")
        raise InputError(f"snakemake --dry-run: expected a plan, found {last.rstrip('.')}; mend the config.")
    return done.stdout + done.stderr


def jobs(text: str) -> list[Job]:
    """The jobs of a dry run's text."""
    planned = []
    for block in re.split(r"\n(?=(?:local)?rule )", text):
        rule = re.match(r"(?:local)?rule (\w+):", block)
        if rule:
            entries = dict(re.findall(r"^    (output|reason): (.*)$", block, re.MULTILINE))
            planned.append(Job(rule[1], entries.get("output", "").split(", "), entries.get("reason", "")))
    return planned


def causes(reason: str) -> list[str]:
    """The changes since a job ran, from Snakemake's reason; without inputs that other jobs will remake first."""
    reasons = []
    params = re.search(r"Params have changed.*? before: (.*?) now: (.*?)\s*(?:; \w|$)", reason)
    if params:
        before, now = (set(ENTRY.findall(side)) for side in params.groups())
        reasons += [f"{unquote(name)} has changed" for name in sorted({name for name, _ in before ^ now})]
        rest = ENTRY.sub("", " ".join(params.groups())).replace("<nothing exclusive>", "")
        reasons += ["an option has changed"] if re.search(r"\w", rest) else []
    for words, cause in (
        ("Code has changed", "the rule's command has changed"),
        ("Set of input files has changed", "its set of inputs has changed"),
        ("Updated input files", "an input is newer"),
        ("Incomplete output", "it was interrupted"),
    ):
        reasons += [cause] if words in reason else []
    return reasons


def lines(
    records: Mapping[str, Mapping[str, str]], todo: Sequence[Job], root: Path, fits: Mapping[str, str]
) -> list[str]:
    """A line per table: the runs done, stale and left, and the first to do; then the changes.

    Among runs that one job scores, those are stale whose method is fitted anew; all of them, if none is.
    """
    remade = {path for job in todo for path in job.outputs}
    refitted = {path for path, fit in fits.items() if fit in remade}
    some = {made_by for paths in records.values() for path, made_by in paths.items() if path in refitted}
    text = [f"{'table':16} {'done':>6} {'stale':>6} {'left':>6} {'of':>6}  next"]
    for table, paths in records.items():
        left = [path for path in paths if not (root / path).is_file()]
        again = {path for path, by in paths.items() if by in remade and (path in refitted or by not in some)}
        stale = [path for path in paths if path in again and path not in left]
        total, then = len(paths), [*stale, *left, "-"][0]
        text.append(f"{table:16} {total - len(stale) - len(left):6} {len(stale):6} {len(left):6} {total:6}  {then}")
    why: dict[str, Counter] = {}
    for job in todo:
        if any((root / path).exists() for path in job.outputs):
            for cause in causes(job.reason):
                why.setdefault(cause, Counter())[job.rule] += 1
    for cause, rules in sorted(why.items()):
        text.append(f"stale: {cause}: {', '.join(f'{rule} ({count})' for rule, count in rules.items())}")
    return text


@stage("Show which of a config's runs are done, which are stale and why, and which are left.")
def status(configfile: ConfigFiles = (), root: Root = Path()) -> None:
    """The status command, which no rule runs: which runs of config.yaml, with config files over it, are done."""
    runs = Batches(Config(merged_files(configfile, root)))
    todo = jobs(dry_run([path.resolve() for path in configfile], root))
    print("\n".join(lines(runs.records(), todo, root, runs.fits())))
    page = root / "results" / "index.html"
    print(f"{page} is {'there' if page.is_file() else 'not there yet'}")
