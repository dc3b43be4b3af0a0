"""Ridge regression in closed form, its penalty chosen by leave-one-out: a baseline, and where maps start."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

PENALTIES = tuple(10.0**p for p in np.arange(-2, 2.1, 0.5))  # in units of the mean eigenvalue of x' x


def ridge(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """(w [d_x, d_y], b [d_y], penalty) minimising mean_i |x_i w + b - y_i|^2 + penalty |w|^2, b unpenalised.

    weights [n], of mean 1: how much each row counts in the mean.  The penalty, from PENALTIES times the mean
    eigenvalue, minimises the leave-one-out error, exact for a linear smoother: residual_i / (1 - h_ii) (PRESS; Allen
    1974).  The search goes downhill, so that most of the grid is never computed.
    group [n]: rows of one number are left out together, as an image's captions are (by default each alone).
    """
    fit = _Fit(x, y, weights, group)
    w = fit.vt.T @ ((fit.s / (fit.s**2 + fit.penalty))[:, None] * fit.uy)
    return w, (fit.mean_y - fit.mean_x @ w).astype(w.dtype), float(fit.penalty / len(x))


def left_out(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None, group: np.ndarray | None = None
) -> np.ndarray:
    """What `ridge` predicts for each row of x from the other rows alone, [n, d_y]; from other groups' where given.

    weights [n]: positive.
    """
    fit = _Fit(x, y, weights, group)
    return y - fit.left_out(fit.penalty) / fit.root[:, None]


class _Fit:
    """A ridge regression along the singular vectors of x; its penalty, in units of s^2, has the least PRESS."""

    def __init__(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, group: np.ndarray | None) -> None:
        self.mean_x, self.mean_y = np.average(x, 0, weights), np.average(y, 0, weights)
        self.root = np.ones(len(x), x.dtype) if weights is None else np.sqrt(weights / weights.mean()).astype(x.dtype)
        # Rows times the root of their weight: a plain least squares, whose constant column is the roots.
        self.u, self.s, self.vt = thin_svd(self.root[:, None] * (x - self.mean_x.astype(x.dtype)))
        self.target = self.root[:, None] * (y - self.mean_y.astype(y.dtype))
        self.uy, self.blocks = self.u.T @ self.target, [] if group is None else _blocks(group)  # [r, d_y]
        unit = max(float((self.s**2).mean()), 1e-12)
        self.penalty = unit * PENALTIES[_valley(lambda k: self.press(PENALTIES[k] * unit), len(PENALTIES))]

    def press(self, penalty: float) -> float:
        """Mean squared residual of rows left out."""
        return float((self.left_out(penalty) ** 2).mean())

    def left_out(self, penalty: float) -> np.ndarray:
        """Residuals [n, d_y] of rows left out, times the roots of their weights."""
        shrink = self.s**2 / (self.s**2 + penalty)
        leverage = (self.u**2) @ shrink + self.root**2 / len(self.root)
        residual = self.target - self.u @ (shrink[:, None] * self.uy)
        left_out = residual / np.maximum(1 - leverage, 1e-6)[:, None]
        for rows in self.blocks:  # of a group when it is left out: (1 - H)^-1 of its block of the hat matrix H
            own, constant = self.u[rows], self.root[rows]
            hat = (own * shrink) @ own.swapaxes(1, 2) + constant[:, :, None] * constant[:, None] / len(self.root)
            left_out[rows] = np.linalg.solve((1 + 1e-6) * np.eye(rows.shape[1]) - hat, residual[rows])
        return left_out


def _valley(error: Callable[[int], float], n: int) -> int:
    """The index below n of a least error, walking downhill from n // 3: of two valleys it finds the nearer one."""
    error, here = cache(error), n // 3
    for step in (-1, 1):
        while 0 <= here + step < n and error(here + step) < error(here):
            here += step
    return here


def _blocks(group: np.ndarray) -> list[np.ndarray]:
    """The rows of the groups of two and more, by the groups' size c: [groups, c] each."""
    _, label, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.argsort(label, kind="stable")
    return [order[size[label[order]] == c].reshape(-1, c) for c in np.unique(size[size > 1])]


def thin_svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(u [n, r], s [r], vt [r, d]) with x = u diag(s) vt, in x's dtype; directions without variance are left out.

    By the eigenvalues of the smaller Gram matrix in float64: a tenth of the time of an SVD of x, and as good for a
    penalised regression, where the directions that squaring loses (s below 1e-7 of the largest) count for nothing.
    """
    z, s, side = _shorter_side(x)
    tall = len(x) >= x.shape[1]
    other = ((z @ side) if tall else (z.T @ side)) / s
    u, v = (other, side) if tall else (side, other)
    return u.astype(x.dtype), s.astype(x.dtype), v.T.astype(x.dtype)


def right_svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(s [r], vt [r, d]) of `thin_svd`, cheaper where x has more rows than columns."""
    z, s, side = _shorter_side(x)
    v = side if len(x) >= x.shape[1] else z.T @ side / s
    return s.astype(x.dtype), v.T.astype(x.dtype)


def _shorter_side(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, s [r], singular vectors [min(n, d), r] of the shorter side of x [n, d]), all in float64."""
    z = x.astype(np.float64)
    values, vectors = np.linalg.eigh(z.T @ z if len(x) >= x.shape[1] else z @ z.T)
    kept = values > 1e-14 * values[-1]
    kept[-1] = True  # a constant x keeps one direction, of length zero
    return z, np.sqrt(values[kept][::-1].clip(np.finfo(np.float64).tiny)), vectors[:, kept][:, ::-1]


def procrustes(
    x: np.ndarray, to_y: np.ndarray, y: np.ndarray, to_x: np.ndarray, weights: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    """(rotation R [d_x, d_y], b [d_y], scale s) of T_AB(x) = s x R + b and its inverse T_BA(y) = (y - b) R' / s.

    Minimises both directions' weighted squared error at once, R' R = I on the smaller width: for a given s, R is the
    polar factor of s x' to_y + to_x' y / s (Schoenemann 1966); for a given R, s is the root of a quartic.  Where widths
    differ, T_BA inverts T_AB on the smaller space alone.  weights ([n], [m]): how much the rows count.
    """
    wx, wy = (w[:, None] / w.sum() for w in weights)
    centre_x, b = (wx * x).sum(0), (wx * to_y).sum(0)
    x, to_y, y, to_x = x - centre_x, to_y - b, y - b, to_x - centre_x
    there, back = (wx * x).T @ to_y, (wy * to_x).T @ y  # [d_x, d_y]
    size_x, size_y, scale = float((wx * x**2).sum()), float((wy * y**2).sum()), 1.0
    for _ in range(10):
        p, _, qt = np.linalg.svd(scale * there + back / scale, full_matrices=False)
        rotation = p @ qt
        a, c = float((there * rotation).sum()), float((back * rotation).sum())
        # The error is size_x s^2 - 2 a s + size_y / s^2 - 2 c / s, up to a constant: a quartic where it is stationary.
        roots = np.roots([size_x, -a, 0, c, -size_y])
        roots = roots.real[(abs(roots.imag) < 1e-9 * abs(roots)) & (roots.real > 0)]
        loss = size_x * roots**2 - 2 * a * roots + size_y / roots**2 - 2 * c / roots
        before, scale = scale, float(roots[loss.argmin()])
        if abs(scale - before) < 1e-6 * scale:
            break
    return rotation, (b - scale * centre_x @ rotation), scale
