"""The problem on which transport's solvers are compared, and the judge of all of them: float64, by definition."""

from __future__ import annotations

import numpy as np


def clouds(n: int, d: int, seed: int = 0, classes: int = 80, latent: int = 48) -> list[np.ndarray]:
    """Two encoders' views of samples of one latent mixture: centred, power-law spectrum, different samples [n, d]."""
    random = np.random.default_rng(seed)
    centres, share = 1.6 * random.normal(size=(classes, latent)), random.dirichlet(np.full(classes, 2.0))
    width = max(512, d)
    hidden, bias = random.normal(size=(latent, width)) / latent**0.5, random.normal(size=width) / 2
    spectrum = (1 + np.arange(width)) ** -0.5
    output = spectrum[:, None] * np.linalg.qr(random.normal(size=(width, width)))[0][:, :d]
    views = [(1.2 * hidden, output)]
    other = random.normal(size=hidden.shape) / latent**0.5
    views.append((1.2 * (0.55 * hidden + 0.835 * other), 0.55 * output + 0.45 * random.permutation(output)))
    out = []
    for inner, outer in views:
        z = centres[random.choice(classes, n, p=share)] + 0.7 * random.normal(size=(n, latent))
        features = np.maximum(z @ inner + bias, 0) @ outer
        features += 0.15 * features.std() * random.normal(size=features.shape)
        features -= features.mean(0)
        out.append(features / np.sqrt((features**2).sum(1).mean()))
    return out


def squared_distances(x, y):
    return (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T


def mean_cost(x, y) -> float:
    return float(np.vdot(x, x) / len(x) + np.vdot(y, y) / len(y) - 2 * x.mean(0) @ y.mean(0))  # no temporaries


def project(x, y, g, epsilon, block=512):
    """Barycentric projection [n, d] from the column potentials, in float32 by blocks, for solvers that give no plan."""
    out, x, y = np.empty_like(x), x.astype(np.float32), y.astype(np.float32)
    column = ((g - (y.astype(float) ** 2).sum(1)) / epsilon).astype(np.float32)
    for i in range(0, len(x), block):
        z = x[i : i + block] @ (y * np.float32(2 / epsilon)).T + column
        p = np.exp(z - z.max(1, keepdims=True))
        out[i : i + block] = (p @ y) / p.sum(1, keepdims=True)
    return out


def marginal_error(x, y, f, g, epsilon, block=512) -> float:
    """L1 error of both marginals, summed in float64 by definition: the same judge for every solver."""
    rows, columns = np.empty(len(x)), np.zeros(len(y))
    for i in range(0, len(x), block):
        p = np.exp((f[i : i + block, None] + g - squared_distances(x[i : i + block], y)) / epsilon) / (len(x) * len(y))
        rows[i : i + block] = p.sum(1)
        columns += p.sum(0)
    return float(np.abs(rows - 1 / len(x)).sum() + np.abs(columns - 1 / len(y)).sum())
