"""Errors below what float32 shows: Newton's steps end where a solution in float64 does."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from transport_problems import clouds, costs, true_error, weights

from ngw.ot import newton, sinkhorn
from ngw.ot.newton import conjugate_gradients

TOL = 1e-9


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("how", ["dense", "half kept", "streamed", "a matrix", "many columns"])
def test_agrees_with_pot_in_float64(epsilon, how, monkeypatch):
    if how == "many columns":  # for which no Hessian is factored
        monkeypatch.setattr(newton, "DENSE", 0)
    (x, y), (a, b) = clouds(), weights(40, 55)
    matrix = costs(x, y, "sqeuclidean")
    given = {"cost": matrix} if how == "a matrix" else {"x": x, "y": y}
    memory = {"half kept": 6000, "streamed": 0}.get(how)
    coupling = sinkhorn(**given, a=a, b=b, epsilon=epsilon, tol=TOL, memory=memory)
    assert coupling.converged, coupling.reason
    assert true_error(coupling, a, b) <= 1.2 * TOL
    kind = {"method": "sinkhorn_log", "stopThr": 1e-13, "numItermax": 100_000}
    expected = ot.sinkhorn(a, b, matrix, epsilon * (a @ matrix @ b), **kind)
    assert np.abs(coupling.dense() - expected).sum() < 100 * TOL


@pytest.mark.parametrize(("epsilon", "tau"), [(0.1, 1.0), (0.05, 0.1), (0.5, 0.05)])
def test_penalised_marginals_agree_with_pot(epsilon, tau):
    (x, y), (a, b) = clouds(), weights(40, 55)
    matrix = costs(x, y, "sqeuclidean")
    unit = a @ matrix @ b
    coupling = sinkhorn(x, y, a=a, b=b, epsilon=epsilon, tau=tau, tol=TOL)
    assert coupling.converged, coupling.reason
    kind = {"reg_type": "kl", "numItermax": 100_000, "stopThr": 1e-14}
    expected = ot.unbalanced.sinkhorn_unbalanced(a, b, matrix, epsilon * unit, tau * unit, **kind)
    np.testing.assert_allclose(coupling.dense(), expected, rtol=1e-6, atol=1e-13)


def test_two_points_by_hand():
    # By symmetry the plan is [[p, q], [q, p]] / 2 with p / q = exp(1 / epsilon), epsilon in units of the mean cost 1/2.
    coupling = sinkhorn(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]), epsilon=0.5, tol=1e-13)
    q = 1 / (1 + np.exp(4))
    np.testing.assert_allclose(coupling.dense(), np.array([[1 - q, q], [q, 1 - q]]) / 2, atol=1e-13)


def test_float32_alone_says_what_it_cannot_reach():
    (x, y), (a, b) = clouds(), weights(40, 55)
    coupling = sinkhorn(x, y, a=a, b=b, epsilon=0.05, tol=1e-10, dtype="float32")
    assert not coupling.converged
    assert "float32" in coupling.reason


def test_a_default_tolerance_or_float32_takes_no_newton_step():
    (x, y), (a, b) = clouds(), weights(40, 55)
    for tol, dtype in ((1e-4, None), (1e-6, "float64"), (1e-8, "float32")):
        assert "Newton" not in sinkhorn(x, y, a=a, b=b, epsilon=0.005, tol=tol, dtype=dtype).reason
    assert "Newton" in sinkhorn(x, y, a=a, b=b, epsilon=0.005, tol=1e-8).reason


def test_the_iterations_allowed_hold_for_newton_steps():
    (x, y), (a, b) = clouds(), weights(40, 55)
    all_ = sinkhorn(x, y, a=a, b=b, epsilon=0.01, tol=1e-9)
    short = sinkhorn(x, y, a=a, b=b, epsilon=0.01, tol=1e-9, max_iter=all_.n_iter - 2)
    assert not short.converged
    assert short.n_iter <= all_.n_iter - 1
    assert short.reason.startswith("stopped")
    assert true_error(short, a, b) <= 1.2 * short.marginal_error + 1e-12


def test_conjugate_gradients_solve_a_system_in_one_step_a_dimension():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    matrix, right = root @ root.T, torch.randn(5, dtype=torch.float64, generator=generator)
    x, spent = conjugate_gradients(lambda p: matrix @ p, right, lambda r: r / matrix.diagonal(), 1e-9, 5)
    torch.testing.assert_close(matrix @ x, right)
    assert spent == 5


def test_conjugate_gradients_solve_a_laplacian_though_constants_are_its_kernel():
    ring = torch.eye(6, dtype=torch.float64)
    laplacian = 2 * ring - ring.roll(1, 0) - ring.roll(-1, 0)
    right = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -2.5], dtype=torch.float64)
    x, _ = conjugate_gradients(lambda p: laplacian @ p, right, lambda r: r / 2, 1e-12, 50)
    torch.testing.assert_close(laplacian @ x, right)
