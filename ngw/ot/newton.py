"""Newton steps on the dual, after Anderson's mixing stalls: conjugate gradients on the kernel's blocks."""

from __future__ import annotations

import math

import torch

from ngw.ot.hessian import Hessian, Linear
from ngw.ot.kernel import Kernel
from ngw.ot.solve import Solution, l1

FORCING = 1e-2  # share of the gradient that a step leaves
HALVED = 0.5  # a step that leaves more of the error than this is the last one
FURTHEST = 3.0  # largest move of a potential in a step
DENSE = 5000  # columns up to which the Hessian is factored, once, to precondition all later steps ...
RENT = 16  # ... after a pass for every 16 columns with its diagonal alone, which cost about as much as the factor


def polish(kernel: Kernel, start: Solution, lam: float, max_iter: int, tol: float) -> Solution:
    """Truncated Newton's method on the column potentials, from a solution near the optimum (Kemertas et al. 2025).

    With the rows updated exactly the semi-dual's gradient is t - c, the columns' target masses minus their current
    ones.  A pass is a gradient or a product with the Hessian.
    """
    x, best, before, passes = torch.zeros_like(start.g), start, math.inf, start.n_iter
    rent = kernel.m // RENT if kernel.m <= DENSE else max_iter
    inverse: Linear | None = None
    while True:
        now, c, t = _gradient(kernel, start, x, lam)
        passes, best = passes + 1, now if now.error < best.error or best is start else best
        if reason := _stop(now.error, before, tol, passes, max_iter):
            break
        hessian, goal = Hessian(kernel, now, c, t, lam), max(FORCING * now.error, tol / 4) * float(t.sum())
        if rent == 0 and inverse is None:
            inverse = hessian.inverse()
        allowed = min(max_iter - passes - 1, max_iter if inverse else rent)
        step, spent = conjugate_gradients(hessian.product, t - c, inverse or hessian.divide, goal, allowed)
        x, passes, rent = x + step.clamp(-FURTHEST, FURTHEST), passes + spent, max(0, rent - spent)
        before = now.error if spent < allowed else math.inf  # a step cut short need not halve the error
    best.n_iter, best.reason = passes, reason
    return best


def conjugate_gradients(
    matrix: Linear, right: torch.Tensor, precondition: Linear, goal: float, max_iter: int
) -> tuple[torch.Tensor, int]:
    """(x [m], products spent) with |matrix x - right|_1 <= goal, or as near as it came.

    matrix: symmetric, positive semidefinite; where constants are its kernel, right has to sum to 0.
    """
    x, r = torch.zeros_like(right), right.clone()
    z = precondition(r)
    p, rz = z.clone(), r @ z
    for k in range(1, max_iter + 1):
        q = matrix(p)
        curvature = p @ q
        if not curvature > 0:  # only rounding is left
            return x, k
        x += (rz / curvature) * p
        r -= (rz / curvature) * q
        if float(r.abs().sum()) <= goal:
            return x, k
        z = precondition(r)
        p, rz = z + (r @ z / rz) * p, r @ z
    return x, max_iter


def _gradient(kernel: Kernel, start: Solution, x: torch.Tensor, lam: float):
    """(the solution at start's g + x, masses c [m] of its columns, their target masses t [m]).

    c and t are in units of the largest t / b.
    """
    b, g, log_v = kernel.b.double(), start.g + x, start.v.double().log() + x
    v = log_v.exp().to(kernel.b.dtype)
    masses, log_sums = kernel.walk(v, exact=True)
    have, want = log_sums + log_v, g * (1 - 1 / lam)
    now = Solution(kernel.row_potentials(masses), g, v, 0, l1(b, have, want), "", False)
    return now, b * torch.exp(have - want.max()), b * torch.exp(want - want.max())


def _stop(error: float, before: float, tol: float, passes: int, max_iter: int) -> str:
    """The reason to stop here, or nothing."""
    left = f"a marginal error of {min(error, before):.2g}, above tol = {tol:g}."
    if error <= tol:
        return f"converged: the marginals' L1 error {error:.2g} is at most tol = {tol:g}, after Newton steps."
    if passes + 2 > max_iter:  # a step takes a product, and a gradient to judge it
        return f"stopped: the iterations allowed (max_iter) left {left}"
    if not error < HALVED * before:
        return f"stopped: Newton steps no longer halve {left}"
    return ""
