"""A baseline from outside: affine maps from the user's own program, in any language and environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ngw.errors import InputError
from ngw.methods._clouds import check_cloud, check_pairs
from ngw.methods.base import Method
from ngw.options import option


@dataclass(eq=False, repr=False)
class Outside(Method):
    """T_AB(x) = x ab + ab_offset and T_BA(y) = y ba + ba_offset, as written by the program's own rule.

    Its stages are export-clouds and adopt-maps (`rules/outside.smk`).  `hubness: true` removes hubs from its
    comparison; held-out pairs can't choose that, since the program would have to run again.
    """

    pairs: str = option("some", among=("none", "some", "all"))  # the known pairs that the program gets

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return self.pairs  # type: ignore[return-value]  # one of these, by its bounds

    def adopt(self, x: Any, y: Any, pairs: Any, maps: dict[str, np.ndarray], seed: int = 0) -> Self:
        """Take maps as the fit. x [n, d_x], y [m, d_y], pairs [k, 2]: the program's input.

        maps: ab [d_x, d_y], ba [d_y, d_x], finite, and where they aren't 0, ab_offset [d_y] and ba_offset [d_x].
        """
        self._forget()
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        self._prepare(x, y, check_pairs(pairs, len(x), len(y)))
        from_x, from_y = (self.x_mean_, self.x_scale_), (self.y_mean_, self.y_scale_)
        self.w_ab_, self.b_ab_ = _standardised(maps, "ab", from_x, from_y)
        self.w_ba_, self.b_ba_ = _standardised(maps, "ba", from_y, from_x)
        return self._fitted(x, y, pairs, seed)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        raise InputError(
            "outside: expected the maps of your own program, found none; its rule computes them "
            "(docs/how-to/outside.md)."
        )

    def _choose_hubness(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        return False

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return x @ self.w_ab_ + self.b_ab_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return y @ self.w_ba_ + self.b_ba_


def _standardised(
    maps: dict[str, np.ndarray], name: str, source: tuple[Any, Any], target: tuple[Any, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and offset of a map between the standardised clouds, from those between the features themselves.

    source, target: (mean [d], scale) of either cloud.
    """
    (mean, scale), (mean_to, scale_to) = source, target
    wanted = {name: (len(mean), len(mean_to)), f"{name}_offset": (len(mean_to),)}
    arrays = {f"{name}_offset": np.zeros(len(mean_to))} | maps
    for key, shape in wanted.items():
        array = arrays.get(key)
        if array is None or array.shape != shape or not (array.dtype.kind == "f" and np.isfinite(array).all()):
            kind = "none" if array is None else f"{array.dtype} of shape {list(array.shape)}"
            raise InputError(f"{key}: expected finite numbers of shape {list(shape)}, found {kind}; mend the program.")
    weights, offset = (arrays[key].astype(np.float64) for key in wanted)
    inside = ((mean @ weights + offset - mean_to) / scale_to).astype(np.float32)
    return (weights * (scale / scale_to)).astype(np.float32), inside
