"""One plan by several processes: as one process finds it, to the solver's tolerance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from commands import WARP, training
from test_warp import diagonal, views

from ngw import io
from ngw.cli import main
from ngw.methods._rounds import narrowed
from ngw.methods._transport import SinkhornOptions, couple
from ngw.methods.base import unit
from ngw.methods.warp import Warp

ROWS = np.arange(0, 60, 3), np.arange(20, 50)
COUPLED = [{}, {"tau": 1.0}, {"mass": 0.8}, {"wanted": ROWS}]
TARGETS = ("to_y", "to_x", "mass_x", "mass_y", "support_x", "support_y", "f", "g")


def coupled(tau=None, mass=1.0, wanted=None, group=None):
    """A plan between 60 and 50 rows, ten of them known pairs."""
    x, y = (np.random.default_rng(k).standard_normal((n, 4)).astype(np.float32) for k, n in ((0, 60), (1, 50)))
    space, options, _ = narrowed((unit(x), unit(y)), SinkhornOptions(0.2, tau, mass, tol=1e-8), False, 4)
    return couple(space, x, y, diagonal(10), options, np.stack([np.arange(50)] * 2, 1), wanted, group)


def solved(group=None):
    x, y = views(240, noise=0.4)
    options = {"early_rows": 100, "rounds": 2, "tol": 1e-7, "hubness": True}
    return Warp(**options).solve(x[:200], y[40:], np.add(diagonal(20), [40, 0]), 0, None, group)


def run_rank(rank, folder):
    """One of two processes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    plans = [*(coupled(**kind, group=dist.group.WORLD) for kind in COUPLED), solved(dist.group.WORLD)]
    for k, plan in enumerate(plans):
        numbers = {"true_mass": np.nan if plan.true_mass is None else plan.true_mass, "rounds": plan.rounds}
        np.savez(f"{folder}/{k}-{rank}.npz", **{name: getattr(plan, name) for name in TARGETS}, **numbers)
    dist.destroy_process_group()


@pytest.mark.long
def test_two_processes_find_the_plan_that_one_does(tmp_path):
    mp.spawn(run_rank, (str(tmp_path),), nprocs=2)
    for k, plan in enumerate([*(coupled(**kind) for kind in COUPLED), solved()]):
        first, second = (np.load(tmp_path / f"{k}-{rank}.npz") for rank in (0, 1))
        for name in TARGETS:
            np.testing.assert_array_equal(first[name], second[name], err_msg=f"{k} {name}")
            shift = 0 if name in TARGETS[:6] else np.nanmean(first[name] - getattr(plan, name), -1, keepdims=True)
            np.testing.assert_allclose(
                first[name] - shift, getattr(plan, name), atol=1e-5, rtol=1e-4, err_msg=f"{k} {name}"
            )
        assert first["rounds"] == plan.rounds
        assert first["true_mass"] == pytest.approx(plan.true_mass, abs=1e-6, nan_ok=True)


@pytest.mark.long
def test_a_job_under_torchrun_writes_the_plans_of_one_process(pair, tmp_path, capsys):
    one = tmp_path / "one.safetensors"
    assert main(training("transport", pair, one, spec=WARP)) == 0
    clouds, options = [str(path) for path in pair], {"method": "m", "spec": WARP, "seed": 0}
    runs = [{"folder": str(pairs), "options": options | {"pairs": str(pairs)}, "reads": {}} for pairs in (4, 6)]
    group = {"parts": ["ngw.methods.warp"], "folder": str(tmp_path), "reads": {}, "runs": runs}
    job = json.dumps({"groups": [group | {"makes": {"output": "plan.safetensors"}}]})
    words = ["batch", "transport", "--runs", job, "--inputs", *clouds, "--done", str(tmp_path / "done.json")]
    words += ["--", "--vision", clouds[0], "--text", clouds[1]]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ngw"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [*command, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("n_iter") == len(runs)  # the first process alone tells
    (expected, _), (found, _) = (
        io.read_tensors(path, "a plan", "diagnostics") for path in (one, tmp_path / "6" / "plan.safetensors")
    )
    for name in TARGETS[:6]:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)
    capsys.readouterr()
    assert main(words) == 0  # what the processes noted, one process finds
    assert capsys.readouterr().out.count("is there already") == len(runs)
