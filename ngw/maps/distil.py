"""A linear student of a teacher's features and of its similarity distribution, started from ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, kl_div, log_softmax, normalize, softmax

from ngw.maps.linear import ridge, right_svd
from ngw.nn.optim import Adam
from ngw.products import products
from ngw.seeds import torch_generator

AXES = 256  # leading coordinates of the student's input in which it is trained


def feature(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine between rows of [b, d]."""
    return (1 - cosine_similarity(student, teacher, dim=1)).mean()


def relation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL divergence, mean over rows, of the student's softmax over cosines to the other rows from the teacher's.

    student, teacher: [b, d], b at least 2.  An item's cosine to itself is left out.
    """
    own = torch.eye(len(student), dtype=torch.bool)
    logits, targets = (
        ((normalize(z, dim=1) @ normalize(z, dim=1).T) / temperature)[~own].view(len(z), -1) for z in (student, teacher)
    )
    return kl_div(log_softmax(logits, 1), softmax(targets, 1), reduction="batchmean")


def across(student: Tensor, partners: Tensor, u: Tensor, v: Tensor, temperature: float) -> Tensor:
    """KL divergence, mean over rows, of the student's softmax over cosines to all partners from a joint teacher's.

    student, partners: [b, d]; u, v: the teacher's features [b, e] of the student's inputs and of their partners.
    """
    logits, targets = (
        normalize(one, dim=1) @ normalize(other, dim=1).T / temperature for one, other in ((student, partners), (u, v))
    )
    return kl_div(log_softmax(logits, 1), softmax(targets, 1), reduction="batchmean")


@products()
def train(
    x: np.ndarray, y: np.ndarray, relational: float, marks: Sequence[int], temperature: float, batch: int,
    learning_rate: float, seed: int, joint: tuple[np.ndarray, np.ndarray] | None = None,
    group: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Students (w [d_x, d_y], b [d_y]) after each number of steps in `marks`, which increase.

    x [k, d_x]: the student's input; y [k, d_y]: the teacher's features of the same items.  joint: a joint teacher's
    features of x's items and of their partners, [k, e] each, whose similarities are imitated instead of y's own.
    group [k]: as `ridge`'s, for the start.
    """
    w, b, _ = ridge(x, y, group=group)
    s, vt = right_svd(x)
    white = (vt[:AXES].T * np.sqrt(len(x) / (s**2 + (s**2).mean()))[:AXES]).astype(np.float32)  # [d_x, r]
    z, base, target = (torch.tensor(a, dtype=torch.float32) for a in (x @ white, x @ w + b, y))
    sides = [] if joint is None else [torch.tensor(a, dtype=torch.float32) for a in joint]
    change = torch.zeros(z.shape[1], y.shape[1], requires_grad=True)
    optimiser = Adam([change], learning_rate, max(marks))
    generator, maps = torch_generator(seed, "distillation", "batches"), []
    for step in range(max(marks) + 1):
        if step in marks:
            maps.append((w + (white @ change.detach().numpy()).astype(w.dtype), b))
        if step == max(marks):
            break
        rows = torch.randperm(len(x), generator=generator)[:batch]
        image = base[rows] + z[rows] @ change
        loss = feature(image, target[rows])
        if relational and not sides:
            loss = loss + relational * relation(image, target[rows], temperature)
        elif relational:
            loss = loss + relational * across(image, target[rows], sides[0][rows], sides[1][rows], temperature)
        optimiser.step(loss)
    return maps
