"""The solvers that are compared: each takes clouds x [n, d], y [m, d] (float64), epsilon in cost units and a tolerance.

It returns {"f", "g", "projection", "n_iter"}, the plan being P_ij = exp((f_i + g_j - |x_i - y_j|^2) / epsilon) / (n m).
The tolerance is for the solver's own stopping rule, in the unit that makes it an L1 error of the marginals or stricter;
`problem.marginal_error` judges all results alike.  A method without a rule takes a finer setting for each smaller tol.
Imports are inside the functions: a peer that is not installed (`pip install '.[peers]'`) raises ImportError and is left
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from problem import mean_cost, project, squared_distances

MAX_ITER = 1_000_000  # the time limit ends what does not converge


@dataclass(frozen=True)
class Solver:
    """solve(x, y, epsilon, tol); finest: the smallest tol worth trying; largest: the most points it is tried with.

    rule: whether it stops at a tol; if not, each smaller tol takes a finer setting, whatever error that reaches.
    """

    solve: Callable[..., dict]
    finest: float = 1e-9
    largest: int = 10**9
    rule: bool = True
    gpu: bool = False  # timed by the clock: a processor only waits


def potentials(log_u, log_v, epsilon) -> dict:
    """f and g from the logs of the scalings of exp(-C / epsilon) between uniform weights of total 1."""
    u, v = (np.asarray(z, float).ravel() for z in (log_u, log_v))
    return {"f": epsilon * (u + math.log(len(u))), "g": epsilon * (v + math.log(len(v)))}


def setting(tol: float, first: int, factor: int) -> int:
    """first for a tol of 1e-2, factor times that for each digit more: for methods whose setting is not a tolerance."""
    return first * factor ** max(0, round(-math.log10(tol) - 2))


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
        raise ImportError("found no GPU by NVIDIA")
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
    """A kernel of low rank, from landmarks (what ot.solve_sample calls): its projection alone is judged."""
    from ot.lowrank import kernel_nystroem, sinkhorn_low_rank_kernel

    anchors = min(2 * len(x), setting(tol, 50, 4))
    left, right = kernel_nystroem(x, y, anchors=anchors, sigma=math.sqrt(epsilon / 2), random_state=0)
    _, v, _ = sinkhorn_low_rank_kernel(left, right, *uniform(x, y), numItermax=2000, stopThr=1e-9, log=True)
    sums = left @ (right.T @ (v[:, None] * np.column_stack([y, np.ones(len(y))])))
    return {"projection": sums[:, :-1] / sums[:, -1:], "n_iter": None, "note": f"{anchors} landmarks"}


def pot_low_rank(x, y, epsilon, tol):
    """A plan of low rank in place of the entropic one: it has no potentials, and its projection alone is judged."""
    import ot

    rank = min(len(x) // 2, setting(tol, 10, 4))
    result = ot.solve_sample(x, y, reg=epsilon, method="lowrank", rank=rank, max_iter=1000, tol=1e-7)
    plan = result.lazy_plan[:]
    return {"projection": plan @ y / plan.sum(1)[:, None], "n_iter": None, "note": f"rank {rank}"}


def geomloss(backend):
    def solve(x, y, epsilon, tol):
        import torch
        from geomloss import SamplesLoss

        scaling = 1 - 0.5 / setting(tol, 1, 2)  # .5, .75, .875, ...: no stopping rule, slower annealing
        how = {"blur": math.sqrt(epsilon / 2), "scaling": scaling, "debias": False, "potentials": True}
        loss = SamplesLoss("sinkhorn", p=2, backend=backend, **how)  # its cost is |x - y|^2 / 2
        f, g = loss(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32))
        f, g = (2 * np.asarray(z.detach(), float).ravel() for z in (f, g))
        return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": None, "note": f"scaling {scaling}"}

    return solve


@cache
def ott_solver(anderson: int):
    """(a jitted solve, its solver): cached, since a new solver would be compiled again."""
    import jax
    from ott.solvers.linear import acceleration, sinkhorn

    jax.config.update("jax_enable_x64", True)
    mixing = acceleration.AndersonAcceleration(memory=anderson) if anderson else None
    return jax.jit(lambda z, solver: solver(z)), sinkhorn.Sinkhorn(max_iterations=MAX_ITER, anderson=mixing)


def ott(dtype, batch_size=None, anderson=0):
    def solve(x, y, epsilon, tol):
        run, solver = ott_solver(anderson)
        import jax.numpy as jnp
        from ott.geometry import pointcloud
        from ott.problems.linear import linear_problem

        xj, yj = (jnp.asarray(z, dtype=dtype) for z in (x, y))
        geometry = pointcloud.PointCloud(xj, yj, epsilon=epsilon, batch_size=batch_size)
        solver.threshold = tol
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


def regot(method):
    """Quasi-Newton solvers of the dual (C++); their rule is the gradient's L2 norm."""

    def solve(x, y, epsilon, tol):
        import regot

        a, b = uniform(x, y)
        how = {"tol": tol / math.sqrt(len(x) + len(y)), "max_iter": 10_000}
        result = getattr(regot, method)(squared_distances(x, y), a, b, epsilon, **how)
        found = potentials(result.dual[: len(x)] / epsilon, np.append(result.dual[len(x) :], 0) / epsilon, epsilon)
        projection = result.plan @ y / result.plan.sum(1)[:, None]
        return found | {"projection": projection, "n_iter": result.niter}

    return solve


