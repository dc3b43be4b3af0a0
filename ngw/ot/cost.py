"""Costs as tiles of exponents, log2 exp((f + g - C) / epsilon): one matrix product a tile, never n x m at once."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist

LOG2E = math.log2(math.e)
SCRATCH_BYTES = 1 << 23  # of the float64 scratch that an exact exponent or a ready matrix is read through


def total(value: torch.Tensor, group=None) -> torch.Tensor:
    """Sum over the ranks of a process group (in place); without a group the value itself."""
    if group is not None:
        dist.all_reduce(value, group=group)
    return value


def log_total(value: torch.Tensor, unit: torch.Tensor, group=None) -> torch.Tensor:
    """log sum over the ranks of value exp(unit), float64; every rank may count in its own unit (a log-sum-exp)."""
    largest = unit.clone()
    if group is not None:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    return total(value.double() * torch.exp(unit - largest), group).log() + largest


@contextmanager
def blas_threads_only():
    """Torch with one thread: its own and OpenBLAS's, which wait awake, would fight for the cores (5 times slower)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """out <- left @ right; on a CPU by NumPy's OpenBLAS, since torch's MKL is slow on AMD (60 against 96 GFLOP/s)."""
    if out.device.type == "cpu":
        np.matmul(left.numpy(), right.numpy(), out=out.numpy())
        return out
    return torch.mm(left, right, out=out)


