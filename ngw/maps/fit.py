"""Fits T_AB and T_BA together to the barycentric targets of a plan; everything stays in memory, no loader."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ngw.features.clouds import groups, groups_of_rows
from ngw.maps import networks, objective
from ngw.maps.linear import procrustes, ridge
from ngw.maps.objective import Weights
from ngw.nn.training import Schedule, train
from ngw.seeds import entropy, rng

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Training:
    """How long and how fast: Adam with a cosine schedule, stopped on held-out targets."""

    steps: int = 100
    batch: int = 256
    learning_rate: float = 5e-4
    held_out: float = 0.1  # share of rows, known pairs included, held out to stop training
    every: int = 10  # steps between evaluations on the held-out rows
    patience: int = 3  # evaluations without improvement

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 2 or self.every < 1 or self.patience < 1:
            found = f"{self.steps}, {self.batch}, {self.every} and {self.patience}"
            raise ValueError(f"steps is 0 or more, batch 2 or more, every and patience 1 or more, not {found}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is a share in (0, 1), not {self.held_out}")


@dataclass
class Targets:
    """The maps' targets by a plan. x [n, d_x], y [m, d_y]; to_y [n, d_y] and to_x [m, d_x] barycentric projections;
    pairs [k, 2] the known pairs; weight_x [n], weight_y [m], of mean 1, how much each target counts."""

    x: np.ndarray
    y: np.ndarray
    to_y: np.ndarray
    to_x: np.ndarray
    pairs: np.ndarray
    weight_x: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))  # empty: ones
    weight_y: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        if not len(self.weight_x):
            self.weight_x = np.ones(len(self.x), np.float32)
        if not len(self.weight_y):
            self.weight_y = np.ones(len(self.y), np.float32)


@dataclass
class Fitted:
    """The maps' parameters by name ("ab", "ba"), and the training curve: one row per evaluation.

    curve: step; train, L_total of the batch before it, NaN at step 0; held_out, L_AB + L_BA on the held-out rows.
    """

    ab: dict[str, np.ndarray]
    ba: dict[str, np.ndarray]
    curve: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "train": [], "held_out": []})


def split(targets: Targets, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out rows of x and of y (bool [n], [m]) and of the pairs (bool [k]): a pair goes with its two rows.

    Pairs that share a row go together.  Clouds too small for a share hold out one group of pairs, or row 0 of each.
    Raises `ValueError` where the pairs tie all rows of a cloud together, so that none can be held out.
    """
    stream, sizes = rng(seed, "maps", "held-out"), (len(targets.x), len(targets.y))
    group = groups(targets.pairs)
    pair = stream.random(len(group))[group] < share
    held = []
    for known, n in zip(targets.pairs.T, sizes, strict=True):
        rows = stream.random(n) < share
        rows[known] = False
        rows[known[pair]] = True
        held.append(rows)
    if any(rows.all() or not rows.any() for rows in held):
        pair = group == 0
        first = targets.pairs[pair] if len(group) else np.zeros((1, 2), np.int64)
        held = [np.isin(np.arange(n), known) for known, n in zip(first.T, sizes, strict=True)]
    if any(rows.all() for rows in held):
        raise ValueError("pairs: expected rows to hold out, found that the pairs tie all rows together; pass fewer.")
    return held[0], held[1], pair


def fit(targets: Targets, arch: str, hidden: int, weights: Weights, training: Training, seed: int) -> Fitted:
    """Minimise L_total (proposal 2.3, 2.5) over both maps, from the closed-form linear solution.

    targets: float32, centred, unit mean square norm; arch, hidden: as in `networks.init`.
    Returns the parameters that were best on the held-out rows' L_AB + L_BA.
    """
    if arch == "orthogonal":  # solved in closed form: cycle is zero, injectivity and smoothness are given by the scale
        return _orthogonal(targets)
    held_x, held_y, held_pair = split(targets, training.held_out, seed)
    sides = (
        ("ab", targets.x, targets.to_y, targets.weight_x, held_x),
        ("ba", targets.y, targets.to_x, targets.weight_y, held_y),
    )
    closed = [
        ridge(z[~held], t[~held], w[~held], groups_of_rows(targets.pairs, len(z), side)[~held])
        for side, (_, z, t, w, held) in enumerate(sides)
    ]
    start = [
        networks.init(arch, z.shape[1], t.shape[1], hidden, rng(seed, "maps", name), (w, b))
        for (name, z, t, *_), (w, b, _) in zip(sides, closed, strict=True)
    ]
    # For a linear map L_smooth is |w|^2: with the penalty of its ridge regression the start minimises L_AB + L_smooth.
    smoothness = [c[2] if weights.smoothness is None else weights.smoothness for c in closed]
    ab, ba = ({k: torch.tensor(v, requires_grad=True) for k, v in p.items()} for p in start)
    data = Data(targets, held_x, held_y, held_pair)
    generator = torch.Generator().manual_seed(entropy(seed, "maps", "batches") % 2**63)
    margins = [weights.margin * objective.mean_distance(z, 1) for z in (data.y, data.x)]

    def loss(_: None) -> Tensor:
        return data.loss(ab, ba, weights, smoothness, margins, training.batch, generator)

    parameters = {f"{name} {k}": v for name, side in (("ab", ab), ("ba", ba)) for k, v in side.items()}
    schedule = Schedule(training.steps, training.learning_rate, training.every, training.patience)
    trained = train(parameters, lambda step: None, loss, lambda: data.held_out_loss(ab, ba), schedule, label="")
    curve = {name: [float("nan") if v is None else v for v in values] for name, values in trained.curve.items()}
    arrays = [{k: v.detach().numpy().copy() for k, v in side.items()} for side in (ab, ba)]
    return Fitted(arrays[0], arrays[1], curve)


