"""A copy of the repository, and Snakemake in it on the cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = "results/tables/retrieval.csv"


def copied(folder: Path) -> Path:
    """What a run needs of the repository, so that none writes into the checkout."""
    for name in ("config.yaml", "paper.yaml", "ngw", "workflow", "rules", "envs", "profiles"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    (folder / "slurm").symlink_to("profiles/slurm")
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "config.yaml", folder / "tests")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The environment of a Snakemake in that copy."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(folder), "PATH": path}


class Run:
    """A Snakemake on the cluster; its output goes to a file, so that nothing blocks."""

    def __init__(self, folder: Path, *options: str, log: str = "run.log") -> None:
        self.log = folder / log
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--configfile", "tests/config.yaml"]
        command += ["--jobs", "6", "--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "2", *options]
        with open(self.log, "w") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment(folder), stdout=file, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def wait(self, seconds: float = 420) -> int:
        """Its exit status; hanging is a failure."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Snakemake hung:\n{self.text[-3000:]}") from None

    def kill(self) -> None:
        """kill -9, the workflow and what it started here."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
