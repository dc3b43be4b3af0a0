"""The interface of every method: fit, transform, inverse_transform, embed; save and load; scikit-learn's contract."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ngw import errors, registry
from ngw.device import gradients
from ngw.errors import InputError
from ngw.methods import _file
from ngw.methods._clouds import centre_and_scale, check_cloud, check_columns, check_pairs, columns, rounded_once
from ngw.methods._given import Given
from ngw.methods._hubness import Hubness

EPS = 1e-12  # of a length
Role = Literal["method", "baseline", "control"]


def unit(x: np.ndarray) -> np.ndarray:
    """Rows at unit length, [n, d]; a zero row stays zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), EPS)


def in_both_spaces(in_y: np.ndarray, in_x: np.ndarray) -> np.ndarray:
    """Unit rows [n, d_y + d_x] of one side; the inner product with those of the other is the mean of both cosines.

    in_y [n, d_y], in_x [n, d_x]: the rows and their images, in either space.
    """
    rows = np.hstack([unit(in_y), unit(in_x)])
    rows /= np.float32(np.sqrt(2))
    return rows


class Method(Given, Hubness):
    """Aligns two clouds x [n, d_x] and y [m, d_y] whose rows need not be paired.

    A subclass declares its hyperparameters as fields of a dataclass (`ngw.options`), or stores and checks them in an
    `__init__`; it learns in `_fit` on centred clouds of unit mean square norm, and maps in `_to_y`, `_to_x`. It learns
    arrays, numbers and texts under names that end in `_`, and nothing else: `fit` forgets them first.
    Bad input (shapes, NaN, equal rows, pairs out of range, too few of them) raises `InputError`. A method that isn't
    fitted, or whose options have changed since its fit, raises `ngw.errors.NotFittedError`, which is one too.

    An estimator by scikit-learn's contract, without importing it: get_params, set_params, clone, repr, pickling. A
    `Pipeline` transforms x, and y is the other cloud; `fit` takes the pairs, as in warp__pairs=rows.
    """

    role: Role = "baseline"
    supervision: Literal["none", "some", "all"] = "some"  # known pairs; "all": every true one, whatever the budget
    min_pairs: ClassVar[int] = 2
    raw: ClassVar[bool] = False  # whether it reads raw items, not features: it then has stages of its own
    has_plan: ClassVar[bool] = False  # whether `solve` finds a transport plan, and `fit_maps` maps to its targets
    teacher: str | None = None  # the method that it learns from, by its name in the config
    reference: ClassVar[str] = ""

    converged_: bool = True
    note_: str = ""  # the reason where it did not converge
    x_columns_: list[str] | None = None  # the column names of fit's data frames, if any
    y_columns_: list[str] | None = None
    options_: dict[str, Any] | None = None  # of the fit; none before

    @gradients()
    def fit(self, x: Any, y: Any, pairs: Any = None, seed: int = 0) -> Self:
        """Learn both maps. x [n, d_x], y [m, d_y]; pairs: [k] or [k, 2] row indices of the known pairs, ignored where
        the method needs none; seed: of all randomness."""
        self._forget()  # first, since options change the input
        x, y, pairs, _ = self._given(x, y, pairs, seed)
        self._fit(*self._prepare(x, y, pairs), seed)
        return self._fitted(x, y, pairs, seed)

    def _forget(self) -> None:
        """Drop what an earlier fit learned, and check the options again, which can have changed since."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        vars(self).update(vars(self._checked(self.params())))

    def _checked(self, options: dict[str, Any]) -> Self:
        """Another method of this class, unfitted."""
        return registry.make(type(self), repr(self._kind()), options)

    def _fitted(self, x: Any, y: Any, pairs: Any, seed: int) -> Self:
        self.options_ = self.params()
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        self._learn_hubs(x, y, check_pairs(pairs, len(x), len(y)), seed)
        return self

    def _prepare(self, x: Any, y: Any, pairs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Check the input, learn centre and scale, and return standardised clouds with pairs [k, 2]."""
        self.x_columns_, self.y_columns_ = columns(x), columns(y)
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        centres = centre_and_scale(x, "x"), centre_and_scale(y, "y")
        pairs = check_pairs(pairs, len(x), len(y))
        if self.supervision == "none":
            pairs = pairs[:0]
        elif len(pairs) < self.min_pairs:
            raise InputError(
                f"{type(self).__name__}: expected {self.min_pairs} known pairs or more, found {len(pairs)}; "
                "pass `pairs`, or take a method that needs none."
            )
        else:
            centre_and_scale(x[pairs[:, 0]], "x, known pairs")
            centre_and_scale(y[pairs[:, 1]], "y, known pairs")
        (self.x_mean_, self.x_scale_), (self.y_mean_, self.y_scale_) = centres
        self.n_pairs_ = len(pairs)
        self._settle(Method._standard_x(self, x), Method._standard_y(self, y))
        return self._standard_x(x), self._standard_y(y), pairs

    def _settle(self, x: np.ndarray, y: np.ndarray) -> None:
        """Learn further coordinates from the centred clouds; `_standard_x`, `_from_x` and their twins then use them."""

    def _standard_x(self, x: np.ndarray) -> np.ndarray:
        """Rows of x's space in the coordinates of the maps."""
        return (x - self.x_mean_) / self.x_scale_

    def _standard_y(self, y: np.ndarray) -> np.ndarray:
        return (y - self.y_mean_) / self.y_scale_

    def _x(self, x: Any) -> np.ndarray:
        """The same for the rows that a user passes to a fitted method."""
        return self._standard_x(self._new(x, "x"))

    def _y(self, y: Any) -> np.ndarray:
        return self._standard_y(self._new(y, "y"))

    def _new(self, z: Any, name: str) -> np.ndarray:
        """Checked rows of x or y, by the name of the side."""
        self._check_fitted()
        check_columns(z, getattr(self, f"{name}_columns_"), name)
        return check_cloud(z, name, len(getattr(self, f"{name}_mean_")))

    def _check_fitted(self) -> None:
        name, of_fit = type(self).__name__, self.options_
        if of_fit is None:
            raise errors.NotFittedError(f"{name}: expected a fitted method, found none; call fit, or load one.")
        for option, value in self.params().items():
            if value != of_fit[option]:
                raise errors.NotFittedError(
                    f"{name}: expected the options of its fit, found {option} {value!r}, which was {of_fit[option]!r}; "
                    "fit it again."
                )

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
        rows = self._new(x, "x")
        return rounded_once(rows, lambda z: self._from_y(self._to_y(self._standard_x(z))), self.y_mean_.dtype)

    def inverse_transform(self, y: Any) -> np.ndarray:
        """T_BA: rows of y's space to x's space, [k, d_y] -> [k, d_x]."""
        rows = self._new(y, "y")
        return rounded_once(rows, lambda z: self._from_x(self._to_x(self._standard_y(z))), self.x_mean_.dtype)

    def fit_transform(self, x: Any, y: Any, pairs: Any = None, seed: int = 0) -> np.ndarray:
        """`fit`, then `transform` of the same x."""
        return self.fit(x, y, pairs, seed).transform(x)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Rows of x in the coordinates of the maps where both sides are compared, with their hubs; [n, e], unit rows.

        By default, u @ v.T is the mean of cos(T_AB(x), y) and cos(x, T_BA(y)), centred.
        """
        return in_both_spaces(self._to_y(x), x)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        """The same for y, [m, e]."""
        return in_both_spaces(y, self._to_x(y))

    @property
    def n_parameters_(self) -> int:
        """Learned numbers; the clouds' coordinates (centre, scale, whitening), pairs and the training curve aside."""
        return sum(a.size for k, a in self._arrays().items() if not k.startswith(("x_", "y_", "pair_", "curve_")))

    @property
    def n_features_in_(self) -> int:
        """The width of x in fit."""
        return len(self.x_mean_)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in vars(self).items() if k.endswith("_") and isinstance(v, np.ndarray)}

    def params(self) -> dict[str, Any]:
        """The hyperparameters, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """`params`, by scikit-learn's name; no option is an estimator, so that `deep` changes nothing."""
        return self.params()

    def set_params(self, **options: Any) -> Self:
        """Change hyperparameters: all given ones or, where one is refused, none. Fit again afterwards."""
        vars(self).update(vars(self._checked(self.params() | options)))
        return self

    def __repr__(self) -> str:
        known = inspect.signature(type(self)).parameters
        changed = (f"{name}={value!r}" for name, value in self.params().items() if value != known[name].default)
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return self.options_ is not None

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags, TransformerTags  # installed, since only it calls this

        target = TargetTags(required=True, two_d_labels=True, multi_output=True, single_output=False)
        return Tags(None, target, transformer_tags=TransformerTags(preserves_dtype=[]))

    def _kind(self) -> str:
        return type(self).__module__.rsplit(".", 1)[-1].replace("_", "-")

    def save(self, path: str | os.PathLike, **metadata: str) -> None:
        """Write a fitted method as one safetensors file: arrays, options, status; of the data `x_hubs_`, `y_hubs_`.

        metadata: texts kept beside them.  Refuses a class that doesn't lie in `ngw.methods`, since `load` wouldn't
        find it.
        """
        self._check_fitted()
        _file.write(self, path, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read a method that `save` wrote; on a subclass, the file must be of that kind."""
        method = load(path)
        if not isinstance(method, cls):
            raise InputError(f"{path}: expected a {cls.__name__}, found a {type(method).__name__}; load it as one.")
        return method


def build(spec: Mapping[str, Any]) -> Method:
    """A method from its config entry, {"kind": ..., hyperparameters}."""
    return registry.build("ngw.methods", Method, spec)


def load(path: str | os.PathLike) -> Method:
    """A fitted method from the file that `Method.save` wrote."""
    return load_with_metadata(path)[0]


def load_with_metadata(path: str | os.PathLike) -> tuple[Method, dict[str, str]]:
    """A fitted method, and its file's metadata on how it was fitted."""
    return _file.read(path, build)