def _orthogonal(t: Targets) -> Fitted:
    """A rotation and a scale, and their inverse; the curve has one evaluation, on the rows of the fit."""
    rotation, b, scale = procrustes(t.x, t.to_y, t.y, t.to_x, (t.weight_x, t.weight_y))
    ab = {"w": scale * rotation, "b": b}
    ba = {"w": rotation.T / scale, "b": -b @ rotation.T / scale}
    sides = ((ab, t.x, t.to_y, t.weight_x), (ba, t.y, t.to_x, t.weight_y))
    ab, ba = ({k: np.ascontiguousarray(v, np.float32) for k, v in p.items()} for p in (ab, ba))
    error = sum(float((w * ((networks.apply(p, z) - to) ** 2).sum(1)).mean()) for p, z, to, w in sides)
    return Fitted(ab, ba, {"step": [0], "train": [error], "held_out": [float("nan")]})


class Data:
    """The training and held-out rows as tensors."""

    def __init__(self, t: Targets, held_x: np.ndarray, held_y: np.ndarray, held_pair: np.ndarray) -> None:
        self.x, self.to_y = (torch.from_numpy(a[~held_x]) for a in (t.x, t.to_y))
        self.y, self.to_x = (torch.from_numpy(a[~held_y]) for a in (t.y, t.to_x))
        self.weight_x, self.weight_y = (
            torch.from_numpy(w[~held]) for w, held in ((t.weight_x, held_x), (t.weight_y, held_y))
        )
        self.held = [
            [torch.from_numpy(a[held]) for a in side]
            for held, *side in ((held_x, t.x, t.to_y, t.weight_x), (held_y, t.y, t.to_x, t.weight_y))
        ]
        pairs = t.pairs[~held_pair]
        self.pair_x, self.pair_y = torch.from_numpy(t.x[pairs[:, 0]]), torch.from_numpy(t.y[pairs[:, 1]])

    def held_out_loss(self, ab: Parameters, ba: Parameters) -> float:
        """L_AB + L_BA on the held-out rows."""
        with torch.no_grad():
            return sum(
                float(objective.squared_error(networks.apply(p, z), target, weights))
                for p, (z, target, weights) in zip((ab, ba), self.held, strict=True)
                if len(z)
            )

    def loss(
        self, ab: Parameters, ba: Parameters, weights: Weights, smoothness: list[float], margins: list[float],
        batch: int, generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """L_total on one random batch of each cloud and of the known pairs."""
        there, back = partial(networks.apply, ab), partial(networks.apply, ba)
        i, j = (_batch(z, batch, generator) for z in (self.x, self.y))
        x, y = self.x[i].requires_grad_(), self.y[j].requires_grad_()  # for the Jacobian
        image_x, image_y = there(x), back(y)
        error = objective.squared_error
        total = error(image_x, self.to_y[i], self.weight_x[i]) + error(image_y, self.to_x[j], self.weight_y[j])
        if weights.cycle:
            total = total + weights.cycle * (error(back(image_x), x) + error(there(image_y), y))
        if weights.injectivity and min(len(x), len(y)) > 1:
            shift = int(torch.randint(1, min(len(x), len(y)), (), generator=generator))
            for image, margin in zip((image_x, image_y), margins, strict=True):
                total = total + weights.injectivity * objective.injectivity(image, margin, shift)
        for p, z, image, weight in zip((ab, ba), (x, y), (image_x, image_y), smoothness, strict=True):
            if weight:
                total = total + weight * objective.smoothness(p, z, image, generator)
        if weights.paired and len(self.pair_x):
            k = _batch(self.pair_x, batch, generator)
            paired = error(there(self.pair_x[k]), self.pair_y[k]) + error(back(self.pair_y[k]), self.pair_x[k])
            total = total + weights.paired * paired
        return total


def _batch(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Indices of a random batch, with replacement; all rows, once, where they are no more than a batch."""
    if len(rows) <= size:
        return torch.arange(len(rows))
    return torch.randint(len(rows), (size,), generator=generator)
