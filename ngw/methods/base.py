"""The face of every row of the tables: fit, transform, inverse_transform, embed; save and load."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ngw import __version__, io
from ngw.errors import InputError

EPS = 1e-12
Role = Literal["method", "baseline", "control"]


def unit(x: np.ndarray) -> np.ndarray:
    """Rows at unit length, [n, d]; a zero row stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), EPS)


def at_least(least: float, /, **options: float) -> None:
    """Raise `ValueError` for an option below `least`, infinite or NaN."""
    for name, value in options.items():
        if not least <= value < np.inf:
            raise ValueError(f"{name} is {least} or more, not {value}")


def positive(**options: float) -> None:
    """Raise `ValueError` for an option that isn't positive, or is infinite or NaN."""
    for name, value in options.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} is positive, not {value}")


def check_cloud(x: Any, name: str, width: int | None = None) -> np.ndarray:
    """A cloud as float32 [n, d]; refuses other shapes, another width than `width`, NaN and infinity."""
    try:
        x = np.asarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected a cloud [n, d] of numbers, found {error}; pass an array.") from None
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"{name}: expected a cloud [n, d], found shape {list(x.shape)}; pass one row per sample.")
    if width is not None and x.shape[1] != width:
        raise InputError(f"{name}: expected rows of {width} features, as in fit, found {x.shape[1]}; use one encoder.")
    finite = np.isfinite(x).all(1)
    if not finite.all():
        raise InputError(
            f"{name}: expected finite features, found NaN or infinity in row {int((~finite).argmax())}; mend it."
        )
    return x


def check_pairs(pairs: Any, n: int, m: int) -> np.ndarray:
    """Known pairs as int64 [k, 2]: (row of x, row of y). A 1-D index array means x[i] belongs to y[i]."""
    if pairs is None or np.size(pairs) == 0:
        return np.empty((0, 2), np.int64)
    pairs = np.asarray(pairs)
    if not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(f"pairs: expected whole numbers, found {pairs.dtype}; pass row indices, not a mask.")
    pairs = pairs.astype(np.int64)
    if pairs.ndim == 1:
        pairs = np.stack([pairs, pairs], axis=1)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(f"pairs: expected row indices [k] or [k, 2], found shape {list(pairs.shape)}; reshape it.")
    if len(pairs) > max(n, m):
        raise InputError(
            f"pairs: expected at most {max(n, m)} (the larger cloud's rows), found {len(pairs)}; pass fewer."
        )
    outside = (pairs < 0) | (pairs >= [n, m])
    if outside.any():
        k = int(outside.any(1).argmax())
        raise InputError(
            f"pairs: expected rows below {n} and {m}, the clouds' sizes, found {pairs[k].tolist()} as pair {k}; "
            "index each cloud's own rows."
        )
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise InputError("pairs: expected each pair once, found repeated ones; drop the duplicates.")
    return pairs


