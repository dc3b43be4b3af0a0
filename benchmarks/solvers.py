"""The solvers that are compared: each takes clouds x [n, d], y [m, d] (float64), epsilon in cost units and a tolerance.

It returns {"f", "g", "projection", "n_iter"}, the plan being P_ij = exp((f_i + g_j - |x_i - y_j|^2) / epsilon) / (n m).
Imports stand inside: a peer that is not installed raises ImportError and is left out.
"""

from __future__ import annotations

import math

import numpy as np


def squared_distances(x, y):
    return (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T


def mean_cost(x, y) -> float:
    return float(np.vdot(x, x) / len(x) + np.vdot(y, y) / len(y) - 2 * x.mean(0) @ y.mean(0))  # no temporaries


def project(x, y, g, epsilon, block=512):
    """Barycentric projection [n, d] from the column potentials, by blocks, for solvers that give no plan."""
    out = np.empty_like(x)
    for i in range(0, len(x), block):
        z = (g - squared_distances(x[i : i + block], y)) / epsilon
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


def ours(memory=None, dtype=None):
    def solve(x, y, epsilon, tol):
        from ngw.ot import sinkhorn

        c = sinkhorn(x, y, epsilon=epsilon / mean_cost(x, y), tol=tol, memory=memory, dtype=dtype)
        return {"projection": c.barycenters(y), "f": c.f, "g": c.g, "n_iter": c.n_iter, "note": c.path}

    return solve


def pot_threshold(x, y, epsilon, tol) -> float:
    """POT stops on the columns' L2 error, seen every 10 passes: its value at the first look with an L1 error of tol."""
    kernel = np.exp(squared_distances(x, y) / -epsilon)
    a, b, u = 1 / len(x), 1 / len(y), np.full(len(x), 1 / len(x))
    for k in range(100_000):
        v = b / (u @ kernel)
        u = a / (kernel @ v)
        if k % 10 == 0:
            error = v * (u @ kernel) - b
            if np.abs(error).sum() <= tol:
                return float(np.linalg.norm(error)) * (1 + 1e-6)
    raise RuntimeError("plain Sinkhorn did not converge")


def pot(method="sinkhorn", torch_dtype=None):
    def solve(x, y, epsilon, tol, threshold):
        import ot

        if torch_dtype:
            import torch

            x, y = (torch.as_tensor(z, dtype=getattr(torch, torch_dtype)) for z in (x, y))
        a, b = (x[:, 0] * 0 + 1 / len(x)), (y[:, 0] * 0 + 1 / len(y))
        plan, log = ot.sinkhorn(
            a, b, ot.dist(x, y), epsilon, method=method, stopThr=threshold, numItermax=100_000, log=True
        )
        projection = (plan @ y) / plan.sum(1)[:, None]
        if method == "sinkhorn":
            log |= {"log_u": np.log(log["u"]), "log_v": np.log(log["v"])}
        f, g = (np.asarray(log[k], float) for k in ("log_u", "log_v"))
        f, g = epsilon * (f + math.log(len(x))), epsilon * (g + math.log(len(y)))
        return {"projection": np.asarray(projection, float), "f": f, "g": g, "n_iter": log["niter"] + 1}

    solve.needs_threshold = True
    return solve


def pot_lazy(x, y, epsilon, tol):
    import ot

    kind = {"isLazy": True, "batchSize": 1000, "stopThr": tol, "numIterMax": 100_000, "log": True}
    f, g, log = ot.bregman.empirical_sinkhorn(x, y, epsilon, **kind)
    f, g = (epsilon * (np.asarray(z) + math.log(len(z))) for z in (f, g))
    return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": log["niter"] + 1}


def geomloss(backend, scaling):
    def solve(x, y, epsilon, tol):
        import torch
        from geomloss import SamplesLoss

        how = {"blur": math.sqrt(epsilon / 2), "scaling": scaling, "debias": False, "potentials": True}
        loss = SamplesLoss("sinkhorn", p=2, backend=backend, **how)  # its cost is |x - y|^2 / 2
        f, g = loss(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32))
        f, g = (2 * np.asarray(z.detach(), float).ravel() for z in (f, g))
        return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": None, "note": "no stopping rule"}

    return solve


def ott(online):
    def solve(x, y, epsilon, tol):
        import jax.numpy as jnp
        from ott.geometry import pointcloud
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn

        xj, yj = (jnp.asarray(z, dtype=jnp.float32) for z in (x, y))
        geometry = pointcloud.PointCloud(xj, yj, epsilon=epsilon, batch_size=256 if online else None)
        out = sinkhorn.Sinkhorn(threshold=tol, max_iterations=100_000)(linear_problem.LinearProblem(geometry))
        f, g = np.asarray(out.f, float), np.asarray(out.g, float)
        f, g = f + epsilon * math.log(len(f)), g + epsilon * math.log(len(g))
        return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": int(out.n_iters)}

    return solve


def keops(x, y, epsilon, tol):
    """Plain log-domain Sinkhorn on KeOps' lazy tensors (float32), checked every 10 passes."""
    import torch
    from pykeops.torch import LazyTensor

    xt, yt = (torch.as_tensor(z, dtype=torch.float32) for z in (x, y))
    xi, yj = LazyTensor(xt[:, None]), LazyTensor(yt[None])
    cost = ((xi - yj) ** 2).sum(-1) / epsilon

    def softmin(potential, dim):
        shaped = LazyTensor(potential.view(1, -1, 1) if dim == 1 else potential.view(-1, 1, 1))
        return -(shaped - cost).logsumexp(dim).view(-1) + math.log(len(potential))

    g = torch.zeros(len(y))
    for k in range(1, 100_000):
        f = softmin(g, 1)
        new = softmin(f, 0)
        if k % 10 == 0 and float((torch.exp(g - new) - 1).abs().mean()) <= tol:
            break
        g = new
    f, g = (epsilon * np.asarray(z, float) for z in (f, g))
    return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": k}


SOLVERS = {
    "ngw dense": ours(),
    "ngw mixed, 160 MB kernel": ours(memory=160e6),
    "ngw streamed": ours(memory=0),
    "POT sinkhorn (numpy f64)": pot(),
    "POT sinkhorn_log (torch f32)": pot("sinkhorn_log", "float32"),
    "POT sinkhorn_log (torch f64)": pot("sinkhorn_log", "float64"),
    "POT lazy (batch 1000)": pot_lazy,
    "geomloss tensorized, scaling .9": geomloss("tensorized", 0.9),
    "geomloss online, scaling .5": geomloss("online", 0.5),
    "KeOps, plain loop": keops,
    "ott-jax dense": ott(online=False),
    "ott-jax online": ott(online=True),
}
REFERENCE = ours(dtype="float64")
