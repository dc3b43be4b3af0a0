"""Entropic optimal transport between two clouds: the public function, its checks, and the choice of path."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch

from ngw.ot.cost import MatrixCost, PointCost, blas_threads_only, total
from ngw.ot.kernel import Kernel, softmin
from ngw.ot.newton import polish
from ngw.ot.plan import Coupling, Status, tensor
from ngw.ot.solve import anneal, first_guess

DTYPES = {"float32": torch.float32, "float64": torch.float64} | {z: z for z in (torch.float32, torch.float64)}
REACH = 1e-6  # a smaller tol needs passes in float64, and Newton steps where these are slow


@blas_threads_only()
def sinkhorn(
    x=None, y=None, *, epsilon: float, cost="sqeuclidean", a=None, b=None, tau: float | None = None,
    max_iter: int = 2000, tol: float = 1e-4, memory: float | None = None, device=None, dtype=None, init=None,
    group=None,
) -> Coupling:  # fmt: skip
    """The plan P that minimises <P, C> + epsilon KL(P | a b') with marginals a and b (Cuturi 2013).

    KL(P | Q) = sum P log(P / Q) - P + Q.  Where the marginals are exact, epsilon sum P log P has the same plan.
    x [n, d], y [m, d]: NumPy arrays or torch tensors; results come back as the same kind.
    epsilon: in units of the mean cost (under the product of a and b).
    cost: "sqeuclidean", "cosine" (1 - cos), or a ready matrix [n, m], which the plan reads from then on (then x and y
        are left out).
    a [n], b [m]: weights of equal totals (with tau any), zeros allowed; None is uniform with total 1.
    tau: in units of the mean cost; in place of exact marginals, tau KL(P 1 | a) + tau KL(P' 1 | b) is added to the
        objective (Chizat et al. 2018).  None keeps them exact.
    tol: L1 error of both marginals at which to stop, as a share of the mass; with tau against a exp(-f / tau) and
        b exp(-g / tau), which the optimum has.
    memory: bytes that the kernel can take; None is half of the free memory (in a SLURM job, of its request less what
        it has taken), divided among torchrun's processes; 0 computes every block again in every pass.  One block, of
        320 rows and at most 512 MB (on a GPU 1 GB; with float64 exponents three times that), is taken in any case.
    device: of torch, where all is computed; None is where the input lies, the CPU for NumPy arrays.
    dtype: "float32" or "float64", of the kernel and its exponents; None is float32, with float64 exponents where
        epsilon is so small that their rounding in float32 would show at tol, and float64 for a tol below 1e-6, where
        Newton steps take over from a slow iteration.  Potentials are always float64.
    init: a Coupling of the same clouds, or potentials (f, g) in cost units, to start from; f follows from g.
    group: a torch.distributed process group; x and a are then this rank's rows, y and b are whole on every rank.
    """
    _check_options(epsilon, tau, max_iter, memory, dtype)

    def lam(epsilon: float) -> float:
        return 1.0 if tau is None else tau / (tau + epsilon)

    exponents, dtype = DTYPES.get(dtype), DTYPES.get(dtype, torch.float32 if tol >= REACH else torch.float64)
    cost, a, b, numpy = _problem(x, y, cost, a, b, epsilon, tau, device, exponents, tol, group)
    rows, cols = a > 0, b > 0
    whole = bool(rows.all() and cols.all())
    part = cost if whole else cost.take(rows.nonzero()[:, 0], cols.nonzero()[:, 0])
    weights = a[rows], b[cols]
    g = first_guess(part, *weights, lam(epsilon), dtype, group) if init is None else _start(init, cost, cols)
    if group is not None:
        torch.distributed.broadcast(g, torch.distributed.get_global_rank(group, 0), group=group)
    kernel = Kernel(part, *weights, dtype, _free(a.device) / 2 if memory is None else memory, True, group)
    newton = tol < REACH and dtype == torch.float64
    end = anneal(kernel, g, epsilon, lam, max_iter, tol, init is not None, newton)
    if newton and end.stalled and end.n_iter < max_iter:
        end = polish(kernel, end, lam(epsilon), max_iter, tol)
    status = Status(end.n_iter, end.error, end.error <= tol, end.reason, *_path(kernel))
    kernel.drop()
    if whole:
        return Coupling(cost, a, b, (end.f, end.g), status, dtype, numpy, group, (kernel, end.v))
    f, g = _extend(cost, a, b, end, lam(epsilon), dtype)
    return Coupling(cost, a, b, (f, g), status, dtype, numpy, group)


def _check_options(epsilon: float, tau: float | None, max_iter: int, memory: float | None, dtype) -> None:
    """Raise `ValueError` where an option is out of range."""
    if not (_number(epsilon) and epsilon > 0):
        raise ValueError(f"sinkhorn: epsilon must be a positive number (in units of the mean cost), found {epsilon!r}.")
    if tau is not None and not (_number(tau) and tau > 0):
        raise ValueError(f"sinkhorn: tau must be a positive number (in units of the mean cost) or None, found {tau!r}.")
    if not (isinstance(max_iter, Integral) and max_iter >= 1 and (memory is None or memory >= 0)) or (
        dtype is not None and dtype not in DTYPES
    ):
        raise ValueError(
            "sinkhorn: expected max_iter >= 1, memory >= 0 bytes and dtype float32 or float64, "
            f"found {max_iter!r}, {memory!r} and {dtype!r}."
        )


def _number(value) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _extend(cost, a, b, end, lam: float, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Potentials for points without weight too: they continue the solution, so that their conditionals are defined."""
    rows, cols, no_rows, no_cols = (z.nonzero()[:, 0] for z in (a > 0, b > 0, a <= 0, b <= 0))
    f, g = torch.empty_like(a), torch.empty_like(b)
    f[rows], g[cols] = end.f, end.g
    if len(no_rows):
        f[no_rows] = lam * softmin(cost.take(no_rows, cols), b[cols], end.g, dtype)
    if len(no_cols):
        g[no_cols] = lam * softmin(cost.take(rows, no_cols).T, a[rows], end.f, dtype)
    return f, g


def _path(kernel: Kernel) -> tuple[str, str]:
    """(name, reason) of the path that the passes took."""
    size = f"the kernel, {kernel.n * kernel.m * kernel.a.element_size() / 1e6:.0f} MB,"
    if len(kernel.kept) == kernel.n and not kernel.rounded:
        return "dense", f"{size} fits in the memory given."
    kept = f"{len(kernel.kept)} of its {kernel.n} rows are kept as {kernel.kept.dtype}, the others"
    kept = kept if len(kernel.kept) else "all rows"
    made = f"are computed again in every pass, in {kernel.coarse or kernel.cost.dtype}"
    end = "; exact passes correct what that rounds." if kernel.rounded else "."
    reason = f"{size} does not fit in the memory given: {kept} {made}{end}".replace("torch.", "")
    return "mixed" if len(kernel.kept) else "streamed", reason


def _start(init, cost, cols: torch.Tensor) -> torch.Tensor:
    """Column potentials to start from, units of epsilon, of the columns with weight."""
    g = init.potentials[1] * init.epsilon if isinstance(init, Coupling) else init[1]
    g = g if isinstance(g, torch.Tensor) else torch.as_tensor(np.asarray(g))
    if g.shape != cols.shape or not bool(torch.isfinite(g).all()):
        raise ValueError(f"sinkhorn: init must hold {len(cols)} finite column potentials, found shape {list(g.shape)}.")
    return g.to(cols.device, torch.float64)[cols] / cost.epsilon


def _problem(x, y, cost, a, b, epsilon, tau, device, dtype, tol, group):
    """Checked input as (cost, a, b, whether NumPy came in)."""
    if named := isinstance(cost, str):
        if cost not in ("sqeuclidean", "cosine"):
            raise ValueError(f'sinkhorn: cost must be "sqeuclidean", "cosine" or a matrix [n, m], found {cost!r}.')
        if x is None or y is None:
            raise ValueError(f"sinkhorn: cost {cost!r} needs both x and y.")
        numpy = not isinstance(x, torch.Tensor)
        x, y = _matrix(x, "x", device), _matrix(y, "y", device)
        if x.shape[1] != y.shape[1]:
            raise ValueError(f"sinkhorn: x has {x.shape[1]} columns and y has {y.shape[1]}; a cost needs them equal.")
        n, m, where = len(x), len(y), x.device
    else:
        if x is not None or y is not None:
            raise ValueError("sinkhorn: give x and y with a named cost, or a cost matrix alone.")
        numpy, cost = not isinstance(cost, torch.Tensor), _matrix(cost, "the cost matrix", device)
        (n, m), where = cost.shape, cost.device
    rows = float(total(torch.tensor(float(n), device=where), group))
    a, b = _weights(a, n, 1 / rows, "a", where), _weights(b, m, 1 / m, "b", where)
    sums = float(total(a.sum(), group)), float(b.sum())
    if not min(sums) > 0 or (tau is None and abs(sums[0] - sums[1]) > 1e-6 * max(sums)):
        raise ValueError(f"sinkhorn: a and b must have the same positive total, found {sums[0]:.9g} and {sums[1]:.9g}.")
    if named:
        return PointCost(x, y, cost, a, b, epsilon, dtype, tol, group), a, b, numpy
    return MatrixCost(cost, a, b, epsilon, group), a, b, numpy


def _matrix(value, name: str, device) -> torch.Tensor:
    value = tensor(value, f"sinkhorn: {name}")
    value = value if value.is_floating_point() else value.double()
    if value.ndim != 2 or 0 in value.shape:
        raise ValueError(f"sinkhorn: {name} must be a matrix with rows and columns, found shape {list(value.shape)}.")
    # A finite sum shows that all values are, in a tenth of the time; a sum that isn't finite may have overflowed.
    if not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
        raise ValueError(f"sinkhorn: {name} holds a value that is not finite; mend or drop that row first.")
    return value.to(device)


def _weights(value, size: int, uniform: float, name: str, device) -> torch.Tensor:
    if value is None:
        return torch.full((size,), uniform, dtype=torch.float64, device=device)
    value = tensor(value, f"sinkhorn: {name}").to(device, torch.float64, copy=True)  # the caller can change theirs
    if value.shape != (size,):
        raise ValueError(f"sinkhorn: {name} must have shape [{size}], found {list(value.shape)}.")
    if not bool(torch.isfinite(value).all()) or bool((value < 0).any()):
        raise ValueError(f"sinkhorn: {name} must be finite and not negative.")
    return value


def _free(device: torch.device) -> int:
    """Bytes of free memory per process of torchrun; in a SLURM job at most its request less what it has taken,
    however much its node has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"  # macOS reports the total
    page, processes = os.sysconf("SC_PAGE_SIZE"), int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun's
    free = os.sysconf(pages) * page // processes
    limit = int(os.environ.get("SLURM_MEM_PER_NODE", 0))  # in MB; 0: the whole node
    if not limit:
        return free
    _, resident, mapped, *_ = map(
        int, Path("/proc/self/statm").read_text().split()
    )  # pages; mapped ones can be dropped
    return max(0, min(free, limit * 2**20 // processes - (resident - mapped) * page))
