"""What the maps minimise: proposal 2.3 (barycentric targets, cycle), 2.5 (injectivity, smoothness), known pairs.

Clouds are centred with unit mean square norm, so each term is a share of its cloud's variance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """The objective's coefficients; 0 leaves a term out."""

    cycle: float = 0.1  # lambda of 2.3
    injectivity: float = 0.01
    smoothness: float | None = None  # None: the ridge penalties that leave-one-out picks, one a direction
    paired: float = 0.1
    margin: float = 0.5  # delta of 2.5, in units of the mean pairwise distance of the target cloud

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is 0 or more, not {value}")


def squared_error(image: Tensor, target: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """mean_i weights_i |image_i - target_i|^2, [b, d] both; weights [b].

    L_AB (2.3) with image T_AB(z_A) and the barycentric projections as target; half of L_cycle with T_BA(T_AB(z_A))
    and z_A; the paired term with T_AB of a known pair's one side and its other side.
    """
    return (weights * (image - target).square().sum(1)).mean()


def injectivity(image: Tensor, margin: Tensor | float, shift: int) -> Tensor:
    """L_inj (2.5) on sampled pairs i != j: mean max(0, margin - |T(z_i) - T(z_j)|), image = T(z) [b, d].

    Row i meets row i + shift (cyclic, 0 < shift < b): b of the b (b - 1) ordered pairs a call.
    """
    # The square root's gradient at 0 is infinite: only the other terms move a pair that collides exactly.
    squared = (image - image.roll(shift, 0)).square().sum(1)
    return (margin - squared.clamp_min(1e-12).sqrt()).clamp_min(0).mean()


def smoothness(p: Mapping[str, Tensor], z: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
    """L_smooth (2.5), mean |J_T(z_i)|_F^2: exact where the map is linear, whose Jacobian is w, else an estimate.

    image [b, d_b] = T(z), computed from a z [b, d_a] that requires a gradient.
    """
    if "w1" not in p:
        return p["w"].square().sum()
    return hutchinson(z, image, torch.randint(0, 2, image.shape, generator=generator).to(z) * 2 - 1)


def hutchinson(z: Tensor, image: Tensor, probe: Tensor) -> Tensor:
    """mean |J_T(z_i)|_F^2 by Hutchinson's estimate (Hutchinson 1990), one vector-Jacobian product.

    image [b, d_b] = T(z) is the one that the other terms use: computing it again would cost a quarter of the estimate.
    probe [b, d_b] has independent entries of mean 0 and variance 1 (signs): E |J' v|^2 = |J|_F^2.
    """
    (product,) = torch.autograd.grad(image, z, probe, create_graph=True)
    return product.square().sum(1).mean()


def smoothness_exact(t: Map, z: Tensor) -> Tensor:
    """L_smooth (2.5) from the whole Jacobian of each row; for tests and small clouds."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: t(row[None])[0]))(z)  # [b, d_b, d_a]
    return jacobian.square().sum((1, 2)).mean()


def mean_distance(z: Tensor, shift: int) -> float:
    """The mean distance of row i to row i + shift: the unit of the margin."""
    return float((z - z.roll(shift, 0)).norm(dim=1).mean())