class PointCost:
    """C_ij = p_i + q_j - s <x_i, y_j>, x and y centred: float32 stays exact where the clouds lie far from the origin.

    Squared Euclidean: s = 2.  Cosine, 1 - cos: s = 1 on unit vectors (a zero vector is at cost 1 from all).
    `left` [n, d + 2] and `right` [d + 2, m] carry the potentials in two extra columns, so that one product left @ right
    gives finished exponents.  `p` and `q` [n], [m] and all potentials are float64 and in units of epsilon.
    """

    def __init__(self, x, y, kind: str, a, b, epsilon: float, dtype: torch.dtype | None, tol: float, group=None):
        if kind == "cosine":
            x, y = (z / z.norm(dim=1, keepdim=True).clamp_min(1e-300) for z in (x, y))
        mu_x, mu_y = total(a @ x, group) / total(a.sum(), group), b @ y / b.sum()  # [d]
        p = 1 - x @ mu_y if kind == "cosine" else (x - mu_y).square().sum(1)
        x, y = x - mu_x, y - mu_y
        q = -(y @ mu_x) if kind == "cosine" else y.square().sum(1) - 2 * (y @ (mu_x - mu_y))
        # Under the product of a and b the centred inner products average to zero: the mean cost needs no n x m matrix.
        self.mean = _mean(p, a, group) + _mean(q, b)
        self.epsilon = epsilon * (self.mean if self.mean > 0 else 1.0)
        self.p, self.q = p / self.epsilon, q / self.epsilon
        unit = math.sqrt((1 if kind == "cosine" else 2) * LOG2E / self.epsilon)  # in bits, whatever the data's unit was
        x, y = x.mul_(unit), y.mul_(unit)
        size = math.sqrt(_mean(x.square().sum(1), a, group) * _mean(y.square().sum(1), b))
        # An exponent's rounding is a relative error of the plan; a quarter of tol leaves the rest to the iteration.
        self.dtype = dtype or (torch.float32 if size * 2**-24 <= tol / 4 else torch.float64)
        self.left = torch.ones(len(x), x.shape[1] + 2, dtype=self.dtype, device=x.device)
        self.right = torch.ones(x.shape[1] + 2, len(y), dtype=self.dtype, device=x.device)
        self.left[:, :-2], self.right[:-2] = x, y.T

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.left), self.right.shape[1]

    def cool(self, factor: float) -> None:
        """Divide epsilon by a power of 4: that rounds nothing."""
        self.epsilon, self.p, self.q = self.epsilon / factor, self.p * factor, self.q * factor
        self.left[:, :-2] *= math.sqrt(factor)
        self.right[:-2] *= math.sqrt(factor)

    def set_f(self, f: torch.Tensor | float) -> None:
        self.left[:, -2] = (f - self.p) * LOG2E

    def set_g(self, g: torch.Tensor | float) -> None:
        self.right[-1] = (g - self.q) * LOG2E

    def tile(self, rows: slice, out: torch.Tensor) -> torch.Tensor:
        """out [rows, m] <- (f_i + g_j - C_ij) / epsilon, in bits."""
        return multiply(self.left[rows], self.right, out)

    def pairs(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for index vectors i and j of one length, float64."""
        inner = (self.left[i, :-2].double() * self.right[:-2, j].T.double()).sum(1)
        return self.p[i] + self.q[j] - inner / LOG2E

    def exact(self, i: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for the rows i and all columns, float64 [len(i), m]."""
        rows, step = self.left[i, :-2].double(), max(1, SCRATCH_BYTES // (8 * len(self.right)))
        inner = [rows @ self.right[:-2, j : j + step].double() for j in range(0, self.shape[1], step)]
        return self.p[i, None] + self.q - torch.cat(inner, 1) / LOG2E

    def take(self, rows: torch.Tensor | slice, cols: torch.Tensor | slice) -> PointCost:
        """The cost between some rows and some columns (a copy)."""
        return self._like(self.p[rows], self.q[cols], self.left[rows].clone(), self.right[:, cols].clone())

    @property
    def T(self) -> PointCost:
        """The cost seen from the columns (a copy: each side holds its own potentials)."""
        left, right = self.right.T.clone(memory_format=torch.contiguous_format), self.left.T.contiguous()
        left[:, -2:], right[-2:] = left[:, -2:].flip(1), right[-2:].flip(0)
        return self._like(self.q, self.p, left, right)

    def _like(self, p, q, left, right) -> PointCost:
        part = object.__new__(PointCost)
        part.__dict__.update(self.__dict__, p=p, q=q, left=left, right=right)
        return part


class MatrixCost:
    """A ready cost matrix C [n, m], kept as it was given and read block by block, in float64."""

    dtype = torch.float64

    def __init__(self, matrix: torch.Tensor, a, b, epsilon: float, group=None):
        self.matrix, self.f, self.g = matrix, torch.zeros_like(a), torch.zeros_like(b)
        self.p, self.q = torch.zeros_like(a), torch.zeros_like(b)
        sums = torch.stack([a[rows] @ (matrix[rows].double() @ b) for rows in self._blocks(slice(0, len(a)))])
        self.mean = float(total(sums.sum(), group) / total(a.sum(), group) / b.sum())
        if self.mean < 0:
            raise ValueError(
                f"sinkhorn: the mean cost, epsilon's unit, is {self.mean:.3g}; add a constant to the costs."
            )
        self.epsilon = epsilon * (self.mean if self.mean > 0 else 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.matrix.shape)

    def _blocks(self, rows: slice):
        step = max(1, SCRATCH_BYTES // (8 * self.matrix.shape[1]))
        return [slice(i, min(i + step, rows.stop)) for i in range(rows.start, rows.stop, step)]

    def cool(self, factor: float) -> None:
        """Divide epsilon by a factor."""
        self.epsilon /= factor

    def set_f(self, f: torch.Tensor | float) -> None:
        self.f = self.f.new_zeros(self.shape[0]) + f

    def set_g(self, g: torch.Tensor | float) -> None:
        self.g = self.g.new_zeros(self.shape[1]) + g

    def tile(self, rows: slice, out: torch.Tensor) -> torch.Tensor:
        """out [rows, m] <- (f_i + g_j - C_ij) / epsilon, in bits."""
        out.copy_(self.matrix[rows]).div_(-self.epsilon).add_(self.f[rows, None]).add_(self.g).mul_(LOG2E)
        return out

    def pairs(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for index vectors i and j of one length, float64."""
        return self.matrix[i, j].double() / self.epsilon

    def exact(self, i: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for the rows i and all columns, float64 [len(i), m]."""
        return self.matrix[i].double() / self.epsilon

    def take(self, rows: torch.Tensor | slice, cols: torch.Tensor | slice) -> MatrixCost:
        """The cost between some rows and some columns."""
        return self._like(self.matrix[rows][:, cols], self.f[rows], self.g[cols])

    @property
    def T(self) -> MatrixCost:
        return self._like(self.matrix.T, self.g, self.f)

    def _like(self, matrix, f, g) -> MatrixCost:
        part = object.__new__(MatrixCost)
        part.__dict__.update(self.__dict__, matrix=matrix, f=f, g=g, p=torch.zeros_like(f), q=torch.zeros_like(g))
        return part


def _mean(values: torch.Tensor, weights: torch.Tensor, group=None) -> float:
    return float(total(weights @ values, group) / total(weights.sum(), group))
