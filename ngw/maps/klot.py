"""Two linear heads into one space, taught by a plan between the clouds (KLOT) and by the known pairs (InfoNCE)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ngw.nn import losses
from ngw.nn.optim import Adam
from ngw.ot import sinkhorn
from ngw.ot.klot import klot
from ngw.products import products

BLOCK = 512  # rows of the plan that are computed at a time


@dataclass(frozen=True)
class Training:
    """Adam with a cosine schedule. epsilon: the student's, in units of its cosine; paired: weight of the known pairs
    beside KLOT; temperature: of their InfoNCE."""

    steps: int
    batch: int
    learning_rate: float
    epsilon: float
    paired: float
    temperature: float


class Teacher:
    """The plan between two clouds that a teacher's space implies: known pairs first, entropic transport for the rest.

    Kept as potentials; a block of it is computed when a batch needs it.
    u [n, e], v [m, e]: unit rows; pairs [k, 2], share [k]: the mass on the known pairs; a [n], b [m]: the rest.
    epsilon: in units of the mean cost, 1 - cosine.
    """

    def __init__(
        self, u: np.ndarray, v: np.ndarray, pairs: np.ndarray, share: np.ndarray, a: np.ndarray, b: np.ndarray,
        epsilon: float, max_iter: int = 500, tol: float = 1e-3,
    ) -> None:  # fmt: skip
        self.u, self.v, self.epsilon = torch.from_numpy(u), torch.from_numpy(v), epsilon
        self.f, self.g = torch.full((len(u),), -torch.inf), torch.full((len(v),), -torch.inf)  # log scalings
        self.converged, self.reason = True, ""
        self.pairs, self.share = torch.from_numpy(pairs), torch.from_numpy(share).float()
        rows, columns = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
        if len(rows):
            plan = sinkhorn(
                u[rows], v[columns], epsilon=epsilon, cost="cosine", a=a[rows], b=b[columns],
                max_iter=max_iter, tol=tol,
            )  # fmt: skip
            self.epsilon, self.converged, self.reason = plan.epsilon, bool(plan.converged), str(plan.reason)
            self.f[rows] = torch.from_numpy(np.log(a[rows]) + plan.f / plan.epsilon).float()
            self.g[columns] = torch.from_numpy(np.log(b[columns]) + plan.g / plan.epsilon).float()
        self.y_of, self.x_of = self._partners()

    def block(self, i: Tensor, j: Tensor) -> Tensor:
        """The plan's rows i and columns j (each without repeats), [len(i), len(j)]."""
        block = torch.exp(self.f[i, None] + self.g[j] + (self.u[i] @ self.v[j].T - 1) / self.epsilon)
        row, column = torch.full((len(self.u),), -1), torch.full((len(self.v),), -1)
        row[i], column[j] = torch.arange(len(i)), torch.arange(len(j))
        at = row[self.pairs[:, 0]], column[self.pairs[:, 1]]
        inside = (at[0] >= 0) & (at[1] >= 0)
        block[at[0][inside], at[1][inside]] += self.share[inside]
        return block

    def _partners(self) -> tuple[Tensor, Tensor]:
        """(row of y with the most mass for each x [n], row of x for each y [m])."""
        y_of, most = torch.empty(len(self.u), dtype=torch.long), torch.full((len(self.v),), -1.0)
        x_of, columns = torch.zeros(len(self.v), dtype=torch.long), torch.arange(len(self.v))
        for rows in torch.arange(len(self.u)).split(BLOCK):
            block = self.block(rows, columns)
            y_of[rows] = block.argmax(1)
            mass, row = block.max(0)
            x_of = torch.where(mass > most, rows[row], x_of)
            most = torch.maximum(mass, most)
        return y_of, x_of

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """At most `size` rows of either cloud: half at random, half the partners of the other cloud's random rows.

        Among independent rows few would meet their partners, and the plan's block would be nearly empty.
        """
        if max(len(self.u), len(self.v)) <= size:
            return torch.arange(len(self.u)), torch.arange(len(self.v))
        i, j = (torch.randperm(len(z), generator=generator)[: size // 2] for z in (self.u, self.v))
        return torch.cat([i, self.x_of[j]]).unique(), torch.cat([j, self.y_of[i]]).unique()


def infonce(u: Tensor, v: Tensor, pairs: Tensor, temperature: float) -> Tensor:
    """Contrastive loss both ways of the pairs' unit rows u [k, e], v [k, e]; pairs [k, 2] says whose rows they are:
    a row's other partners are no negatives of it (van den Oord et al. 2018)."""
    scores = u @ v.T / temperature
    shared = (pairs[:, None, 0] == pairs[:, 0]) | (pairs[:, None, 1] == pairs[:, 1])
    return losses.infonce(scores.masked_fill(shared.fill_diagonal_(False), -torch.inf))


@products()
def fit(
    x: np.ndarray, y: np.ndarray, pairs: np.ndarray, teacher: Teacher, start: tuple[np.ndarray, np.ndarray],
    training: Training, generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The heads (A [d_x, e], B [d_y, e]) that minimise KLOT + paired * InfoNCE, from `start` on.

    A block of a plan is itself the plan of its own marginals: the student's plan is solved for those, so that a batch
    of rows has no bias, and a row whose partners the batch lacks has no weight.
    """
    x, y, pairs = (torch.from_numpy(z) for z in (x, y, pairs))
    heads = [_scaled(z, torch.from_numpy(w)).requires_grad_() for z, w in zip((x, y), start, strict=True)]
    optimiser = Adam(heads, training.learning_rate, training.steps)
    for _ in range(training.steps):
        i, j = teacher.batch(training.batch, generator)
        target = teacher.block(i, j)
        affinity = normalize(x[i] @ heads[0]) @ normalize(y[j] @ heads[1]).T
        loss = klot(affinity, target / target.sum(), training.epsilon)
        if training.paired:
            p = pairs[torch.randperm(len(pairs), generator=generator)[: training.batch]]
            u, v = normalize(x[p[:, 0]] @ heads[0]), normalize(y[p[:, 1]] @ heads[1])
            loss = loss + training.paired * infonce(u, v, p, training.temperature)
        optimiser.step(loss)
    a, b = (w.detach().numpy() for w in heads)
    return a, b


def _scaled(z: Tensor, w: Tensor) -> Tensor:
    """w scaled so that z @ w has a root mean square norm of 1: one learning rate then suits all."""
    return w / (z @ w).square().sum(1).mean().sqrt().clamp_min(1e-12)
