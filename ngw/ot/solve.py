"""The iteration: exact row updates, Anderson on the column potentials; first guess, annealing, reasons to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ngw.ot.anderson import Anderson
from ngw.ot.cost import ranks_rows, total
from ngw.ot.kernel import Kernel, softmin

SPAN = {torch.float16: 5.0, torch.float32: 45.0, torch.float64: 300.0}  # log scalings beyond this are absorbed
ROUNDED_TOL, ROUNDED_STALL = 1e-2, 8  # rounded rows: error, or passes without progress, at which exact ones are used
STALL = 100  # passes allowed without the error falling by a tenth
NEAR, SLOW = 1e-3, 15  # the error, and the passes without halving it, from which Newton steps take over
SAMPLE, SAMPLE_ITER, SAMPLE_TOL = 64, 5, 1e-2  # the first guess solves a 64th of either side, roughly
PART = 1 << 14  # columns at a time, after that
SHARP, LEVEL_TOL = 0.03, 3e-3  # annealing starts below this epsilon (units of the mean cost); its levels' error
SAFE, SAFE_TOL = 1.0, 1e-3  # the same for problems that stall without it, such as far clusters of unequal mass


@dataclass
class Solution:
    """Potentials (units of epsilon, float64), and the status."""

    f: torch.Tensor  # [n]
    g: torch.Tensor  # [m]
    v: torch.Tensor  # [m] the kernel's column scaling: g less what it has absorbed
    n_iter: int
    error: float
    reason: str
    stalled: bool


def anneal(
    kernel: Kernel, g, epsilon: float, lam: Callable, max_iter: int, tol: float, warm: bool, newton=False
) -> Solution:
    """Solve at 4^k epsilon, ..., 4 epsilon, epsilon, each from the one before; with more levels where that stalls.

    epsilon in units of the mean cost; lam(epsilon) as in `solve`; g [m] in units of the kernel's epsilon.
    """
    passes = 0
    for start, level_tol in ((epsilon if warm else SHARP, LEVEL_TOL), (SAFE, SAFE_TOL)):
        levels, h = max(0, math.floor(math.log(start / epsilon, 4))), g
        for k in range(levels, -1, -1):
            kernel.cost.cool(0.25**levels if k == levels else 4.0)
            h = h * 0.25**levels if k == levels else h * 4.0
            goal = max(tol, level_tol) if k else tol
            end = solve(kernel, h, lam(epsilon * 4**k), max(1, max_iter - passes), goal, newton and not k)
            h, passes = end.g, passes + end.n_iter
        if not end.stalled or passes >= max_iter or (newton and end.error <= NEAR):
            break
    end.n_iter = passes
    return end


def solve(kernel: Kernel, g: torch.Tensor, lam: float, max_iter: int, tol: float, newton=False) -> Solution:
    """Fixed point of g <- lam softmin(f(g)), from g [m] on (units of epsilon); lam = tau / (tau + epsilon), balanced 1.

    A pass updates the rows exactly, so the error is the columns': sum_j |P'1 - target|_j, as a share of the mass, plus
    the rows' rounding.  Where marginals are penalised (lam < 1) the target is b exp(-g / tau), as optimality asks.
    newton: stop early, as stalled, where Newton steps should take over.
    """
    b = kernel.b.double()
    mixer, x, correct = Anderson(b), torch.zeros_like(g), 0.0  # x: what g has changed by since it was last absorbed
    best, since, half, slow = math.inf, 0, math.inf, 0
    rounding, look, looked = None, max(tol, ROUNDED_TOL), 0
    rough = tol > ROUNDED_TOL  # rounded rows meet it by themselves, as `_rounding` checks
    kernel.absorb(g, lam)
    for n_iter in range(1, max_iter + 1):
        v, h = x.exp().to(kernel.b.dtype), g + x
        masses, log_sums = kernel.walk(v)
        column, target = log_sums + x + correct, h * (1 - 1 / lam)  # [m] log of the column sums over b, have and want
        error = l1(b, column, target)
        if kernel.rounded and not rough and (error <= look or min(since, n_iter - looked) > ROUNDED_STALL):
            # Correct by the exact rows.
            masses, log_sums = kernel.walk(v, exact=True)
            mixer.shift(lam * (column - log_sums - x))
            correct, column = correct + log_sums + x - column, log_sums + x
            error, look, looked = l1(b, column, target), tol, n_iter
        if error <= tol:
            rounding = _rounding(kernel, kernel.row_potentials(masses), h, lam) if rounding is None else rounding
        error = math.hypot(error, rounding or 0.0) + (rounding or 0.0)  # the columns' rounding is like the rows'
        best, since = (error, 0) if error < 0.9 * best else (best, since + 1)
        half, slow = (error, 0) if error < half / 2 else (half, slow + 1)
        stalled = since > STALL or (newton and error <= NEAR and slow > SLOW)
        if stalled and rounding is None:
            rounding = _rounding(kernel, kernel.row_potentials(masses), h, lam)
            error = math.hypot(error, rounding) + rounding
        if reason := _stop(error, tol, rounding, n_iter, max_iter, stalled, kernel.b.dtype):
            break
        x = mixer.step(h, -lam * column - (1 - lam) * h, error) - g
        if lam == 1:
            x = x - (b @ x) / b.sum()  # a constant between f and g is free
        if kernel.rounded and since > STALL // 2:  # rounded rows do not suffice here: compute every row from now on
            kernel.drop()
            correct, since = 0.0, 0
        if x.abs().max() > SPAN[kernel.kept.dtype]:
            g, x, correct = g + x, torch.zeros_like(x), 0.0
            kernel.absorb(g, lam, masses)
    return Solution(kernel.row_potentials(masses), h, v, n_iter, error, reason, stalled)


def l1(weights: torch.Tensor, have: torch.Tensor, want: torch.Tensor) -> float:
    """sum |have - want| / sum want, both given as logs over the weights."""
    unit = want.max()
    have, want = torch.exp(have - unit), torch.exp(want - unit)
    return float((weights * (have - want).abs()).sum() / (weights * want).sum())


def _rounding(kernel: Kernel, f: torch.Tensor, g: torch.Tensor, lam: float, rows: int = 64) -> float:
    """L1 error of the rows' marginal, which the passes take as exact: measured in float64 on a sample of the rows."""
    i = _sample(kernel.n, rows, seed=1).to(f.device)
    sums = torch.exp(f[i, None] + g - kernel.cost.exact(i)) @ kernel.b.double()
    target = torch.ones_like(sums) if lam == 1 else torch.exp(f[i] * (1 - 1 / lam))
    a = kernel.a[i].double()
    return float(total(a @ (sums - target).abs(), kernel.group) / total(a @ target, kernel.group))


