"""Linear heads on frozen features into one shared space: contrastive losses, and training from a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from ngw.maps.linear import right_svd
from ngw.nn.losses import infonce, sigmoid
from ngw.nn.optim import Adam
from ngw.products import products
from ngw.seeds import torch_generator

RIDGE = 1.0  # of the coordinates in which heads are trained, in units of the mean eigenvalue
AXES = 512  # leading coordinates in which they are trained: more cost time and gain a point at most
WHOLE = 4096  # pairs up to which the frozen features' inner products are kept, [k, k]
BIAS = -10.0  # of the sigmoid loss at the start (SigLIP): most pairs of rows are no pair
LOSSES = {"infonce": infonce, "sigmoid": sigmoid}


@dataclass(frozen=True)
class Recipe:
    """How heads are trained: Adam with a cosine schedule over `steps`, all pairs a step, or `batch` random ones.

    pull: penalty on the squared distance of the heads to where they start, in whitened coordinates.
    temperature: start of the learned one, constant in the structure term.  learning_rate: of heads and temperature.
    negatives: rows without a pair that join each side's batch, as partners of no row; for the sigmoid loss.
    structure, levels: weight and number of scales of the structure term; 0 leaves it out.
    """

    loss: str = "sigmoid"
    pull: float = 0.3
    temperature: float = 0.07
    steps: int = 60
    batch: int = 512
    learning_rate: float = 3e-4
    negatives: int = 0
    structure: float = 0.0
    levels: int = 1


def structure(frozen: Tensor, aligned: Tensor, levels: int, temperature: float) -> Tensor:
    """How far the similarities within a space have changed (STRUCTURE; Gröger et al. 2025).

    frozen [b, b], aligned [b, b]: centred cosines of the same rows, from `cosines`. The rows' softmax at `temperature`
    is a random walk P; its powers P^1 .. P^levels cover ever wider neighbourhoods. Returns the mean over levels l,
    weighted 1/l, of the rows' divergence from their mean.
    """
    p, q = (torch.softmax(s / temperature, 1) for s in (frozen, aligned))
    walk_p, walk_q, total = p, q, p.new_zeros(())
    for level in range(1, levels + 1):
        if level > 1:
            walk_p, walk_q = walk_p @ p, walk_q @ q
        total = total + from_the_mean(walk_p, walk_q) / level
    return total / levels


def from_the_mean(p: Tensor, q: Tensor) -> Tensor:
    """Mean over rows of (KL(m | p) + KL(m | q)) / 2 in nats, m the mean of the distributions p, q [b, c].

    The Jensen-Shannon divergence, which the paper names, has KL(p | m) instead; it is several times smaller where a
    walk's rare steps differ by factors.  The authors trained with the divergence here, and chose their weight for it.
    """
    log_p, log_q, log_m = (z.clamp_min(1e-12).log() for z in (p, q, (p + q) / 2))
    return ((p + q) / 2 * (log_m - (log_p + log_q) / 2)).sum(1).mean()


def cosines(rows: Tensor) -> Tensor:
    """Inner products [b, b] of rows [b, d] brought to unit length, then centred, as STRUCTURE's authors do."""
    rows = normalize(rows, dim=1)
    return centred(rows @ rows.T)


def centred(gram: Tensor) -> Tensor:
    """Inner products [b, b] of the rows minus their mean, from those of the rows."""
    return gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()


