"""A coupling: potentials, the solver's status, and functions of the plan, which is never held whole."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ngw.io.numbers import numbers
from ngw.ot.cost import blas_threads_only, multiply
from ngw.ot.kernel import STRIP_BYTES, Kernel, KernelT

PART = 1 << 12  # rows of values that are read at a time


@dataclass
class Status:
    """The status of a solve."""

    n_iter: int
    marginal_error: float  # L1 of both marginals, as a share of the mass
    converged: bool
    reason: str  # one sentence: why it stopped
    path: str  # "dense", "mixed" or "streamed"
    path_reason: str  # one sentence: why that path


@dataclass
class Coupling:
    """The plan P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon).  Results have the kind of the input arrays.

    Everything is computed by row blocks; only `dense()` gives the n x m matrix.  A kernel that the solver kept lives as
    long as the coupling does.
    """

    cost: Any = field(repr=False)
    a: torch.Tensor = field(repr=False)  # [n] float64
    b: torch.Tensor = field(repr=False)  # [m] float64
    potentials: tuple[torch.Tensor, torch.Tensor] = field(repr=False)  # [n], [m], in units of epsilon, float64
    status: Status
    dtype: torch.dtype
    numpy: bool = field(repr=False)
    group: Any = field(default=None, repr=False)
    solved: tuple[Kernel | KernelT, torch.Tensor] | None = field(default=None, repr=False)  # the solver's K and v

    n_iter = property(lambda self: self.status.n_iter)
    marginal_error = property(lambda self: self.status.marginal_error)
    converged = property(lambda self: self.status.converged)
    reason = property(lambda self: self.status.reason)
    path = property(lambda self: self.status.path)
    path_reason = property(lambda self: self.status.path_reason)
    shape = property(lambda self: self.cost.shape)
    epsilon = property(lambda self: self.cost.epsilon, doc="The regularisation in cost units (given times mean cost).")
    f = property(lambda self: self._out(self.potentials[0] * self.epsilon), doc="Row potentials [n], cost units.")
    g = property(lambda self: self._out(self.potentials[1] * self.epsilon), doc="Column potentials [m], cost units.")

    @cached_property
    def T(self) -> Coupling:
        """The same plan seen from y's side."""
        if self.group is not None:
            raise ValueError("a sharded coupling is only seen from x's side: solve with x and y exchanged.")
        f, g = self.potentials
        solved = None
        if self.solved is not None and isinstance(self.solved[0], Kernel) and self.solved[0].two_sided:
            kernel, v = self.solved[0], self.solved[1]
            log_u = f - kernel.f
            top = log_u.max()  # a constant that moves from u into the absorbed potentials: nothing overflows
            solved = KernelT(kernel, g - v.double().log() - top), torch.exp(log_u - top).to(kernel.a.dtype)
        return Coupling(self.cost.T, self.b, self.a, (g, f), self.status, self.dtype, self.numpy, solved=solved)

    def take(self, rows=slice(None), columns=slice(None)) -> Coupling:
        """The plan between some rows and some columns (index arrays)."""
        rows, columns = (z if isinstance(z, slice) else self._in(z) for z in (rows, columns))
        (f, g), cost = self.potentials, self.cost.take(rows, columns)
        potentials = f[rows], g[columns]
        return Coupling(cost, self.a[rows], self.b[columns], potentials, self.status, self.dtype, self.numpy)

    @blas_threads_only()
    def barycenters(self, y, rows: bool = False):
        """Barycentric projection: row i is sum_j P_ij y_j / sum_j P_ij.  y [m, k] -> [n, k], y's kind of float.

        y: an array, a tensor, or what has a shape and gives rows by slices, of which some are read at a time.
        rows: the same pass over the plan gives what `row_mass` and `perplexity` will be asked for.
        """
        y = y if hasattr(y, "shape") else np.asarray(y)
        if len(y.shape) != 2 or len(y) != self.shape[1]:
            raise ValueError(f"barycenters: expected values of shape [{self.shape[1]}, k], found {list(y.shape)}.")
        (kernel, v), parts = self._scaled, [slice(i, i + PART) for i in range(0, len(y), PART)]
        largest = torch.stack([self._values(y[part]).abs().amax() for part in parts]).amax()
        if not bool(torch.isfinite(largest)):
            raise ValueError(
                "barycenters: expected finite values, found NaN or infinity; mend or drop those rows first."
            )
        right, unit = kernel.b * v, largest.clamp_min(torch.finfo(largest.dtype).tiny)
        weighted = torch.empty(*y.shape, dtype=self.dtype, device=right.device)
        for part in parts:
            weighted[part] = self._values(y[part]) / unit * right[part, None]  # in units of the largest: no overflow
        out = torch.empty(self.shape[0], y.shape[1], dtype=largest.dtype, device=right.device)
        spread = _Spread(self) if rows else None
        for part, block in kernel.blocks():
            sums = multiply(block, weighted, out=weighted.new_empty(len(block), weighted.shape[1]))
            out[part] = sums.div_(torch.mv(block, right)[:, None])
            if spread is not None:
                spread.add(part, block)
        if spread is not None:
            self._rows = spread.rows()
        return self._out(out.mul_(unit))

    def row_mass(self):
        """Row sums of the plan [n]: a, up to the marginal error, where the marginals are exact."""
        return self._out(self._rows[0].clone())

    def perplexity(self):
        """Effective number of columns that each row is spread over [n]: exp of its conditional entropy."""
        return self._out(self._rows[1].exp())

    def mass(self, i, j):
        """P_ij for index arrays i and j (broadcast against each other), float64."""
        i, j = torch.broadcast_tensors(self._in(i), self._in(j))
        row, column = self._log_weighted
        flat_i, flat_j = i.reshape(-1), j.reshape(-1)
        return self._out(torch.exp(row[flat_i] + column[flat_j] - self.cost.entries(flat_i, flat_j)).reshape(i.shape))

    def rows(self, i):
        """Rows i (an index array) of the plan, [len(i), m], float64."""
        i = self._in(i).reshape(-1)
        row, column = self._log_weighted
        return self._out(torch.exp(row[i, None] + column - self.cost.exact(i)))

    def dense(self):
        """The plan itself, [n, m], float64: for small problems."""
        return self.rows(torch.arange(self.shape[0]))

    @property
    def _log_weighted(self) -> tuple[torch.Tensor, torch.Tensor]:
        """log a + f / epsilon and log b + g / epsilon: a zero weight has zero mass."""
        return self.a.log() + self.potentials[0], self.b.log() + self.potentials[1]

    @cached_property
    def _scaled(self) -> tuple[Kernel | KernelT, torch.Tensor]:
        """(K, v [m]) with P_ij = a_i u_i K_ij v_j b_j: the solver's, or a kernel that is computed block by block."""
        if self.solved is not None:
            return self.solved
        kernel = Kernel(self.cost, self.a, self.b, self.dtype)
        kernel.absorb(self.potentials[1])
        return kernel, torch.ones_like(kernel.b)

    @cached_property
    @blas_threads_only()
    def _rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(row sums [n], entropies of the rows' conditionals [n]), float64."""
        spread = _Spread(self)
        for rows, block in self._scaled[0].blocks():
            spread.add(rows, block)
        return spread.rows()

    def _in(self, value) -> torch.Tensor:
        return tensor(value, "a coupling's argument").to(self.a.device)

    def _values(self, y) -> torch.Tensor:
        """Rows of values as floats."""
        value = self._in(y)
        return value if value.is_floating_point() else value.to(self.dtype)

    def _out(self, value: torch.Tensor):
        return value.cpu().numpy() if self.numpy else value


def tensor(value: Any, name: str) -> torch.Tensor:
    """A tensor without gradient of an array of numbers, which it shares where torch can; nothing hidden is used."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    array = numbers(value, name)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # which torch lacks, by and large
        array = array.astype(np.int64 if array.size == 0 or array.max() < 2**63 else np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is only read
        return torch.as_tensor(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


class _Spread:
    """Row sums [n] and entropies [n] of a coupling, collected while the kernel's blocks pass by."""

    def __init__(self, plan: Coupling) -> None:
        kernel, v = plan._scaled
        self.plan, self.kernel, self.right = plan, kernel, kernel.b * v
        self.log_mass, self.entropy = torch.empty_like(plan.a), torch.empty_like(plan.a)
        self.step = max(1, STRIP_BYTES[plan.a.device.type] // (kernel.b.element_size() * len(kernel.b)))

    def add(self, rows: slice, block: torch.Tensor) -> None:
        """Take K[rows]."""
        for k in range(0, len(block), self.step):
            conditional = block[k : k + self.step] * self.right
            part = slice(rows.start + k, rows.start + k + len(conditional))
            sums = conditional.sum(1, keepdim=True)
            self.log_mass[part] = sums[:, 0].double().log()
            logs = conditional.div_(sums).clamp_min(torch.finfo(conditional.dtype).tiny).log_()
            self.entropy[part] = -logs.mul_(conditional).sum(1).double()

    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(row sums, entropies), when all blocks have passed."""
        plan = self.plan
        return torch.exp(plan.a.log() + self.log_mass + plan.potentials[0] - self.kernel.f), self.entropy