def mdot(x, y, epsilon, tol):
    """The truncated Newton projector of MDOT-TNT, at one epsilon; it counts operations, four a pass."""
    import torch
    from mdot_tnt.truncated_newton import TruncatedNewtonProjector

    cost = torch.as_tensor(squared_distances(x, y) / epsilon)[None]
    a, b = (torch.as_tensor(z).log()[None] for z in uniform(x, y))
    solver, goal = TruncatedNewtonProjector(cost.device, cost.dtype), torch.tensor([tol], dtype=cost.dtype)
    u, v, log, _ = solver.project(cost, a, b, goal, a.clone(), b.clone())
    found = potentials(u, v, epsilon)
    return found | {"projection": project(x, y, found["g"], epsilon), "n_iter": log["n_iter"] // 4}


def flash_sinkhorn(x, y, epsilon, tol):
    """Its rule is the largest change of a potential."""
    import torch

    xt, yt = (torch.as_tensor(z, dtype=torch.float32, device=gpu()) for z in (x, y))
    from flash_sinkhorn.sinkhorn_solvers import sinkhorn_flashstyle_alternating

    how = {"eps": epsilon, "n_iters": MAX_ITER, "threshold": tol * epsilon, "allow_tf32": False, "return_n_iters": True}
    f, g, n_iter = sinkhorn_flashstyle_alternating(xt, yt, *uniform(xt, yt), **how)
    f, g = (z.cpu().double().numpy() for z in (f, g))
    return {"projection": project(x, y, g, epsilon), "f": f, "g": g, "n_iter": int(n_iter)}


def curegot(x, y, epsilon, tol):
    """regot's SPLR on a GPU; it gives a plan without potentials, whose own marginals are judged."""
    import torch

    xt, yt = (torch.as_tensor(z, device=gpu()) for z in (x, y))
    import curegot

    a, b = uniform(xt, yt)
    how = {"tol": tol / math.sqrt(len(x) + len(y)), "max_iter": 10_000}
    result = curegot.torch.sinkhorn_splr(squared_distances(xt, yt), a, b, epsilon, **how)
    plan = result["plan"]
    l1 = float((plan.sum(1) - a).abs().sum() + (plan.sum(0) - b).abs().sum())
    projection = (plan @ yt / plan.sum(1)[:, None]).cpu().numpy()
    return {"projection": projection, "l1": l1, "n_iter": int(result["niter"])}


SINGLE = 1e-6  # what float32 may reach
# They need not hold the whole matrix; "ngw" holds what half of the free memory takes.
BOUNDED = ["ngw, streamed", "ngw", "ott-jax, online", "POT solve_sample, lazy", "geomloss, KeOps", "KeOps loop"]
SOLVERS = {
    "ngw": Solver(ours()),
    "ngw, streamed": Solver(ours(memory=0)),
    "POT sinkhorn": Solver(pot(), largest=20_000),
    "POT sinkhorn_log": Solver(pot("sinkhorn_log", "float64"), largest=20_000),
    "POT solve_sample": Solver(pot_sample(), largest=20_000),
    "POT solve_sample, lazy": Solver(pot_sample(lazy=True, batch_size=1000)),
    "POT Nystroem": Solver(pot_nystroem, finest=1e-4, rule=False),
    "POT low rank": Solver(pot_low_rank, finest=1e-4, rule=False),
    "geomloss": Solver(geomloss("tensorized"), finest=SINGLE, largest=20_000, rule=False),
    "geomloss, KeOps": Solver(geomloss("online"), finest=SINGLE, rule=False),
    "KeOps loop": Solver(keops, finest=SINGLE),
    "ott-jax": Solver(ott("float64"), largest=20_000),
    "ott-jax, Anderson 5": Solver(ott("float64", anderson=5), largest=20_000),
    "ott-jax, online": Solver(ott("float32", batch_size=256), finest=SINGLE),
    "regot SPLR": Solver(regot("sinkhorn_splr"), largest=20_000),
    "regot SSNS": Solver(regot("sinkhorn_ssns"), largest=20_000),
    "mdot-tnt": Solver(mdot, largest=20_000),
    "ngw on a GPU": Solver(ours_on_gpu, gpu=True),
    "flash-sinkhorn": Solver(flash_sinkhorn, finest=SINGLE, gpu=True),
    "cuRegOT SPLR": Solver(curegot, largest=100_000, gpu=True),
}
REFERENCE = Solver(ours())
