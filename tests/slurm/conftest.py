"""The cluster for the tests beside this file, and a copy of the repository whose workflow runs on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, missing

ROOT = Path(__file__).parents[2]
TABLE = "results/tables/retrieval.csv"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder want a cluster: `pytest -m slurm`."""
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with accounting; a skip, or with REQUIRE_SLURM a failure, where SLURM isn't installed."""
    lacking = missing(accounting=True)
    if lacking or os.geteuid() != 0:
        words = f"no SLURM here: missing {', '.join(lacking) or 'nothing'}, user {os.geteuid()} (0 is wanted)"
        (pytest.fail if os.environ.get("REQUIRE_SLURM") else pytest.skip)(words)
    with Cluster(accounting=True) as running:
        yield running


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


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Path:
    """A copy in which the tiny config's table was made without a cluster."""
    folder = copied(tmp_path_factory.mktemp("local"))
    command = [sys.executable, "-m", "snakemake", "--configfile", "tests/config.yaml", "--cores", "2", TABLE]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A fresh copy."""
    return copied(tmp_path)
