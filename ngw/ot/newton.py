"""Newton steps on the dual, from where Anderson's mixing stalls: conjugate gradients on the kernel's blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ngw.ot.cost import multiply, total
from ngw.ot.kernel import Kernel, native
from ngw.ot.solve import Solution, l1

FORCING = 1e-2  # share of the gradient that a step leaves
HALVED = 0.5  # a step that leaves more of the error than this was the last one
FURTHEST = 3.0  # a potential moves no further in a step
DENSE = 5000  # columns up to which the first step's Hessian is factored, to precondition that step and the next ones
SHIFT = 1e-9  # of its diagonal: the Hessian is singular along constants

Linear = Callable[[torch.Tensor], torch.Tensor]


def polish(kernel: Kernel, start: Solution, lam: float, max_iter: int, tol: float) -> Solution:
    """Truncated Newton's method on the column potentials, from a solution near the optimum (Kemertas et al. 2025).

    With the rows updated exactly, t - c is the semi-dual's gradient, c [m] being the columns' masses and t what they
    should be, and diag(c) + (1 / lam - 1) diag(t) - lam P' diag(1 / P 1) P is its negative Hessian, whose products take
    exact rows: what rounded ones would change is more than the directions have in which Anderson's mixing is slow.
    """
    x, best, before, passes = torch.zeros_like(start.g), start, math.inf, start.n_iter
    precondition: Linear | None = None
    while True:
        now, c, t = _gradient(kernel, start, x, lam)
        passes, best = passes + 1, now if now.error < before else best
        if reason := _stop(now.error, before, tol, passes, max_iter):
            break
        before, goal = now.error, max(FORCING * now.error, tol / 4) * float(t.sum())
        hessian = Hessian(kernel, now, c, t, lam)
        precondition = precondition or hessian.inverse()
        step, spent = conjugate_gradients(hessian.product, t - c, precondition, goal, max_iter - passes - 1)
        x, passes = x + step.clamp(-FURTHEST, FURTHEST), passes + spent
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
        if not curvature > 0:  # rounding is all that is left
            return x, k
        x += (rz / curvature) * p
        r -= (rz / curvature) * q
        if float(r.abs().sum()) <= goal:
            return x, k
        z = precondition(r)
        p, rz = z + (r @ z / rz) * p, r @ z
    return x, max_iter


class Hessian:
    """The negative Hessian at a solution: diag(diagonal) - lam W' diag(outer inner) W, W = K diag(weight)."""

    def __init__(self, kernel: Kernel, at: Solution, c: torch.Tensor, t: torch.Tensor, lam: float):
        self.kernel, self.lam, self.diagonal = kernel, lam, c + (1 / lam - 1) * t
        self.weight = kernel.b * at.v
        share = torch.exp(at.f / lam - kernel.f)  # makes K b v p the mean of p under each row's conditional
        rows = kernel.a.double() * torch.exp(at.f * (1 - 1 / lam) - (at.g * (1 - 1 / lam)).max())  # P 1
        self.inner, self.outer = share.to(kernel.a.dtype), (rows * share).to(kernel.a.dtype)

    def product(self, p: torch.Tensor) -> torch.Tensor:
        sums, strip = torch.zeros_like(self.kernel.b), self.kernel.strip
        right, native_sums = native(self.weight * p.to(self.weight.dtype)), native(sums)
        inner, outer = native(self.inner), native(self.outer)
        for rows, block in self.kernel.blocks():
            for k in range(0, len(block), strip):
                part = native(block[k : k + strip])
                i = slice(rows.start + k, rows.start + k + len(part))
                native_sums += (outer[i] * (inner[i] * (part @ right))) @ part
        return self.diagonal * p - self.lam * total((self.weight * sums).double(), self.kernel.group)

    def inverse(self) -> Linear:
        """Near its inverse: by a factor of the whole matrix where that is small, else the diagonal's."""
        if self.kernel.m > DENSE:
            diagonal = self.diagonal.clone()
            return lambda r: r / diagonal
        squares = torch.zeros(len(self.weight), len(self.weight), dtype=torch.float64, device=self.weight.device)
        one = torch.empty_like(squares)
        for rows, block in self.kernel.blocks():
            part = (self.lam * self.inner[rows] * self.outer[rows]).sqrt()[:, None] * block * self.weight
            squares += multiply(part.T, part, out=one)
        lower = torch.linalg.cholesky(torch.diag(self.diagonal * (1 + SHIFT)) - total(squares, self.kernel.group))

        def solve(r: torch.Tensor) -> torch.Tensor:  # twice as fast as torch.cholesky_solve, on one column
            half = torch.linalg.solve_triangular(lower, r[:, None], upper=False)
            return torch.linalg.solve_triangular(lower.T, half, upper=True)[:, 0]

        return solve


def _gradient(kernel: Kernel, start: Solution, x: torch.Tensor, lam: float):
    """(the solution at start's g + x, masses c [m] of its columns, masses t [m] that they should have).

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
