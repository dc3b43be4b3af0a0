"""The Gibbs kernel around known potentials, walked by row blocks: some blocks are kept, the others made again each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ngw.ot.cost import LOG2E, total

FLOOR = {torch.float32: -120.0, torch.float64: -1000.0}  # bits: less is dust, and denormals make products 5x slower
BLOCK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 30}  # what one matrix product fills: large enough for its full rate
STRIP_BYTES = {"cpu": 1 << 20, "cuda": 1 << 30}  # what stays in a CPU's second-level cache from one operation to the next


class Kernel:
    """K_ij = exp((f_i + g_j - C_ij) / epsilon), f such that every row's largest entry is 1 when it is absorbed.

    The plan is P_ij = a_i u_i K_ij v_j b_j.  From pass to pass only the scalings u and v change; `absorb` moves what they
    grew to into the potentials, so that nothing over- or underflows in float32.
    """

    def __init__(self, cost, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype, memory: float, group=None):
        self.cost, self.group = cost, group
        self.n, self.m = cost.shape
        self.a, self.b = a.to(dtype), b.to(dtype)
        self.f, self.gauge, self.fresh = torch.zeros_like(a), torch.ones_like(self.a), False
        row_bytes = torch.finfo(dtype).bits // 8 * self.m
        self.step, self.strip = (min(self.n, max(8, z[a.device.type] // row_bytes)) for z in (BLOCK_BYTES, STRIP_BYTES))
        if memory >= row_bytes * self.n:
            kept = self.n
        else:
            kept = int(max(0, memory // row_bytes - self.step)) // self.step * self.step
        self.kept = _empty(kept, self.m, self.a)
        self.scratch = _empty(self.step if kept < self.n else 0, self.m, self.a)

    def absorb(self, g: torch.Tensor, lam: float = 1.0) -> None:
        """Take column potentials [m] (units of epsilon, float64); the blocks and f follow in the next walk."""
        self.cost.set_g(g)
        self.cost.set_f(0.0)
        self.lam, self.fresh = lam, True

    def set_potentials(self, f: torch.Tensor, g: torch.Tensor) -> None:
        """Take both potentials as they are; for a kernel that keeps no block."""
        self.cost.set_f(f)
        self.cost.set_g(g)

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """(rows, K[rows]) block by block; a block is valid until the next is asked for, and must not be changed."""
        fresh, self.fresh = self.fresh, False
        for start in range(0, self.n, self.step):
            rows = slice(start, min(start + self.step, self.n))
            stored = rows.stop <= len(self.kept)
            block = self.kept[rows] if stored else self.scratch[: rows.stop - start]
            if fresh or not stored:
                self._fill(rows, block, fresh)
            yield rows, block
        if fresh:
            self.cost.set_f(self.f)

    def _fill(self, rows: slice, block: torch.Tensor, fresh: bool) -> None:
        self.cost.tile(rows, out=block)
        for k in range(0, len(block), self.strip):
            strip = block[k : k + self.strip]
            if fresh:
                top = strip.amax(1, keepdim=True)
                strip.sub_(top)
                self.f[rows.start + k : rows.start + k + len(strip)] = top[:, 0].double() / -LOG2E
            strip.clamp_(min=FLOOR[block.dtype]).exp2_()
        if fresh and self.lam < 1:  # the gauge is u's part that is known as soon as f is
            self.gauge[rows] = ((self.lam - 1) * self.f[rows]).clamp(-80, 80).exp().to(block.dtype)

    def walk(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass: row masses K (b v) [n] with the exact row update u, and column sums K' (a u) [m] over all ranks."""
        masses, sums = torch.empty_like(self.a), torch.zeros_like(self.b)
        a, right, gauge, mass_, sums_ = (_native(z) for z in (self.a, self.b * v, self.gauge, masses, sums))
        for rows, block in self.blocks():
            block = _native(block)
            for k in range(rows.start, rows.stop, self.strip):
                part = slice(k, min(k + self.strip, rows.stop))
                strip = block[part.start - rows.start : part.stop - rows.start]
                mass_[part] = mass = strip @ right
                u = 1 / mass if self.lam == 1 else gauge[part] * mass**-self.lam
                sums_ += (a[part] * u) @ strip
        return masses, total(sums, self.group)

    def scaling(self, masses: torch.Tensor) -> torch.Tensor:
        """log u [n], float64, of the row masses that `walk` gave."""
        return -self.lam * masses.double().log() - (1 - self.lam) * self.f


def softmin(cost, b: torch.Tensor, g: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
    """f_i = -log sum_j b_j exp(g_j - C_ij / epsilon), exactly, for every row: [n], units of epsilon, float64."""
    kernel = Kernel(cost, b.new_ones(cost.shape[0]), b, dtype, memory=0)
    kernel.absorb(g)
    masses, _ = kernel.walk(torch.ones_like(kernel.b))
    return kernel.f - masses.double().log()


def _empty(n: int, m: int, like: torch.Tensor) -> torch.Tensor:
    """[n, m], on a CPU from NumPy, which asks for huge pages: a third of the time of the page faults."""
    if like.device.type == "cpu":
        return torch.from_numpy(np.empty((n, m), dtype=_native(like).dtype))
    return torch.empty(n, m, dtype=like.dtype, device=like.device)


def _native(value: torch.Tensor):
    """The array whose `@` is fastest where it lies: NumPy's on a CPU (no dispatch, OpenBLAS), torch's on a GPU."""
    return value.numpy() if value.device.type == "cpu" else value
