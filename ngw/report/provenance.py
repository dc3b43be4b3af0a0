"""What a result was made by: versions, the commit, the machine; and where a number came from, command by command."""

from __future__ import annotations

import base64
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ngw import __version__
from ngw.errors import InputError

LIBRARIES = ("torch", "numpy", "transformers", "diffusers", "pot", "snakemake")


def about() -> dict[str, str]:
    """Facts for people, by name: date, versions, machine."""
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ngw": " ".join([__version__, commit()]).strip(),
        "libraries": ", ".join(f"{name} {found}" for name, found in libraries().items()),
        "python": platform.python_version(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }


def commit() -> str:
    """The commit of the sources, and whether they were changed since; nothing where they are no repository."""
    folder = Path(__file__).parents[2]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("rev-parse", "--show-toplevel") != str(folder):
        return ""
    return f"({git('rev-parse', '--short=12', 'HEAD')}{', changed since' if git('status', '--porcelain') else ''})"


def libraries() -> dict[str, str]:
    """The versions of the libraries that compute, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's model, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def job(file: str, store: Path) -> dict | None:
    """What Snakemake noted when it made a file (rule, shellcmd, input, starttime, endtime), or None."""
    name = base64.urlsafe_b64encode(file.encode()).decode()
    parts = [name[k : k + 254] for k in range(0, len(name), 254)]  # as Snakemake cuts names that a disk can't hold
    path = store.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def trace(file: str, root: Path, depth: int = 9) -> list[str]:
    """How a file was made, and what it was made from, as lines of text; each file once.

    file: as seen from `root`, where Snakemake ran.  Raises `InputError` where Snakemake has no note of it.
    """
    store = root / ".snakemake" / "metadata"
    if job(file, store) is None:
        raise InputError(
            f"{file}: expected a file that Snakemake has made in {root}, found no note of it; give its path as the "
            "workflow writes it, such as results/tables/retrieval.csv, from the folder in which it ran."
        )
    seen, lines = set(), []

    def follow(name: str, level: int) -> None:
        seen.add(name)
        made, pad = job(name, store), "  " * level
        when = datetime.fromtimestamp(made["starttime"]).strftime("%Y-%m-%d %H:%M:%S")
        seconds = made["endtime"] - made["starttime"]
        gone = "" if (root / name).exists() else ", no longer there"
        lines.append(f"{pad}{name}: rule {made['rule']}, {when}, {seconds:.1f} s{gone}")
        lines.append(f"{pad}  $ {' '.join(made['shellcmd'].split())}")
        sources = [other for other in made["input"] if job(other, store) is None]
        if sources:
            lines.append(f"{pad}  by {', '.join(sources)}")
        rest = [other for other in made["input"] if other not in sources and other not in seen]
        for other in rest if level < depth else []:
            if other not in seen:
                follow(other, level + 1)

    follow(file, 0)
    return lines
