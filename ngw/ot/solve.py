"""The iteration: exact row updates, Anderson on the column potentials, and an honest reason to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ngw.ot.anderson import Anderson
from ngw.ot.kernel import Kernel, softmin

SPAN = 25.0  # a scaling within exp(+-25) neither over- nor underflows in float32; beyond, it is absorbed
STALL = 200  # iterations without progress after which rounding, not the iteration, is the limit
SAMPLE, SAMPLE_ROUNDS = 16, 15  # the first guess solves a SAMPLE-th of either side roughly


@dataclass
class Solution:
    """Potentials (units of epsilon, float64), the kernel's scalings, and how it ended."""

    f: torch.Tensor  # [n]
    g: torch.Tensor  # [m]
    u: torch.Tensor  # [n]
    v: torch.Tensor  # [m]
    n_iter: int
    error: float
    reason: str


def solve(kernel: Kernel, g: torch.Tensor, lam: float, max_iter: int, tol: float) -> Solution:
    """Fixed point of g <- lam softmin(f(g)), from g [m] on (units of epsilon); lam = tau / (tau + epsilon), 1 if balanced.

    A pass updates the rows exactly, so all the error is the columns': sum_j |P'1 - target|_j, as a share of the mass.
    Where marginals are penalised (lam < 1) the target is b exp(-g / tau), which optimality asks for.
    """
    b = kernel.b.double()
    mixer, x = Anderson(b), torch.zeros_like(g)  # x: what g has changed by since it was last absorbed
    best, since, reason = math.inf, 0, ""
    kernel.absorb(g, lam)
    for n_iter in range(1, max_iter + 1):
        v = x.exp()
        masses, sums = kernel.walk(v.to(kernel.b.dtype))
        column, h = sums.double() * v, g + x  # [m] column sums over b; the whole potential
        target = torch.ones_like(h) if lam == 1 else torch.exp(h * (1 - 1 / lam))
        error = float((b * (column - target).abs()).sum() / (b * target).sum())
        best, since = (error, 0) if error < 0.9 * best else (best, since + 1)
        if reason := _stop(error, tol, n_iter, max_iter, since, kernel.b.dtype):
            break
        x = mixer.step(h, -lam * column.log() - (1 - lam) * h, error) - g
        if lam == 1:
            x = x - (b @ x) / b.sum()  # a constant between f and g is free
        if x.abs().max() > SPAN:
            g, x = g + x, torch.zeros_like(x)
            kernel.absorb(g, lam)
    log_u = kernel.scaling(masses)
    return Solution(kernel.f + log_u, g + x, log_u.exp().to(kernel.a), v.to(kernel.b), n_iter, error, reason)


def _stop(error: float, tol: float, n_iter: int, max_iter: int, since: int, dtype: torch.dtype) -> str:
    """The reason to stop here, or nothing."""
    if error <= tol:
        return f"converged: the marginals' L1 error {error:.2g} is at most tol = {tol:g}."
    if since > STALL:
        return f"stopped: no progress in {STALL} iterations; {dtype} reached a marginal error of {error:.2g}."
    if n_iter == max_iter:
        return f"stopped: max_iter = {max_iter} iterations left a marginal error of {error:.2g}, above tol = {tol:g}."
    return ""


def first_guess(cost, a: torch.Tensor, b: torch.Tensor, lam: float, dtype: torch.dtype) -> torch.Tensor:
    """g [m] from a rough solution between a sample of the rows and one of the columns: no far point underflows."""
    rows, cols = (torch.randperm(k, generator=torch.Generator().manual_seed(0))[: max(256, k // SAMPLE)] for k in cost.shape)
    rows, cols = rows.to(a.device), cols.to(a.device)
    a, b = a[rows] * (a.sum() / a[rows].sum()), b[cols] * (b.sum() / b[cols].sum())
    small = cost.take(rows, cols)
    turned, g = small.T, torch.zeros_like(b)
    for _ in range(SAMPLE_ROUNDS):
        f = lam * softmin(small, b, g, dtype)
        g = lam * softmin(turned, a, f, dtype)
    return lam * softmin(cost.take(rows, slice(None)).T, a, f, dtype)
