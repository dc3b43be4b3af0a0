"""What a result was made by: versions, the commit, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ngw import __version__

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
