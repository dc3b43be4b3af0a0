"""The Gibbs kernel around known potentials, walked by row blocks: kept in memory, or made again in every pass."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from ngw.ot.cost import LOG2E, log_total, total

TOP = 15.0  # bits: a row's largest entry where potentials are absorbed, so that half precision spans 2^-24 .. 2^15
FLOOR = {torch.float16: -24.0, torch.float32: -120.0, torch.float64: -1000.0}  # less is dust; denormals cost 5x
CEILING = 100.0  # bits: only points without weight can lie higher, and their products with 0 must be 0
COMPACT = {torch.float32: torch.float16, torch.float64: torch.float32}  # what is kept where the kernel does not fit
BLOCK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 30}  # what one matrix product fills: large enough for its full rate
STRIP_BYTES = {"cpu": 1 << 20, "cuda": 1 << 30}  # what stays in a CPU's cache from one operation to the next


class Kernel:
    """K_ij = exp((f_i + g_j - C_ij) / epsilon); the plan is P_ij = a_i u_i K_ij v_j b_j.

    From pass to pass only the scalings u and v change; `absorb` moves what they grew to into the potentials, so nothing
    over- or underflows.  With `memory` bytes for all rows K is kept as it is.  With less, as many rows as fit are kept
    in half the precision and the rest is made again in every pass; `exact` walks then make every row again.
    """

    def __init__(self, cost, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype, memory: float, group=None):
        self.cost, self.group = cost, group
        self.n, self.m = cost.shape
        self.a, self.b = a.to(dtype), b.to(dtype)
        self.f, self.shift, self.fresh, self.lam = torch.zeros_like(a), 0.0, False, 1.0
        row = self.m * torch.finfo(dtype).bits // 8  # bytes
        self.step, self.strip = (min(self.n, max(8, z[a.device.type] // row)) for z in (BLOCK_BYTES, STRIP_BYTES))
        short = _any(memory < self.n * row, a.device, group)
        rows = max(0, int(memory / row) - self.step) * 2 // self.step * self.step if short else self.n
        self.kept = _empty(min(self.n, rows), self.m, COMPACT[dtype] if short else dtype, a.device)
        self.compact = short and _any(len(self.kept) > 0, a.device, group)
        wide = self.compact or len(self.kept) < self.n or cost.dtype != dtype
        self.scratch = _empty(self.step if wide else 0, self.m, cost.dtype, a.device)
        self.made = self.scratch if cost.dtype == dtype else _empty(len(self.scratch), self.m, dtype, a.device)

    def absorb(self, g: torch.Tensor | float, lam: float = 1.0) -> None:
        """Take column potentials [m] (units of epsilon, float64); the blocks and f follow in the next walk."""
        self.shift = (g - self.cost.q).mean()
        self.cost.set_g(g - self.shift)  # neither this constant nor the rows' own parts are in the tile, to be rounded
        self.cost.set_f(self.cost.p)
        self.fresh, self.lam = True, lam

    def blocks(self, exact: bool = True) -> Iterator[tuple[slice, torch.Tensor]]:
        """(rows, K[rows]) block by block; a block is valid until the next is asked for, and must not be changed."""
        fresh, self.fresh = self.fresh, False
        for start in range(0, self.n, self.step):
            rows = slice(start, min(start + self.step, self.n))
            stored = rows.stop <= len(self.kept) and not (exact and self.compact)
            block = self.kept[rows] if stored else self.made[: rows.stop - start]
            if fresh or not stored:
                self._fill(rows, block, fresh)
            yield rows, block
        if fresh:
            self.cost.set_f(self.f + self.shift)

    def _fill(self, rows: slice, block: torch.Tensor, fresh: bool) -> None:
        """block <- K[rows]; where fresh, also f[rows], such that every row's largest entry is 2^TOP."""
        tile = block if block.dtype == self.cost.dtype else self.scratch[: len(block)]
        self.cost.tile(rows, out=tile)
        for k in range(0, len(block), self.strip):
            strip = tile[k : k + self.strip]
            if fresh:
                lift = TOP - strip.amax(1, keepdim=True)
                strip += lift
                part = slice(rows.start + k, rows.start + k + len(strip))
                self.f[part] = self.cost.p[part] - self.shift + lift[:, 0].double() / LOG2E
            strip.clamp_(min=FLOOR[block.dtype], max=CEILING)
            if block.dtype == torch.float16:  # rounded last: half precision has no bits for an exponent's digits
                block[k : k + self.strip] = strip.exp2_()
            else:
                (strip if tile is block else block[k : k + self.strip].copy_(strip)).exp2_()

    def walk(self, v: torch.Tensor, exact: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass: row masses K (b v) [n] and, after the exact row update u, float64 log K' (a u) [m] of all ranks."""
        masses, sums = torch.empty_like(self.a), torch.zeros_like(self.b)
        right, native_masses, native_sums = (_native(z) for z in (self.b * v, masses, sums))
        wide = torch.empty(self.strip if self.compact else 0, self.m, dtype=self.a.dtype, device=self.a.device)
        unit = torch.tensor(-math.inf, dtype=torch.float64, device=self.a.device)  # log of what sums are counted in
        for rows, block in self.blocks(exact):
            left, unit = self._left(rows, unit, sums)
            for k in range(0, len(block), self.strip):
                strip = block[k : k + self.strip]
                strip = _native(strip if strip.dtype == masses.dtype else wide[: len(strip)].copy_(strip))
                mass = strip @ right
                native_masses[rows.start + k : rows.start + k + len(strip)] = mass
                native_sums += (left[k : k + len(strip)] / (mass if self.lam == 1 else mass**self.lam)) @ strip
        return masses, log_total(sums.clamp_(min=torch.finfo(sums.dtype).tiny), unit, self.group)

    def _left(self, rows: slice, unit: torch.Tensor, sums: torch.Tensor):
        """(a times what u has beside the row masses, in units of exp(unit); the unit): it grows, and sums with it."""
        if self.lam == 1:
            return _native(self.a[rows]), torch.zeros_like(unit)
        log_u = (self.lam - 1) * self.f[rows]
        new = torch.maximum(unit, log_u.max())
        sums *= torch.exp(unit - new)
        return _native(self.a[rows] * torch.exp(log_u - new).to(self.a.dtype)), new

    def row_potentials(self, masses: torch.Tensor) -> torch.Tensor:
        """The updated f [n] (units of epsilon, float64), absorbed plus log u, of the row masses that `walk` gave."""
        return self.lam * (self.f - masses.double().log())

    def drop(self) -> None:
        """Let go of rows kept in half the precision."""
        if self.compact:
            self.kept, self.compact = self.kept[:0].clone(), False


def softmin(cost, b: torch.Tensor, g: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
    """f_i = -log sum_j b_j exp(g_j - C_ij / epsilon), exactly, for every row: [n], units of epsilon, float64."""
    kernel = Kernel(cost, b.new_ones(cost.shape[0]), b, dtype, memory=0)
    kernel.absorb(g)
    masses, _ = kernel.walk(torch.ones_like(kernel.b))
    return kernel.f - masses.double().log()


def _any(flag: bool, device: torch.device, group) -> bool:
    """Whether it is so on any rank: ranks must agree on how they walk."""
    return bool(total(torch.tensor(int(flag), device=device), group))


def _empty(n: int, m: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[n, m]; on a CPU from NumPy, which asks for huge pages: a third of the time of the page faults."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty((n, m), dtype=str(dtype).removeprefix("torch.")))
    return torch.empty(n, m, dtype=dtype, device=device)


def _native(value: torch.Tensor):
    """The array whose `@` is fastest where it lies: NumPy's on a CPU (no dispatch, OpenBLAS), torch's on a GPU."""
    return value.numpy() if value.device.type == "cpu" else value
