"""Faults of the machine: a disk that fills up during a write, two runs at once. Nothing is half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ngw import features, io
from ngw.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def disk(tmp_path):
    """A file system of half a megabyte."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_feature_file_that_does_not_fit_is_told_before_anything_is_encoded(disk, count):
    encoder = count()
    arrays = {"ids": ("int64", (9,)), "image_ids": ("int64", (9,)), "pooled": ("float32", (9, 40_000))}
    with (
        pytest.raises(InputError, match=r"a\.safetensors: expected room for the file, found [\d,]+ bytes on its disk"),
        features.writer(disk / "a.safetensors", arrays, encoder.card()),
    ):
        pytest.fail("the writer opened")
    assert list(disk.iterdir()) == []


def test_a_table_that_does_not_fit_leaves_the_one_before(disk):
    io.write_text(disk / "table.csv", "as it was")
    io.write_tensors(disk / "filling", {"x": np.zeros(100_000, np.float32)}, {})
    with pytest.raises(InputError, match=r"table\.csv: expected room for the file"):
        io.write_text(disk / "table.csv", "x" * 400_000)
    with pytest.raises(InputError, match=r"runs\.parquet: expected room for the file"):
        io.write_table(disk / "runs.parquet", {"x": np.random.default_rng(0).standard_normal(60_000)})
    assert (disk / "table.csv").read_text() == "as it was"
    assert sorted(path.name for path in disk.iterdir()) == ["filling", "table.csv"]


@pytest.mark.workflow
def test_a_second_run_at_once_is_refused_and_the_first_one_ends_well(tmp_path):
    for name in ("config.yaml", "ngw", "workflow", "rules", "envs"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "config.yaml", tmp_path / "tests")
    target = "results/features/scenes/test/minilm-l6.safetensors"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "tests/config.yaml", "--", target]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path}, "text": True}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    locks = tmp_path / ".snakemake" / "locks"
    for _ in range(600):
        if locks.is_dir() and any(locks.iterdir()):
            break
        time.sleep(0.1)
    second = subprocess.run(command, capture_output=True, timeout=120, **options)
    assert second.returncode != 0
    said = second.stderr + second.stdout
    assert "locked" in said or "IncompleteFiles" in said or "incomplete" in said, said
    said, _ = first.communicate(timeout=300)
    assert first.returncode == 0, said
    assert (tmp_path / target).is_file()
