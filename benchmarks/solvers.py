"""The solvers that are compared: each takes clouds x [n, d], y [m, d] (float64), epsilon in cost units and a tolerance.

It returns {"f", "g", "projection", "n_iter"}, the plan being P_ij = exp((f_i + g_j - |x_i - y_j|^2) / epsilon) / (n m).
The tolerance is that of the solver's own rule, in the unit that makes it an L1 error of the marginals or stricter; what
was reached is measured alike for all (`marginal_error`).  A method without a rule takes a finer setting for each tol.
Imports stand inside: a peer that is not installed (`pip install '.[peers]'`) raises ImportError and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

MAX_ITER = 1_000_000  # the time limit ends what does not converge


@dataclass(frozen=True)
class Solver:
    """solve(x, y, epsilon, tol); finest: the smallest tol worth asking for; largest: points that it is tried with."""

    solve: Callable[..., dict]
    finest: float = 1e-9
    largest: int = 10**9
    gpu: bool = False  # timed by the clock: a processor only waits


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


def potentials(log_u, log_v, epsilon) -> dict:
    """f and g from the logs of the scalings of exp(-C / epsilon) between uniform weights of total 1."""
    u, v = (np.asarray(z, float).ravel() for z in (log_u, log_v))
    return {"f": epsilon * (u + math.log(len(u))), "g": epsilon * (v + math.log(len(v)))}


def uniform(x, y):
    return x[:, 0] * 0 + 1 / len(x), y[:, 0] * 0 + 1 / len(y)


def ours(memory=None, dtype=None):
    def solve(x, y, epsilon, tol):
        from ngw.ot import sinkhorn

        c = sinkhorn(x, y, epsilon=epsilon / mean_cost(x, y), tol=tol, memory=memory, dtype=dtype, max_iter=20_000)
        return {"projection": c.barycenters(y), "f": c.f, "g": c.g, "n_iter": c.n_iter, "note": c.path}

    return solve


def ours_on_gpu(x, y, epsilon, tol):
    import torch

    x, y = (torch.as_tensor(z, dtype=torch.float32, device=gpu()) for z in (x, y))
    from ngw.ot import sinkhorn

    unit = float(x.square().sum(1).mean() + y.square().sum(1).mean() - 2 * x.mean(0) @ y.mean(0))
    c = sinkhorn(x, y, epsilon=epsilon / unit, tol=tol)
    f, g, projection = (z.cpu().double().numpy() for z in (c.f, c.g, c.barycenters(y)))
    return {"projection": projection, "f": f, "g": g, "n_iter": c.n_iter, "note": c.path}


def gpu():
    """The GPU's name for torch."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError("it needs a GPU of NVIDIA's")
    return "cuda"


def pot(method="sinkhorn", torch_dtype=None):
    """ot.sinkhorn: its rule is the columns' L2 error, which is at least L1 / sqrt(m)."""

    def solve(x, y, epsilon, tol):
        import ot

        if torch_dtype:
            import torch

            x, y = (torch.as_tensor(z, dtype=getattr(torch, torch_dtype)) for z in (x, y))
        a, b = uniform(x, y)
        how = {"stopThr": tol / math.sqrt(len(y)), "numItermax": MAX_ITER, "log": True}
        plan, log = ot.sinkhorn(a, b, ot.dist(x, y), epsilon, method=method, **how)
        projection = np.asarray((plan @ y) / plan.sum(1)[:, None], float)
        if method == "sinkhorn":
            log |= {"log_u": np.log(log["u"]), "log_v": np.log(log["v"])}
        return potentials(log["log_u"], log["log_v"], epsilon) | {"projection": projection, "n_iter": log["niter"] + 1}

    return solve


def pot_sample(**how):
    """ot.solve_sample; dense, its rule is ot.sinkhorn's; lazy, the rows' L1 error."""

    def solve(x, y, epsilon, tol):
        import ot

        lazy = how.get("lazy", False)
        result = ot.solve_sample(
            x, y, reg=epsilon, tol=tol if lazy else tol / math.sqrt(len(y)), max_iter=MAX_ITER, **how
        )
        f, g = result.potentials
        found = potentials(f, g, epsilon)
        if lazy:
            return found | {"projection": project(x, y, found["g"], epsilon), "n_iter": None}
        return found | {"projection": result.plan @ y / result.plan.sum(1)[:, None], "n_iter": None}

    return solve


def pot_nystroem(x, y, epsilon, tol):
    """The kernel from landmarks, 50, 200, 800, ...: its potentials under the exact kernel are what is judged."""
    import ot

    anchors = min(2 * len(x), 50 * 4 ** round(-math.log10(tol) - 2))
    result = ot.solve_sample(
        x, y, reg=epsilon, method="nystroem", rank=anchors, tol=1e-9, max_iter=10_000, random_state=0
    )
    del result
    raise NotImplementedError


def pot_low_rank(x, y, epsilon, tol):
    """A plan of rank 10, 40, 160, ... in place of the entropic one: it has no potentials, only a projection."""
    import ot

    rank = min(len(x) // 2, 10 * 4 ** round(-math.log10(tol) - 2))
    result = ot.solve_sample(x, y, reg=epsilon, method="lowrank", rank=rank, max_iter=1000, tol=1e-7)
    plan = result.lazy_plan[:]
    return {"projection": plan @ y / plan.sum(1)[:, None], "n_iter": None, "note": f"rank {rank}"}


def geomloss(backend):
    def solve(x, y, epsilon, tol):
        import torch
        from geomloss import SamplesLoss

        scaling = 1 - 0.5 ** (round(-math.log10(tol)) - 1)  # .5, .75, .875, ...: no stopping rule, slower annealing
        how = {"blur": math.sqrt(epsilon / 2), "scaling": scaling, "debias": False, "potentials": True}
        loss = SamplesLoss("sinkhorn", p=2, backend=backend, **how)  # its cost is |x - y|^2 / 2
        f, g = loss(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32))
        f, g = (2 * np.asarray(z.detach(), float).ravel() for z in (f, g))
        return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": None, "note": f"scaling {scaling}"}

    return solve


@cache
def _jitted():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.jit(lambda problem, solver: solver(problem))


def ott(dtype, batch_size=None, anderson=0):
    def solve(x, y, epsilon, tol):
        run = _jitted()
        import jax.numpy as jnp
        from ott.geometry import pointcloud
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import acceleration, sinkhorn

        xj, yj = (jnp.asarray(z, dtype=dtype) for z in (x, y))
        geometry = pointcloud.PointCloud(xj, yj, epsilon=epsilon, batch_size=batch_size)
        mixing = acceleration.AndersonAcceleration(memory=anderson) if anderson else None
        solver = sinkhorn.Sinkhorn(threshold=tol, max_iterations=MAX_ITER, anderson=mixing)
        out = run(linear_problem.LinearProblem(geometry), solver)
        found = potentials(np.asarray(out.f, float) / epsilon, np.asarray(out.g, float) / epsilon, epsilon)
        return found | {"projection": project(x, y, found["g"], epsilon), "n_iter": int(out.n_iters)}

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
    for k in range(1, MAX_ITER):
        f = softmin(g, 1)
        new = softmin(f, 0)
        if k % 10 == 0 and float((torch.exp(g - new) - 1).abs().mean()) <= tol:
            break
        g = new
    f, g = (epsilon * np.asarray(z, float) for z in (f, g))
    return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": k}
