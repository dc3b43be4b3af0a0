"""The dual's Hessian at a solution: its products by blocks of the kernel, and division by it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ngw.ot.cost import multiply, total
from ngw.ot.kernel import Kernel, native
from ngw.ot.solve import Solution

SHIFT = 1e-9  # of its diagonal: the matrix is singular along constants

Linear = Callable[[torch.Tensor], torch.Tensor]


class Hessian:
    """diag(c) + (1 / lam - 1) diag(t) - lam P' diag(1 / P 1) P, the semi-dual's negative Hessian in g at a solution.

    c, t [m]: current and target masses of the columns, in units of the largest t / b.
    P is diag(outer) K diag(weight), and inner K diag(weight) has rows that sum to 1.
    """

    def __init__(self, kernel: Kernel, at: Solution, c: torch.Tensor, t: torch.Tensor, lam: float):
        self.kernel, self.lam, self.diagonal = kernel, lam, c + (1 / lam - 1) * t
        self.weight = kernel.b * at.v
        share = torch.exp(at.f / lam - kernel.f)  # makes K b v p the mean of p under each row's conditional
        rows = kernel.a.double() * torch.exp(at.f * (1 - 1 / lam) - (at.g * (1 - 1 / lam)).max())  # P 1
        self.inner, self.outer = share.to(kernel.a.dtype), (rows * share).to(kernel.a.dtype)

    def product(self, p: torch.Tensor) -> torch.Tensor:
        """The product with p, one pass over exact rows: rounding would exceed the curvature of the slow directions."""
        sums, strip = torch.zeros_like(self.kernel.b), self.kernel.strip
        right, native_sums = native(self.weight * p.to(self.weight.dtype)), native(sums)
        inner, outer = native(self.inner), native(self.outer)
        for rows, block in self.kernel.blocks():
            for k in range(0, len(block), strip):
                part = native(block[k : k + strip])
                i = slice(rows.start + k, rows.start + k + len(part))
                native_sums += (outer[i] * (inner[i] * (part @ right))) @ part
        return self.diagonal * p - self.lam * total((self.weight * sums).double(), self.kernel.group)

    def divide(self, r: torch.Tensor) -> torch.Tensor:
        """Division by the diagonal without the products: a preconditioner that costs nothing."""
        return r / self.diagonal

    def inverse(self) -> Linear:
        """Division by the whole matrix, from its Cholesky factor."""
        squares = torch.zeros(len(self.weight), len(self.weight), dtype=torch.float64, device=self.weight.device)
        one = torch.empty_like(squares)
        for rows, block in self.kernel.blocks():
            part = (self.lam * self.inner[rows] * self.outer[rows]).sqrt()[:, None] * block * self.weight
            squares += multiply(part.T, part, out=one)
        lower = torch.linalg.cholesky(torch.diag(self.diagonal * (1 + SHIFT)) - total(squares, self.kernel.group))

        def solve(r: torch.Tensor) -> torch.Tensor:  # twice as fast as torch.cholesky_solve, on one column
            half = torch.linalg.solve_triangular(lower, r[:, None], upper=False)
            return torch.linalg.solve_triangular(lower.T, half, upper=True)[:, 0]

        return solve
