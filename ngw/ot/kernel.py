"""The Gibbs kernel around known potentials, walked by row blocks: kept in memory, or computed again in every pass."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from ngw.ot.cost import LOG2E, log_total, total

TOP = 15.0  # bits: a row's largest entry where rows are kept in float16, which spans 2^-24 .. 2^15; else it is 1
FLOOR = {torch.float16: -24.0, torch.float32: -120.0, torch.float64: -1000.0}  # less is raised to it: denormals cost 5x
CEILING = 100.0  # bits: only points without weight can lie higher, and their products with 0 must be 0
HALF = {torch.float32: torch.float16, torch.float64: torch.float32}  # what is kept where the kernel does not fit
# What one matrix product fills: large enough for its full rate, which needs many rows too, since it reads all columns.
BLOCK_BYTES, BLOCK_ROWS, MOST_BYTES = {"cpu": 1 << 24, "cuda": 1 << 30}, 320, 1 << 29
STRIP_BYTES = {"cpu": 1 << 20, "cuda": 1 << 30}  # what stays in a CPU's cache from one operation to the next


class Kernel:
    """K_ij = exp((f_i + g_j - C_ij) / epsilon); the plan is P_ij = a_i u_i K_ij v_j b_j.

    From pass to pass only the scalings u and v change; `absorb` moves their growth into the potentials, so nothing
    over- or underflows.  Where all rows fit in `memory` bytes, K is kept in full.  Otherwise as many rows as fit are
    kept in half the precision, and the others computed again in every pass, also in half the precision where that is
    faster.  Then K is `rounded`, and `exact` walks and blocks compute every row again without that rounding.
    """

    def __init__(
        self, cost, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype, memory=0.0, rounding=False, group=None
    ):
        self.cost, self.group = cost, group
        self.n, self.m = cost.shape
        self.a, self.b = a.to(dtype), b.to(dtype)
        self.f, self.shift, self.fresh, self.lam = torch.zeros_like(a), 0.0, False, 1.0
        row = self.m * torch.finfo(dtype).bits // 8  # bytes
        block, strip = BLOCK_BYTES[a.device.type], STRIP_BYTES[a.device.type]
        block = max(block, min(BLOCK_ROWS * row, MOST_BYTES))
        self.step, self.strip = (min(self.n, max(8, size // row)) for size in (block, strip))
        short = _any(memory < self.n * row, a.device, group)
        rows = max(0, int(memory / row) - 2 * self.step) * 2 // self.step * self.step if short else self.n
        self.kept = _empty(min(self.n, rows), self.m, HALF[dtype] if short else dtype, a.device)
        self.coarse = cost.coarsen() if short and rounding and len(self.kept) < self.n else None
        self.rounded = short and _any(len(self.kept) > 0 or self.coarse is not None, a.device, group)
        self.top = TOP if self.rounded and len(self.kept) else 0.0
        remade = self.step if short or cost.dtype != dtype else 0
        kinds = {cost.dtype, dtype, self.coarse or dtype}
        self.tiles = {kind: torch.empty(remade, self.m, dtype=kind, device=a.device) for kind in kinds}

    @property
    def two_sided(self) -> bool:
        """Whether it serves columns as well as rows: all of it is kept, and no column underflows, since each keeps its
        weight where marginals are exact; where they aren't, a far column can underflow in float32."""
        return len(self.kept) == self.n and not self.rounded and not self.fresh and self.lam == 1

    def absorb(self, g: torch.Tensor | float, lam: float = 1.0, masses: torch.Tensor | None = None) -> None:
        """Take column potentials g [m] (units of epsilon, float64).

        f follows: from the row masses of the last walk where no row is kept, else from the rows' tops in the next walk.
        """
        self.fresh, self.lam, self.shift = masses is None or len(self.kept) > 0, lam, (g - self.cost.q).mean()
        if masses is not None and not self.fresh:
            self.f = self.f - masses.double().log()
        # The constant, and the rows' own part where f is not known yet, stay out of the tiles, which would round them.
        self.cost.set_g(g - self.shift)
        self.cost.set_f(self.cost.p if self.fresh else self.f + self.shift)

    def blocks(self, exact: bool = True) -> Iterator[tuple[slice, torch.Tensor]]:
        """(rows, K[rows]) block by block; a block is valid until the next is requested, and must not be changed."""
        fresh, self.fresh = self.fresh, False
        for start in range(0, self.n, self.step):
            rows = slice(start, min(start + self.step, self.n))
            stored = rows.stop <= len(self.kept) and not (exact and self.rounded)
            block = self.kept[rows] if stored else self.tiles[self.a.dtype][: rows.stop - start]
            if fresh or not stored:
                self._fill(rows, block, fresh, self.cost.dtype if fresh or exact else self.coarse or self.cost.dtype)
            yield rows, block
        if fresh:
            self.cost.set_f(self.f + self.shift)

    def _fill(self, rows: slice, block: torch.Tensor, fresh: bool, dtype: torch.dtype) -> None:
        """block <- K[rows] by exponents of that dtype; fresh: f[rows] too, with each row's largest entry at 2^top."""
        tile = block if block.dtype == dtype else self.tiles[dtype][: len(block)]
        self.cost.tile(rows, out=tile)
        for k in range(0, len(block), self.strip):
            strip, target = tile[k : k + self.strip], block[k : k + self.strip]
            if fresh:
                lift = self.top - strip.amax(1, keepdim=True)
                strip += lift
                part = slice(rows.start + k, rows.start + k + len(strip))
                self.f[part] = self.cost.p[part] - self.shift + lift[:, 0].double() / LOG2E
            if block.dtype == torch.float16:  # too coarse for exponents: rounded last
                target.copy_(strip.clamp_(FLOOR[block.dtype], CEILING).exp2_())
            else:
                strip = strip if tile is block else target.copy_(strip)
                strip.clamp_(FLOOR[block.dtype], CEILING).exp2_()

    def walk(self, v: torch.Tensor, exact: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass: row masses K (b v) [n] and, after the exact row update u, float64 log K' (a u) [m] of all ranks."""
        masses, sums = torch.empty_like(self.a), torch.zeros_like(self.b)
        right, native_masses, native_sums = (native(z) for z in (self.b * v, masses, sums))
        wide = torch.empty(self.strip if self.rounded else 0, self.m, dtype=self.a.dtype, device=self.a.device)
        unit = torch.tensor(-math.inf, dtype=torch.float64, device=self.a.device)  # log of what sums are counted in
        for rows, block in self.blocks(exact):
            left, unit = self._left(rows, unit, sums)
            for k in range(0, len(block), self.strip):
                strip = block[k : k + self.strip]
                strip = native(strip if strip.dtype == masses.dtype else wide[: len(strip)].copy_(strip))
                mass = strip @ right
                native_masses[rows.start + k : rows.start + k + len(strip)] = mass
                native_sums += (left[k : k + len(strip)] / (mass if self.lam == 1 else mass**self.lam)) @ strip
        return masses, log_total(sums.clamp_(min=torch.finfo(sums.dtype).tiny), unit, self.group)

    def _left(self, rows: slice, unit: torch.Tensor, sums: torch.Tensor):
        """(a times u's factor beside the row masses, in units of exp(unit); the unit), which can grow, with sums."""
        if self.lam == 1:
            return native(self.a[rows]), torch.zeros_like(unit)
        log_u = (self.lam - 1) * self.f[rows]
        new = torch.maximum(unit, log_u.max())
        sums *= torch.exp(unit - new)
        return native(self.a[rows] * torch.exp(log_u - new).to(self.a.dtype)), new

    def row_potentials(self, masses: torch.Tensor) -> torch.Tensor:
        """The updated f [n] (units of epsilon, float64), absorbed plus log u, of the row masses that `walk` gave."""
        return self.lam * (self.f - masses.double().log())

    def drop(self) -> None:
        """Stop using rounded rows."""
        if self.rounded:
            self.kept, self.coarse, self.rounded, self.cost.coarse = self.kept[:0].clone(), None, False, None


class KernelT:
    """A two-sided kernel seen from its columns, without a second kernel.

    Has what a `Coupling` reads: b [n], the kernel's a; f [m], the absorbed column potentials.
    """

    two_sided = False  # its own transpose needs a new kernel

    def __init__(self, kernel: Kernel, f: torch.Tensor) -> None:
        self.kernel, self.b, self.f = kernel, kernel.a, f
        self.step = min(kernel.m, max(8, BLOCK_BYTES[kernel.a.device.type] // (kernel.n * kernel.a.element_size())))

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """(columns, K[:, columns]') block by block: views, which must not be changed."""
        for start in range(0, self.kernel.m, self.step):
            columns = slice(start, min(start + self.step, self.kernel.m))
            yield columns, self.kernel.kept[:, columns].T


def softmin(cost, b: torch.Tensor, g: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
    """f_i = -log sum_j b_j exp(g_j - C_ij / epsilon), exactly, for every row: [n], units of epsilon, float64."""
    kernel = Kernel(cost, b.new_ones(cost.shape[0]), b, dtype)
    kernel.absorb(g)
    masses, _ = kernel.walk(torch.ones_like(kernel.b))
    return kernel.f - masses.double().log()


def _any(flag: bool, device: torch.device, group) -> bool:
    """Whether the flag is set on any rank: ranks must agree on how they walk."""
    return bool(total(torch.tensor(int(flag), device=device), group))


def _empty(n: int, m: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[n, m]; on a CPU from NumPy, which asks for huge pages: a third of the time of the page faults."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty((n, m), dtype=str(dtype).removeprefix("torch.")))
    return torch.empty(n, m, dtype=dtype, device=device)


def native(value: torch.Tensor):
    """The array whose `@` is fastest where it lies: NumPy's on a CPU (no dispatch, OpenBLAS), torch's on a GPU."""
    return value.numpy() if value.device.type == "cpu" else value
