"""Gromov-Wasserstein: small sets by POT from several starts, large clouds by our own engine, one plan a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw.seeds import rng

SAME = 0.9  # share of the mass that two plans must have in common to count as the same


@dataclass
class Match:
    """The best of several starts.  plan [k, l]; objectives [starts], of all of them, in units of the product plan's.

    spread: largest less smallest objective; agreeing: how many starts ended in the best plan (SAME mass in common);
    converged: whether the best start met its tolerance.
    """

    plan: np.ndarray
    objective: float  # sum (C_ik - D_jl)^2 P_ij P_kl, in squared units of the distances
    objectives: np.ndarray
    spread: float
    agreeing: int
    converged: bool


def match(
    c: np.ndarray, d: np.ndarray, a: np.ndarray, b: np.ndarray, starts: int = 8, seed: int = 0, max_iter: int = 1000
) -> Match:
    """Couple two small sets by their within-set distances c [k, k], d [l, l], symmetric; weights a [k], b [l].

    Minimises sum (c_ik - d_jl)^2 P_ij P_kl (Memoli 2011; square loss) by conditional gradient (POT; Vayer et al. 2020)
    from `starts` starts: the distances' quantile profiles (Memoli 2011, third lower bound), the leading eigenvectors
    (Umeyama 1988), then quadratic assignments (FAQ; Vogelstein et al. 2015) from random permutations.  Never from the
    product plan, which is a stationary point.
    """
    if starts < 1:
        raise ValueError(f"match: expected one start or more, found {starts}.")
    from ot.gromov import gromov_wasserstein

    c, d, a, b = (np.asarray(z, np.float64) for z in (c, d, a, b))
    a, b = a / a.sum(), b / b.sum()
    ends = []
    for i in range(starts):
        begin = _start(i, c, d, a, b, seed)
        plan, log = gromov_wasserstein(c, d, a, b, "square_loss", G0=begin, max_iter=max_iter, log=True)
        ends.append((float(log["gw_dist"]), plan, len(log["loss"]) <= max_iter))
    unit = float(a @ c**2 @ a + b @ d**2 @ b - 2 * (a @ c @ a) * (b @ d @ b))
    objectives = np.array([end[0] for end in ends]) / unit
    best, plan, converged = ends[int(objectives.argmin())]
    agreeing = sum(bool(np.minimum(plan, end[1]).sum() >= SAME) for end in ends)
    return Match(plan, best, objectives, float(np.ptp(objectives)), agreeing, converged)


def _start(i: int, c: np.ndarray, d: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int) -> np.ndarray:
    """Start number i, a plan [k, l] with marginals a and b."""
    from ot import dist, emd

    if i == 0:
        return emd(a, b, dist(profiles(c, a), profiles(d, b)))
    if i == 1:
        u, v = (np.abs(np.linalg.eigh(z - z.mean())[1]) for z in (c, d))
        r = min(len(a), len(b))
        return emd(a, b, -u[:, -r:] @ v[:, -r:].T)
    return emd(a, b, -_assignment(c, d, rng(seed, "gromov", "start", i)))


def profiles(c: np.ndarray, a: np.ndarray, quantiles: int = 32) -> np.ndarray:
    """Quantiles of each point's distances to the set, [k, quantiles], under weights a."""
    order = np.argsort(c, axis=1)
    mass = np.cumsum(a[order], axis=1) - a[order] / 2
    levels = (np.arange(quantiles) + 0.5) / quantiles
    return np.stack([np.interp(levels, m, row[o]) for m, row, o in zip(mass, c, order, strict=True)])


