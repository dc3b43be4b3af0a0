"""A fitted method's two maps, each split into its affine parts and the one part that need not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ngw.methods.base import Method

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Direction:
    """T_AB ("ab") or T_BA ("ba"): `whole` is `into` (affine), then `core`, then `out` (affine).

    mean [d], scale [] or [1]: centre and spread of the cloud that it maps.
    """

    name: str
    into: Map
    core: Map
    out: Map
    whole: Map
    mean: np.ndarray
    scale: np.ndarray


def directions(method: Method) -> tuple[Direction, Direction]:
    """T_AB and T_BA of a fitted method."""
    m = method
    return (
        Direction("ab", m._x, m._to_y, m._from_y, m.transform, m.x_mean_, m.x_scale_),
        Direction("ba", m._y, m._to_x, m._from_x, m.inverse_transform, m.y_mean_, m.y_scale_),
    )
