"""Transport on a GPU gives the CPU's answers, and only scalars leave the GPU; shown on a simulated GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pretended_gpu import OnGpu, pretended_gpu
from test_warp import diagonal, views
from transport_problems import clouds, costs, weights

from ngw.methods.warp import Warp
from ngw.nn import losses
from ngw.ot import sinkhorn
from ngw.ot.klot import klot

CASES = {
    "dense": {},
    "streamed": {"memory": 0},
    "half kept": {"memory": 60_000, "n": 200},
    "float64": {"dtype": "float64", "tol": 1e-10},
    "cosine": {"cost": "cosine"},
    "penalised": {"tau": 0.3},
    "sharp": {"epsilon": 5e-3, "tol": 1e-6},
    "newton": {"epsilon": 5e-3, "tol": 1e-9},
    "a row without weight": {"empty": 3},
}


def answers(coupling, y):
    """All that a coupling is asked for, on the host."""
    i = torch.arange(3)
    values = {
        "f": coupling.f, "g": coupling.g, "barycenters": coupling.barycenters(y), "rows": coupling.rows(i),
        "mass": coupling.mass(i, i), "row mass": coupling.row_mass(), "perplexity": coupling.perplexity(),
        "columns": coupling.T.row_mass(),
    }  # fmt: skip
    return {name: value.cpu().double() for name, value in values.items()}


def problem(n=40, empty=0, **options):
    (x, y), (a, b) = clouds(n), weights(n, 55)
    a[:empty] = 0
    x, y, a, b = (torch.as_tensor(z) for z in (x, y, a / a.sum(), b))
    return (x, y, a, b), {"epsilon": 0.05} | options


@pytest.mark.parametrize("case", CASES)
def test_a_gpu_gives_the_cpu_s_answers(case, monkeypatch):
    (x, y, a, b), options = problem(**CASES[case])
    expected = sinkhorn(x, y, a=a, b=b, **options)
    with pretended_gpu(monkeypatch) as device:
        coupling = sinkhorn(x.to(device), y.to(device), a=a.to(device), b=b.to(device), **options)
        assert isinstance(coupling.f, OnGpu)
        seen = answers(coupling, y.to(device))
    assert coupling.converged == expected.converged
    assert coupling.path == expected.path
    for name, value in answers(expected, y).items():
        torch.testing.assert_close(seen[name], value, rtol=2e-3, atol=2e-4, msg=name)


def test_a_cost_matrix_on_a_gpu(monkeypatch):
    (x, y, *_), _ = problem()
    matrix = torch.as_tensor(costs(x.numpy(), y.numpy(), "sqeuclidean"))
    expected = sinkhorn(cost=matrix, epsilon=0.05).dense()
    with pretended_gpu(monkeypatch) as device:
        seen = sinkhorn(cost=matrix.to(device), epsilon=0.05).dense().cpu()
    torch.testing.assert_close(seen, expected, rtol=2e-3, atol=1e-6)


def test_arrays_of_the_host_are_sent_to_the_device_asked_for(monkeypatch):
    (x, y, *_), _ = problem()
    with pretended_gpu(monkeypatch) as device:
        coupling = sinkhorn(x.numpy(), y.numpy(), epsilon=0.05, device=device)
        seen = coupling.barycenters(y.numpy())
        assert isinstance(coupling.a, OnGpu)
    torch.testing.assert_close(torch.as_tensor(seen), sinkhorn(x, y, epsilon=0.05).barycenters(y), rtol=1e-4, atol=1e-5)


def test_a_solution_on_a_gpu_starts_the_next(monkeypatch):
    (x, y, *_), _ = problem()
    with pretended_gpu(monkeypatch) as device:
        x, y = x.to(device), y.to(device)
        cold = sinkhorn(x, y, epsilon=0.01)
        for init in (cold, (cold.f, cold.g)):
            assert sinkhorn(x, y, epsilon=0.01, init=init).n_iter <= 2 < cold.n_iter


@pytest.mark.parametrize("options", [{"early_rows": 60}, {"tau": 1.0}, {"mass": 0.8}], ids=str)
def test_ngw_solves_its_plans_on_the_gpu_that_torch_finds(options, monkeypatch):
    x, y = views(160, noise=0.4)
    model, pairs = Warp(rounds=2, tol=1e-6, **options), diagonal(20)
    expected = model.solve(x, y, pairs, truth=diagonal(160))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pretended_gpu(monkeypatch):
        seen = model.solve(x, y, pairs, truth=diagonal(160))
    assert seen.true_mass == pytest.approx(expected.true_mass, rel=2e-3)
    for name in ("to_y", "to_x", "mass_x", "mass_y", "support_x", "support_y"):
        np.testing.assert_allclose(getattr(seen, name), getattr(expected, name), rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("loss", [losses.infonce, losses.sigmoid, lambda s: klot(s, s.softmax(1) / len(s), 0.1)])
def test_losses_on_a_gpu(loss, monkeypatch):
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    with pretended_gpu(monkeypatch) as device:
        seen = float(loss(scores.to(device)))
    assert seen == pytest.approx(float(loss(scores)), rel=1e-5)
