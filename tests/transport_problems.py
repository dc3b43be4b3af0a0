"""Small transport problems and second implementations, for the tests of the engine."""

import numpy as np


def clouds(n=40, m=55, d=5, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(m, d)) + 0.5


def weights(n, m, seed=1):
    random = np.random.default_rng(seed)
    a, b = random.random(n) + 0.1, random.random(m) + 0.1
    return a / a.sum(), b / b.sum()


def costs(x, y, cost):
    """A second implementation of the costs, by definition."""
    if cost == "cosine":
        return 1 - (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def true_error(coupling, a, b):
    """L1 error of both marginals of the plan, as a share of the mass."""
    plan = coupling.dense()
    return (np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()) / a.sum()