class Side:
    """One side's head, start + white @ delta: `delta` [r, w] is learned, from 0, on whitened coordinates of the pairs.

    x [k, d]: the pairs' features; the head cannot leave their span. start [d, w]: brought to outputs of unit mean
    square norm, so that `delta` has a scale.  rest [m, d]: rows without a pair.
    """

    def __init__(self, x: np.ndarray, start: np.ndarray, rest: np.ndarray | None = None) -> None:
        some = x[: 2 * AXES]  # enough pairs for the coordinates, at a third of the time of 3000
        s, vt = right_svd(some)
        scale = np.sqrt(len(some) / (s**2 + RIDGE * (s**2).mean()))
        self.white = vt[:AXES].T * scale[:AXES]  # [d, r]
        self.start = start / max(float(np.sqrt(((x @ start) ** 2).sum(1).mean())), 1e-12)
        self.x, self.z, self.base = (torch.from_numpy(a) for a in (x, x @ self.white, x @ self.start))
        self.rest = torch.from_numpy(x[:0] if rest is None else rest)
        self.gram: Tensor | None = None
        self.restart()

    def restart(self) -> None:
        """Back to the start."""
        self.delta = torch.zeros(self.white.shape[1], self.start.shape[1], requires_grad=True)

    def __call__(self, rows: Tensor) -> Tensor:
        return normalize(self.base[rows] + self.z[rows] @ self.delta, dim=1)  # [b, w]

    def negatives(self, rows: Tensor) -> Tensor:
        """Rows without a pair under the head, [b, w]."""
        z, dtype = self.rest[rows], self.base.dtype
        start, white = (torch.from_numpy(a).to(dtype) for a in (self.start, self.white))
        return normalize(z @ start + z @ white @ self.delta, dim=1)

    def cosines(self, rows: Tensor) -> Tensor:
        """`cosines` of the frozen features [b, b]; the products of all pairs are computed once, where memory allows."""
        if len(self.x) > WHOLE:
            return cosines(self.x[rows])
        if self.gram is None:
            unit = normalize(self.x, dim=1)
            self.gram = unit @ unit.T
        return centred(self.gram.index_select(0, rows).index_select(1, rows))

    def head(self) -> np.ndarray:
        """The head as one matrix on features, [d, w]."""
        return self.start + self.white @ self.delta.detach().numpy()


@products()
def train(
    sides: tuple[Side, Side], recipe: Recipe, marks: Sequence[int], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The heads (a [d_x, w], b [d_y, w]) after each number of steps in `marks` (increasing, at most recipe.steps).

    sides: x's and y's, of the same pairs; they begin at their start, whatever was trained before.
    """
    for side in sides:
        side.restart()
    scale = torch.tensor(-np.log(recipe.temperature), dtype=torch.float32, requires_grad=True)
    bias = torch.tensor(BIAS if recipe.loss == "sigmoid" else 0.0, requires_grad=recipe.loss == "sigmoid")
    # A penalty inside the gradient, not AdamW's decay beside it: where few pairs are already told apart the loss is
    # nearly flat, and Adam would walk away from the start at full speed all the same.
    decay = {s.delta: 2 * recipe.pull for s in sides} | {p: 0.0 for p in (scale, bias) if p.requires_grad}
    optimiser = Adam(decay, recipe.learning_rate, recipe.steps, decay.values())
    generator, heads, k = torch_generator(seed, "heads", "batches"), [], len(sides[0].x)
    for step in range(marks[-1] + 1):
        if step in marks:
            heads.append((sides[0].head(), sides[1].head()))
        if step == marks[-1]:
            break
        rows = torch.randperm(k, generator=generator)[: recipe.batch] if k > recipe.batch else torch.arange(k)
        loss = objective(sides, rows, scale, bias, recipe)
        if recipe.negatives:
            far = [torch.randperm(len(s.rest), generator=generator)[: recipe.negatives] for s in sides]
            loss = loss + apart(sides, rows, (far[0], far[1]), scale, bias)
        optimiser.step(loss)
    return heads


def apart(sides: tuple[Side, Side], rows: Tensor, far: tuple[Tensor, Tensor], scale: Tensor, bias: Tensor) -> Tensor:
    """The sigmoid loss's terms for negatives: paired rows against the other side's rows without a pair, all false."""
    (u, v), (left, right) = (side(rows) for side in sides), (s.negatives(i) for s, i in zip(sides, far, strict=True))
    logits = torch.cat([(u @ right.T).flatten(), (left @ v.T).flatten()]) * scale.exp() + bias
    return softplus(logits).sum() / len(rows)


def objective(sides: tuple[Side, Side], rows: Tensor, scale: Tensor, bias: Tensor, recipe: Recipe) -> Tensor:
    """The contrastive loss of a batch of pairs, plus the structure term, the mean over both sides."""
    u, v = (side(rows) for side in sides)
    loss = LOSSES[recipe.loss](u @ v.T * scale.exp() + bias)
    if recipe.structure:
        for side, aligned in zip(sides, (u, v), strict=True):
            change = structure(side.cosines(rows), cosines(aligned), recipe.levels, recipe.temperature)
            loss = loss + recipe.structure / 2 * change
    return loss
