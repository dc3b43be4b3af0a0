"""Ridge regression in closed form, its penalty chosen by leave-one-out: a baseline, and where maps start."""

from __future__ import annotations

import numpy as np

PENALTIES = tuple(10.0**p for p in np.arange(-5, 3.1, 0.5))  # in units of the mean eigenvalue of x' x


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(w [d_x, d_y], b [d_y], penalty) minimising mean_i |x_i w + b - y_i|^2 + penalty |w|^2, b unpenalised.

    The penalty, from PENALTIES times the mean eigenvalue, minimises the leave-one-out error, exact for a linear
    smoother: residual_i / (1 - h_ii) (PRESS; Allen 1974).
    """
    mean_x, mean_y = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - mean_x, full_matrices=False)  # [n, r], [r], [r, d_x]
    uy = u.T @ (y - mean_y)  # [r, d_y]
    unit = max(float((s**2).mean()), 1e-12)
    errors = [_press(u, s, uy, y - mean_y, p * unit) for p in PENALTIES]
    penalty = PENALTIES[int(np.argmin(errors))]
    w = vt.T @ ((s / (s**2 + penalty * unit))[:, None] * uy)
    return w, mean_y - mean_x @ w, float(penalty * unit / len(x))


def _press(u: np.ndarray, s: np.ndarray, uy: np.ndarray, y: np.ndarray, penalty: float) -> float:
    """Mean squared leave-one-out residual for one penalty."""
    shrink = s**2 / (s**2 + penalty)
    leverage = (u**2) @ shrink + 1 / len(u)
    residual = y - u @ (shrink[:, None] * uy)
    return float(((residual / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())
