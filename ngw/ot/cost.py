"""Costs as tiles of exponents, log2 exp((f + g - C) / epsilon): one matrix product a tile, never n x m at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import numpy as np
import torch
import torch.distributed as dist

LOG2E = math.log2(math.e)
SCRATCH_BYTES = 1 << 20  # of the float64 scratch that an exact exponent or a ready matrix is read through
COARSE_SIZE = 256.0  # bits: the typical |x| |y| up to which bfloat16 products make tiles good enough to be corrected


def total(value: torch.Tensor, group=None) -> torch.Tensor:
    """Sum over the ranks of a process group (in place); without a group the value itself."""
    if group is not None:
        dist.all_reduce(value, group=group)
    return value


def ranks_rows(n: int, device: torch.device, group=None) -> tuple[int, int]:
    """(rows of the ranks before this one, of all ranks), where this one has n."""
    if group is None:
        return 0, n
    counts = torch.zeros(dist.get_world_size(group), dtype=torch.int64, device=device)
    rank = dist.get_rank(group)
    counts[rank] = n
    total(counts, group)
    return int(counts[:rank].sum()), int(counts.sum())


def log_total(value: torch.Tensor, unit: torch.Tensor, group=None) -> torch.Tensor:
    """log sum over the ranks of value exp(unit), float64; every rank may count in its own unit (a log-sum-exp)."""
    largest = unit.clone()
    if group is not None:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    return total(value.double() * torch.exp(unit - largest), group).log() + largest


@contextmanager
def blas_threads_only():
    """Torch with one thread: its threads and OpenBLAS's, which spin while they wait, would compete (5 times slower)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """out <- left @ right; on a CPU by NumPy's OpenBLAS, since torch's MKL is slow on AMD (60 against 96 GFLOP/s)."""
    if out.device.type == "cpu" and out.dtype != torch.bfloat16:
        np.matmul(left.numpy(), right.numpy(), out=out.numpy())
        return out
    return torch.mm(left, right, out=out)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16: on a CPU without such instructions that is slower than float32."""
    has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cuda" or bool(has.get("avx512_bf16") or has.get("amx_bf16"))


class Operands:
    """left [n, d + 2 k] and right [d + 2 k, m], whose product <x_i, y_j> + f_i + g_j is a finished exponent.

    Each potential stands in k extra columns: pieces of it that together hold more digits than one number of this type.
    """

    def __init__(self, n: int, m: int, d: int, dtype: torch.dtype, device: torch.device, pieces: int = 1):
        self.d, self.pieces = d, pieces
        self.left = torch.ones(n, d + 2 * pieces, dtype=dtype, device=device)
        self.right = torch.ones(d + 2 * pieces, m, dtype=dtype, device=device)
        self.x, self.y = self.left[:, :d], self.right[:d].T  # [n, d], [m, d]: views to be filled

    def set_f(self, bits: torch.Tensor) -> None:
        for k in range(self.d, self.d + self.pieces):
            self.left[:, k] = bits
            bits = bits - self.left[:, k]

    def set_g(self, bits: torch.Tensor) -> None:
        for k in range(self.d + self.pieces, self.d + 2 * self.pieces):
            self.right[k] = bits
            bits = bits - self.right[k]

    def product(self, rows: slice, out: torch.Tensor) -> torch.Tensor:
        return multiply(self.left[rows], self.right, out)


class PointCost:
    """C_ij = p_i + q_j - s <x_i, y_j>, x and y centred: float32 stays exact where the clouds lie far from the origin.

    Squared Euclidean: s = 2.  Cosine, 1 - cos: s = 1 on unit vectors (a zero vector is at cost 1 from all).
    p [n], q [m] and all potentials are float64, in units of epsilon; x and y are scaled so that s <x, y> is in bits.
    """

    def __init__(self, x, y, kind: str, a, b, epsilon: float, dtype: torch.dtype | None, tol: float, group=None):
        cosine = kind == "cosine"
        mu_x, mu_y = total(_sum_point(x, a, cosine), group) / total(a.sum(), group), _sum_point(y, b, cosine) / b.sum()
        shift = mu_x - mu_y  # [d]
        xx, x_shift, x_mu = _products(x, cosine, mu_x, shift, mu_y)
        yy, y_shift, y_mu = _products(y, cosine, mu_y, shift, mu_x)
        if cosine:
            p, q = 1 - x_mu - mu_x @ mu_y, -y_mu
        else:
            p, q = xx + 2 * x_shift, yy - 2 * y_shift + shift.square().sum()
        # Under the product of a and b the centred inner products average to zero: the mean cost needs no n x m matrix.
        self.mean = _mean(p, a, group) + _mean(q, b)
        self.epsilon = epsilon * (self.mean if self.mean > 0 else 1.0)
        self.p, self.q = p / self.epsilon, q / self.epsilon
        unit = math.sqrt((1 if cosine else 2) * LOG2E / self.epsilon)  # also removes the data's unit
        self.size = unit**2 * math.sqrt(_mean(xx, a, group) * _mean(yy, b))
        # An exponent's rounding is a relative error of the plan; a quarter of tol leaves the rest to the iteration.
        self.dtype = dtype or (torch.float32 if self.size * 2**-24 <= tol / 4 else torch.float64)
        self.fine = Operands(*self.shape, len(shift), self.dtype, x.device)
        self.coarse: Operands | None = None
        for points, mu, filled in ((x, mu_x, self.fine.x), (y, mu_y, self.fine.y)):
            for rows, z in _chunks(points, cosine, mu):
                filled[rows] = z.mul_(unit)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.p), len(self.q)

    def coarsen(self) -> torch.dtype | None:
        """Add operands of half the precision, for tiles that exact ones correct; None where that saves nothing."""
        half = {torch.float64: torch.float32, torch.float32: torch.bfloat16}[self.dtype]
        if half == torch.float32 or (self.size <= COARSE_SIZE and fast_bfloat16(self.p.device)):
            self.coarse = Operands(*self.shape, self.fine.d, half, self.p.device, pieces=3)
            self.coarse.x[:], self.coarse.y[:] = self.fine.x, self.fine.y
        return half if self.coarse else None

    def cool(self, factor: float) -> None:
        """Divide epsilon by a power of 4: that rounds nothing."""
        self.epsilon, self.size = self.epsilon / factor, self.size * factor
        self.p, self.q = self.p * factor, self.q * factor
        for operands in filter(None, (self.fine, self.coarse)):
            operands.x *= math.sqrt(factor)
            operands.y *= math.sqrt(factor)

    def set_f(self, f: torch.Tensor | float) -> None:
        for operands in filter(None, (self.fine, self.coarse)):
            operands.set_f((f - self.p) * LOG2E)

    def set_g(self, g: torch.Tensor | float) -> None:
        for operands in filter(None, (self.fine, self.coarse)):
            operands.set_g((g - self.q) * LOG2E)

    def tile(self, rows: slice, out: torch.Tensor) -> torch.Tensor:
        """out [rows, m] <- (f_i + g_j - C_ij) / epsilon, in bits; coarse where out is."""
        operands = self.fine if out.dtype == self.dtype or self.coarse is None else self.coarse
        return operands.product(rows, out)

    def entries(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for index vectors i and j of one length, float64."""
        return self.p[i] + self.q[j] - (self.fine.x[i].double() * self.fine.y[j].double()).sum(1) / LOG2E

    def exact(self, i: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for the rows i and all columns, float64 [len(i), m]."""
        rows, step = self.fine.x[i].double(), max(1, SCRATCH_BYTES // (8 * max(1, self.fine.d)))
        inner = [rows @ self.fine.y[j : j + step].double().T for j in range(0, len(self.q), step)]
        return self.p[i, None] + self.q - torch.cat(inner, 1) / LOG2E

    def take(self, rows: torch.Tensor | slice, cols: torch.Tensor | slice) -> PointCost:
        """The cost between some rows and some columns (a copy)."""
        return self._like(self.p[rows], self.q[cols], self.fine.x[rows], self.fine.y[cols])

    def gather(self, rows: torch.Tensor, places: torch.Tensor, count: int, group=None) -> PointCost:
        """The cost between `count` rows of all ranks and the columns; of those this rank's `rows` are at `places`."""
        part = object.__new__(PointCost)
        part.__dict__.update(self.__dict__, coarse=None, fine=copy(self.fine))  # of the columns no copy
        part.p, part.fine.x = (
            total(z.new_zeros(count, *z.shape[1:]).index_copy(0, places, z[rows]), group) for z in (self.p, self.fine.x)
        )
        return part

    @property
    def T(self) -> PointCost:
        """The cost seen from the columns (a copy: each side holds its own potentials)."""
        return self._like(self.q, self.p, self.fine.y, self.fine.x)

    def _like(self, p, q, x, y) -> PointCost:
        part = object.__new__(PointCost)
        part.__dict__.update(self.__dict__, p=p, q=q, coarse=None)
        part.fine = Operands(len(p), len(q), self.fine.d, self.dtype, p.device)
        part.fine.x[:], part.fine.y[:] = x, y
        return part


class MatrixCost:
    """A ready cost matrix C [n, m], kept as given and read block by block, in float64."""

    dtype, coarse = torch.float64, None

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

    def coarsen(self) -> None:
        """There is nothing to save: a tile is read, not computed."""

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

    def entries(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for index vectors i and j of one length, float64."""
        return self.matrix[i, j].double() / self.epsilon

    def exact(self, i: torch.Tensor) -> torch.Tensor:
        """C_ij / epsilon for the rows i and all columns, float64 [len(i), m]."""
        return self.matrix[i].double() / self.epsilon

    def take(self, rows: torch.Tensor | slice, cols: torch.Tensor | slice) -> MatrixCost:
        """The cost between some rows and some columns."""
        return self._like(self.matrix[rows][:, cols], self.f[rows], self.g[cols])

    def gather(self, rows: torch.Tensor, places: torch.Tensor, count: int, group=None) -> MatrixCost:
        """The cost between `count` rows of all ranks and the columns; of those this rank's `rows` are at `places`."""
        matrix = self.matrix.new_zeros(count, self.matrix.shape[1]).index_copy(0, places, self.matrix[rows])
        return self._like(total(matrix, group), self.matrix.new_zeros(count, dtype=self.f.dtype), self.g)

    @property
    def T(self) -> MatrixCost:
        return self._like(self.matrix.T, self.g, self.f)

    def _like(self, matrix, f, g) -> MatrixCost:
        part = object.__new__(MatrixCost)
        part.__dict__.update(self.__dict__, matrix=matrix, f=f, g=g, p=torch.zeros_like(f), q=torch.zeros_like(g))
        return part


def _chunks(points: torch.Tensor, unit: bool, mu: torch.Tensor | None = None) -> Iterator[tuple[slice, torch.Tensor]]:
    """(rows, their float64 values), scaled to length 1 if `unit`, minus mu: never the whole cloud in float64.

    Where mu is given, the values are a copy.
    """
    step = max(1, SCRATCH_BYTES // (8 * points.shape[1]))
    for i in range(0, len(points), step):
        z = points[i : i + step]
        if unit:
            z = z.to(torch.float64, copy=True)
            z.div_(z.norm(dim=1, keepdim=True).clamp_min(1e-300))
        yield slice(i, i + len(z)), z.to(torch.float64) if mu is None else z - mu


def _sum_point(points: torch.Tensor, weights: torch.Tensor, unit: bool) -> torch.Tensor:
    """Weighted sum of the points [d]."""
    return torch.stack([weights[rows] @ z for rows, z in _chunks(points, unit)]).sum(0)


def _products(points: torch.Tensor, unit: bool, mu: torch.Tensor, *others: torch.Tensor) -> list[torch.Tensor]:
    """|z|^2 and <z, other> for each other, of the points z minus mu: vectors [n]."""
    parts = [(z.square().sum(1), *(z @ other for other in others)) for _, z in _chunks(points, unit, mu)]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _mean(values: torch.Tensor, weights: torch.Tensor, group=None) -> float:
    return float(total(weights @ values, group) / total(weights.sum(), group))
