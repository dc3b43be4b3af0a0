"""The cluster for the tests beside this file, and a copy of the repository whose workflow runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, missing
from runs import TABLE, copied, environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder want a cluster: `pytest -m slurm`."""
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.slurm)


def demand(accounting: bool) -> None:
    """A skip, or with REQUIRE_SLURM a failure, where SLURM isn't installed."""
    lacking = missing(accounting)
    if lacking or os.geteuid() != 0:
        words = f"no SLURM here: missing {', '.join(lacking) or 'nothing'}, user {os.geteuid()} (0 is wanted)"
        (pytest.fail if os.environ.get("REQUIRE_SLURM") else pytest.skip)(words)


def running(accounting: bool) -> Iterator[Cluster]:
    """A cluster, up."""
    demand(accounting)
    with Cluster(accounting) as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with accounting; of a module, since two can't run at once."""
    yield from running(accounting=True)


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Cluster]:
    """A cluster without accounting."""
    yield from running(accounting=False)


@pytest.fixture
def slurm() -> None:
    """For a test that starts a cluster of its own."""
    demand(accounting=True)


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