def _stop(error, tol: float, rounding, n_iter: int, max_iter: int, stalled: bool, dtype: torch.dtype) -> str:
    """The reason to stop here, or nothing."""
    if error <= tol:
        return f"converged: the marginals' L1 error {error:.2g} is at most tol = {tol:g}."
    if rounding is not None and rounding >= tol:
        return f"stopped: rounding in {dtype} alone leaves a marginal error of {rounding:.2g}, above tol = {tol:g}."
    if stalled:
        return f"stopped: no progress in {STALL} iterations; the marginal error is {error:.2g}, above tol = {tol:g}."
    if n_iter == max_iter:
        return f"stopped: the iterations allowed (max_iter) left a marginal error of {error:.2g}, above tol = {tol:g}."
    return ""


def first_guess(cost, a: torch.Tensor, b: torch.Tensor, lam: float, dtype: torch.dtype, group=None) -> torch.Tensor:
    """g [m] from a rough solution on a sample of rows and columns, so that no far point underflows.

    The rows are sampled from all ranks, the same ones for any number of ranks.
    """
    before, n = ranks_rows(len(a), a.device, group)
    rows, cols = (_sample(k, max(256, k // SAMPLE), seed=0).to(a.device) for k in (n, len(b)))
    places = ((rows >= before) & (rows < before + len(a))).nonzero()[:, 0]  # of this rank's among the sampled
    own, whole = rows[places] - before, total(a.sum(), group)
    some = cost.gather(own, places, len(rows), group)
    a = total(a.new_zeros(len(rows)).index_copy(0, places, a[own]), group)
    a, of_cols = a * (whole / a.sum()), b[cols] * (b.sum() / b[cols].sum())
    small = some.take(slice(None), cols)
    g = lam * softmin(small.T, a, lam * softmin(small, of_cols, 0.0, dtype), dtype)
    f = solve(Kernel(small, a, of_cols, dtype, math.inf), g, lam, SAMPLE_ITER, SAMPLE_TOL).f
    parts = (slice(i, i + PART) for i in range(0, len(b), PART))  # no copy of all columns
    return lam * torch.cat([softmin(some.take(slice(None), part).T, a, f, dtype) for part in parts])


def _sample(n: int, size: int, seed: int) -> torch.Tensor:
    """`size` different indices below n, or all of them."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size]
