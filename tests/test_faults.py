"""Faults of the machine: a disk that fills up during a write, two runs at once. Nothing is half-written."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import training

from ngw import features, io
from ngw.errors import InputError
from ngw.nn.training import Schedule, train

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


def in_a_rule(command: str, folder: Path) -> subprocess.CompletedProcess:
    """A command as a rule's shell runs it: by the prefix of rules/common.smk, its output in a log."""
    prefix = re.search(r'f"(exec 3>&2; export )', (ROOT / "rules" / "common.smk").read_text())[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shell = f"{prefix} NGW_TERMINAL=3; {sys.executable} -m ngw {command} > {folder}/log 2>&1"
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment, check=False)


def filled(disk: Path) -> None:
    """Not a byte more fits on this disk."""
    with contextlib.suppress(OSError), open(disk / "filling", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_with_a_full_disk_the_terminal_says_so_since_the_log_lies_on_it(disk, write_cloud, tmp_path_factory):
    inputs = tmp_path_factory.mktemp("inputs")
    pair = write_cloud(inputs / "v.safetensors", "vision"), write_cloud(inputs / "t.safetensors", "text")
    command = shlex.join(training("fit", pair, disk / "model.safetensors"))
    done = in_a_rule(command, disk)
    assert (done.returncode, done.stderr) == (0, "")
    (disk / "model.safetensors").unlink()
    filled(disk)
    done = in_a_rule(command, disk)
    assert done.returncode == 2
    assert f"ngw fit: {disk}/model.safetensors: expected room for the file, found 0 bytes on its disk" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(disk.glob(".*"))


def test_a_log_that_cannot_be_written_is_told_on_the_terminal(disk, write_cloud, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    pair = write_cloud(outside / "v.safetensors", "vision"), write_cloud(outside / "t.safetensors", "text")
    filled(disk)
    spec = {"kind": "warp", "steps": 1, "dims": 4}  # its stage prints the plan's diagnostics
    done = in_a_rule(shlex.join(training("transport", pair, outside / "plan", spec=spec)), disk)
    assert (done.returncode, done.stderr) == (
        2, "ngw transport: its output or log: expected room on its disk, found none; free some and run again.\n"
    )  # fmt: skip
    done = in_a_rule(shlex.join(training("fit", (outside / "gone", pair[1]), outside / "model")), disk)
    assert done.returncode == 2
    assert f"ngw fit: {outside}/gone: no such feature file" in done.stderr


def test_a_folder_that_does_not_fit_is_told_and_leaves_nothing(disk):
    from safetensors.numpy import save_file

    with pytest.raises(InputError, match="clip: expected room for the file"), io.atomic(disk / "clip") as folder:  # noqa: PT012
        folder.mkdir()
        save_file({"x": np.zeros(300_000, np.float32)}, folder / "model.safetensors")
    assert list(disk.iterdir()) == []


KILLED = """
import sys
from ngw import io
path, kind = sys.argv[1:]
with io.atomic(path) as temporary:
    temporary.mkdir() if kind == "folder" else temporary.write_text("half")
    if kind == "folder":
        (temporary / "weights").write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def writing(path: Path, kind: str) -> tuple[subprocess.Popen, Path]:
    """A process in the middle of writing a file or a folder, and its temporary."""
    command = [sys.executable, "-c", KILLED, str(path), kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_ones_stays(tmp_path, kind):
    path = tmp_path / "a"
    killed, left = writing(path, kind)
    alive, other = writing(path, kind)
    beside, neighbour = writing(tmp_path / "a.json", kind)
    for process in (killed, beside):
        process.kill()
        process.wait()
    assert left.exists()
    assert neighbour.exists()
    with io.atomic(path) as temporary:
        temporary.mkdir() if kind == "folder" else temporary.write_text("whole")
    assert not left.exists()
    assert other.exists()  # its process may yet end well
    assert neighbour.exists()  # the next write of a.json removes it
    io.write_text(tmp_path / "a.json", "whole")
    assert not neighbour.exists()
    alive.communicate("")
    assert alive.returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.json"]


def test_another_hosts_temporary_stays_for_a_day(tmp_path):
    name = f".a.1-{'0' * 8}-12345678.tmp"
    for age, stays in ((3600, True), (2 * 86_400, False)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
        io.write_text(tmp_path / "a", "whole")
        assert (tmp_path / name).exists() == stays


def test_a_training_clears_what_a_kill_left_of_its_checkpoint(tmp_path):
    killed, left = writing(tmp_path / "c", "file")
    killed.kill()
    killed.wait()
    p = {"w": torch.ones(3, requires_grad=True)}
    train(p, int, lambda _: (p["w"] ** 2).sum(), lambda: 1.0, Schedule(1, 0.1, 1, 9), tmp_path / "c", label="")
    assert not left.exists()
    assert list(tmp_path.iterdir()) == []
