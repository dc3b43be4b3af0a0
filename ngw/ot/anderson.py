"""Anderson acceleration of a fixed-point map, with safeguards: restarts where the error grows, no singular system."""

from __future__ import annotations

import torch

LEAP = 100.0  # growth of the error beyond which a point is no place to go on from


class Anderson:
    """Type II mixing of the last `memory` residuals (Walker and Ni 2011), in float64.

    `step(x, r, error)` takes the point x, its residual r = G(x) - x and any measure of the error, and returns the next
    point.  When the error grows twofold over the best one, the history is dropped and plain steps are taken: one the
    first time, then 2, 4, ..., so that in the worst case the iteration ends as the plain one, which converges.  They
    start from this point, or, when the error has grown by `LEAP`, from the best one.
    """

    def __init__(self, weights: torch.Tensor, memory: int = 10, furthest: float = 30.0, condition: float = 1e-10):
        self.root = weights.sqrt()  # residuals count by their mass
        self.memory, self.furthest, self.condition = memory, furthest, condition
        self.points: list[torch.Tensor] = []
        self.residuals: list[torch.Tensor] = []
        self.best, self.plain, self.restarts = float("inf"), 0, 0
        self.found: tuple[torch.Tensor, torch.Tensor] | None = None  # the best point and its residual

    def step(self, x: torch.Tensor, r: torch.Tensor, error: float) -> torch.Tensor:
        if self.found is not None and not error <= 2 * self.best:
            self.plain, self.restarts = 2**self.restarts, self.restarts + 1
            self.restart()
            if error <= LEAP * self.best:
                self.best, self.found = error, (x, r)
            else:
                x, r = self.found
        elif error < self.best:
            self.best, self.found = error, (x, r)
        if self.plain > 0:
            self.plain -= 1
            return x + r
        self.points, self.residuals = [*self.points, x][-self.memory - 1 :], [*self.residuals, r][-self.memory - 1 :]
        if len(self.points) == 1:
            return x + r
        move = r - self._correction(r)
        if not bool(torch.isfinite(move).all()):
            self.restart()
            return x + r
        return x + move.clamp(-self.furthest, self.furthest)

    def restart(self) -> None:
        """Forget the history."""
        self.points, self.residuals = [], []

    def shift(self, constant: torch.Tensor) -> None:
        """The map has become G + constant, and so have the residuals; earlier errors no longer count."""
        self.residuals, self.best = [r + constant for r in self.residuals], float("inf")

    def _correction(self, r: torch.Tensor) -> torch.Tensor:
        """(dX + dF) argmin |r - dF gamma|, by a truncated eigendecomposition of the weighted normal equations."""
        points, residuals = torch.stack(self.points), torch.stack(self.residuals)  # [k + 1, m]
        dx, df = points.diff(dim=0), residuals.diff(dim=0)
        weighted = df * self.root
        values, vectors = torch.linalg.eigh(weighted @ weighted.T)
        inverse = torch.where(values > self.condition * values[-1], 1 / values, torch.zeros_like(values))
        gamma = vectors @ (inverse * (vectors.T @ (weighted @ (r * self.root))))
        return gamma @ (dx + df)
