"""A picture's draft: ridge regression from a latent's direction to the picture's codes, in closed form."""

from __future__ import annotations

import numpy as np


def closed_form(directions: np.ndarray, codes: np.ndarray, ridge: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ridge regression from directions [n, d] to codes [n, k]: its arrays, and each row's leave-one-out prediction."""
    u, typical = directions.astype(np.float64), codes.mean(0, dtype=np.float64)
    gram = u.T @ u
    gram.flat[:: len(gram) + 1] += ridge * np.trace(gram) / len(gram)
    solved = np.linalg.solve(gram, u.T)  # [d, n]
    weights = solved @ (codes - typical)
    leverage = (u * solved.T).sum(1)
    rest = codes - typical - u @ weights
    return {"map": weights, "typical": typical}, codes - rest / (1 - leverage)[:, None]