class Method:
    """Aligns two clouds x [n, d_x] and y [m, d_y] whose rows need not be paired.

    A subclass stores its hyperparameters in `__init__` (and checks them there), learns in `_fit` on centred clouds of
    unit mean square norm, and maps in `_to_y`, `_to_x`. What it learns are arrays whose names end in `_`.
    Bad input (shapes, NaN, equal rows, pairs out of range, too few of them) raises `InputError`.
    """

    role: Role = "baseline"
    pairs: Literal["none", "some", "all"] = "some"  # "all": every true pair, whatever the budget (an oracle)
    min_pairs: ClassVar[int] = 2
    reference: ClassVar[str] = ""

    converged_: bool = True
    note_: str = ""  # why not, where it did not converge

    def fit(self, x: Any, y: Any, pairs: Any = None, seed: int = 0) -> Self:
        """Learn both maps. x [n, d_x], y [m, d_y]; pairs: [k] or [k, 2] row indices of the known pairs, ignored where
        the method needs none; seed: of all randomness."""
        x, y, pairs = self._prepare(x, y, pairs)
        self._fit(x, y, pairs, seed)
        return self

    def _prepare(self, x: Any, y: Any, pairs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Check the input, learn centre and scale, and return standardised clouds with pairs [k, 2]."""
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        moments = _moments(x, "x"), _moments(y, "y")
        pairs = check_pairs(pairs, len(x), len(y))
        if self.pairs == "none":
            pairs = pairs[:0]
        elif len(pairs) < self.min_pairs:
            raise InputError(
                f"{type(self).__name__}: expected {self.min_pairs} known pairs or more, found {len(pairs)}; "
                "pass `pairs`, or take a method that needs none."
            )
        else:
            _moments(x[pairs[:, 0]], "x, known pairs")
            _moments(y[pairs[:, 1]], "y, known pairs")
        (self.x_mean_, self.x_scale_), (self.y_mean_, self.y_scale_) = moments
        self.n_pairs_ = len(pairs)
        self._settle(Method._x(self, x), Method._y(self, y))
        return self._x(x), self._y(y), pairs

    def _settle(self, x: np.ndarray, y: np.ndarray) -> None:
        """Learn further coordinates from the centred clouds; `_x`, `_from_x` and their twins then use them."""

    def _x(self, x: Any) -> np.ndarray:
        self._check_fitted()
        return (check_cloud(x, "x", len(self.x_mean_)) - self.x_mean_) / self.x_scale_

    def _y(self, y: Any) -> np.ndarray:
        self._check_fitted()
        return (check_cloud(y, "y", len(self.y_mean_)) - self.y_mean_) / self.y_scale_

    def _check_fitted(self) -> None:
        if not hasattr(self, "x_mean_"):
            raise InputError(f"{type(self).__name__}: expected a fitted method; call fit, or load one.")

    def _from_x(self, x: np.ndarray) -> np.ndarray:
        return x * self.x_scale_ + self.x_mean_

    def _from_y(self, y: np.ndarray) -> np.ndarray:
        return y * self.y_scale_ + self.y_mean_

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        raise TypeError(f"{type(self).__name__} must define _fit")

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must define _to_y")

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must define _to_x")

    def transform(self, x: Any) -> np.ndarray:
        """T_AB: rows of x's space to y's space, [k, d_x] -> [k, d_y]."""
        return self._from_y(self._to_y(self._x(x)))

    def inverse_transform(self, y: Any) -> np.ndarray:
        """T_BA: rows of y's space to x's space, [k, d_y] -> [k, d_x]."""
        return self._from_x(self._to_x(self._y(y)))

    def embed(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Both clouds in the space where they are compared: u [k, e], v [l, e], unit rows; score = u @ v.T.

        By default the mean of two cosines, one in each space: cos(T_AB(x), y) and cos(x, T_BA(y)), centred.
        """
        x, y = self._x(x), self._y(y)
        u = np.hstack([unit(self._to_y(x)), unit(x)])
        v = np.hstack([unit(y), unit(self._to_x(y))])
        return u / np.float32(np.sqrt(2)), v / np.float32(np.sqrt(2))

    @property
    def n_parameters_(self) -> int:
        """Learned numbers; the clouds' coordinates (centre, scale, whitening) and the training curve aside."""
        return sum(a.size for k, a in self._arrays().items() if not k.startswith(("x_", "y_", "curve_")))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in vars(self).items() if k.endswith("_") and isinstance(v, np.ndarray)}

    def params(self) -> dict[str, Any]:
        """The hyperparameters, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def save(self, path: str | os.PathLike, **metadata: str) -> None:
        """Write a fitted method as one safetensors file: arrays, hyperparameters, status; nothing of the data."""
        scalars = {k: v for k, v in vars(self).items() if k.endswith("_") and isinstance(v, (bool, int, float, str))}
        head = {"kind": type(self).__module__.rsplit(".", 1)[-1].replace("_", "-"), "version": __version__}
        head |= {"params": json.dumps(self.params()), "state": json.dumps(scalars), **metadata}
        io.write_tensors(path, self._arrays(), head)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read a method that `save` wrote; on a subclass, the file must be of that kind."""
        from ngw.methods import load

        method = load(path)
        if not isinstance(method, cls):
            raise InputError(f"{path}: expected a {cls.__name__}, found a {type(method).__name__}.")
        return method


def _moments(x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre [d] and scale [] (root mean square distance to it)."""
    mean = x.mean(0, dtype=np.float64)
    scale = np.sqrt(((x - mean) ** 2).sum(1).mean())
    if scale <= EPS * max(1.0, float(np.abs(mean).max())):
        raise InputError(f"{name}: expected features that differ, found {len(x)} equal rows; check the encoder.")
    return mean.astype(np.float32), np.array(scale, np.float32)