def _assignment(c: np.ndarray, d: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Quadratic assignment from a random doubly stochastic start, [k, l]: 1 where points are assigned, else 0."""
    from scipy.optimize import quadratic_assignment

    size = max(len(c), len(d))
    # Centred, so that points added to the smaller set are neutral.
    c_, d_ = (np.pad(z - z.mean(), (0, size - len(z))) for z in (c, d))
    options = {"maximize": True, "P0": "randomized", "rng": stream, "maxiter": 50}
    columns = quadratic_assignment(c_, d_, options=options).col_ind
    return np.eye(size)[columns][: len(c), : len(d)]


@dataclass
class Refined:
    """The result of the rounds.  cross [d_x, d_y]: x' P y; coupling: the last plan (`ngw.ot.Coupling`).

    change: of cross in the last round, as a share of its norm; converged: it fell below tol, and the last plan's
    marginals are met; reason: one sentence, where it did not converge.
    """

    cross: np.ndarray
    coupling: object
    n_iter: int
    change: float
    converged: bool
    reason: str


def refine(
    x: np.ndarray,
    y: np.ndarray,
    cross: np.ndarray,
    *,
    epsilon: float,
    a: np.ndarray | None = None,
    b: np.ndarray | None = None,
    linear: tuple[np.ndarray, np.ndarray] | None = None,
    alpha: float = 0.0,
    max_iter: int = 50,
    tol: float = 1e-3,
    inner_tol: float = 1e-4,
    inner_iter: int = 2000,
) -> Refined:
    """Entropic (fused) Gromov-Wasserstein of inner products, from x' P y = cross, without any n x m matrix.

    x [n, d_x], y [m, d_y] float32, centred by the caller; weights a [n], b [m], uniform by default, total 1.
    Minimises -alpha <u_i, v_j> P_ij + (1 - alpha) sum (<x_i, x_k> - <y_j, y_l>)^2 P_ij P_kl - epsilon H(P), epsilon in
    cost units, with (u [n, e], v [m, e]) = linear.  Mirror descent of unit step (Peyre et al. 2016, eq. 8): a round
    solves the linear problem with cost -alpha <u_i, v_j> - 4 (1 - alpha) <x_i G, y_j>, G = x' P y (Scetbon et al.
    2022, section 3), which is squared Euclidean up to terms of one side.  The objective falls in each round.
    """
    from ngw.ot import sinkhorn

    a, b = (np.full(len(z), 1 / len(z)) if w is None else np.asarray(w) / np.sum(w) for z, w in ((x, a), (y, b)))
    right = y if linear is None else np.hstack([linear[1], y])
    coupling: Any = None
    change, n_iter = np.inf, 0
    while n_iter < max_iter and change > tol:
        n_iter += 1
        left = (2 * (1 - alpha) * (x @ cross)).astype(np.float32)
        left = left if linear is None else np.hstack([np.float32(alpha / 2) * linear[0], left])
        unit = _mean_cost(left, right, a, b)
        coupling = sinkhorn(
            left, right, epsilon=epsilon / unit, a=a, b=b, tol=inner_tol, max_iter=inner_iter, init=coupling
        )
        before, cross = cross, (x * a[:, None]).T.astype(np.float32) @ coupling.barycenters(y)
        change = float(np.linalg.norm(cross - before)) / max(float(np.linalg.norm(before)), 1e-12)
    reason = "" if coupling.converged else f"the last plan: {coupling.reason}"
    if change > tol:
        reason = f"the cross-covariance still changed by {change:.1e} of its norm after {n_iter} rounds."
    return Refined(cross, coupling, n_iter, change, not reason, reason)


def _mean_cost(left: np.ndarray, right: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Mean of |left_i - right_j|^2 under the product of a and b."""
    square = a @ np.einsum("ij,ij->i", left, left, dtype=np.float64)
    square += b @ np.einsum("ij,ij->i", right, right, dtype=np.float64)
    return float(square - 2 * (a @ left) @ (b @ right))


def product_objective(x: np.ndarray, y: np.ndarray) -> float:
    """sum (<x_i, x_k> - <y_j, y_l>)^2 / n^2 m^2 of centred clouds: a natural unit for epsilon, and for objectives."""
    return float(sum(np.linalg.norm(z.T @ z / len(z)) ** 2 for z in (x, y)))
