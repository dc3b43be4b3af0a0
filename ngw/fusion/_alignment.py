"""T_AB and T_BA of a fitted method as torch modules over tokens [..., d], exact where the map is affine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import reduce
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ngw.errors import InputError
from ngw.features.basis import Basis
from ngw.maps import networks
from ngw.methods._directions import Direction, Map, directions
from ngw.methods.base import Method
from ngw.seeds import rng

Linear = tuple[np.ndarray, np.ndarray]  # z -> z w + b, (w [d_in, d_out], b [d_out]) in float64
ROWS, EXACT = (
    16,
    1e-5,
)  # random rows on which an affine map is checked; its error there, in units of their images' spread


class Affine(nn.Module):
    """z w + b on tokens [..., d_in]. learned: weights that `tune: fine` trains; else coordinates, always fixed."""

    def __init__(self, w: np.ndarray, b: np.ndarray, learned: bool = True) -> None:
        super().__init__()
        for name, value in (("w", w), ("b", b)):
            value = torch.tensor(value, dtype=torch.float32)
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.w + self.b


class Layers(nn.Module):
    """A map of `ngw.maps.networks` with its parameters p, "mlp" or "residual"."""

    def __init__(self, p: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.p = nn.ParameterDict({name: torch.tensor(value, dtype=torch.float32) for name, value in p.items()})

    def forward(self, z: Tensor) -> Tensor:
        return networks.apply(self.p, z)


class Opaque(nn.Module):
    """A map that only NumPy can apply: nothing to train, and no gradient passes to what comes before it."""

    def __init__(self, function: Map) -> None:
        super().__init__()
        self.function = function

    @torch.no_grad()
    def forward(self, z: Tensor) -> Tensor:
        rows = self.function(z.reshape(-1, z.shape[-1]).float().cpu().numpy())
        return torch.from_numpy(rows).to(z).reshape(*z.shape[:-1], -1)


class Maps(nn.Module):
    """T_AB (`ab`) and T_BA (`ba`) over tokens [..., d], frozen.

    widths: (d_a, d_b) of the tokens.  form: "affine"; "layers", an mlp inside affine coordinates; or "opaque".
    """

    def __init__(self, ab: nn.Module, ba: nn.Module, widths: tuple[int, int], form: str) -> None:
        super().__init__()
        self.ab, self.ba, self.widths, self.form = ab, ba, widths, form
        self.requires_grad_(False)

    def tuned(self, tune: str) -> Self:
        """A copy whose weights are trained ("fine") or not ("frozen"); coordinates such as whitening never are."""
        if tune == "fine" and self.form == "opaque":
            raise InputError(
                "tune: fine: expected maps with weights, found some that only NumPy applies; "
                "take tune: frozen, or an affine or warp method."
            )
        return copy.deepcopy(self).requires_grad_(tune == "fine")


def align(method: Method, a: Basis | None = None, b: Basis | None = None) -> Maps:
    """Both maps of a fitted method, on features or, with bases a and b, on kept tokens.

    T_AB(c) = axes_b' (unit_b T((mean_a + axes_a c) / unit_a) - mean_b): T on a's span, projected onto b's span.
    """
    method._check_fitted()
    d_a, d_b = len(method.x_mean_), len(method.y_mean_)
    for side, basis, d in (("a", a, d_a), ("b", b, d_b)):
        if basis is not None and len(basis.mean) != d:
            raise InputError(
                f"basis {side}: expected {d} features, as the method was fitted on, found {len(basis.mean)}; fit it on "
                "that encoder's tokens."
            )
    twin = in_float64(method)
    layers = [twin._map(name) if hasattr(twin, "_map") else {} for name in ("ab", "ba")]
    there, back = directions(twin)
    ab, form_ab = module(there, layers[0], method.transform, expand(a), shrink(b))
    ba, form_ba = module(back, layers[1], method.inverse_transform, expand(b), shrink(a))
    wide, long = (d if basis is None else basis.axes.shape[1] for basis, d in ((a, d_a), (b, d_b)))
    return Maps(ab, ba, (wide, long), max(form_ab, form_ba))  # in alphabetical order each form is less exact


def in_float64(method: Method) -> Method:
    """A method's twin that computes in float64: exact at inputs that float32 holds exactly, such as unit vectors."""
    twin = copy.copy(method)
    for name, value in method._arrays().items():
        if value.dtype == np.float32:
            setattr(twin, name, value.astype(np.float64))
    return twin


def module(
    way: Direction, layers: Mapping[str, np.ndarray], plain: Map, before: Linear | None, after: Linear | None
) -> tuple[nn.Module, str]:
    """One map between two affine ones, and its form.

    layers: the core's parameters, if it is a network.  plain: the map in the method's own precision.
    """
    d = len(way.mean)
    if "w1" in layers:
        inner = len(next(layers[name] for name in ("b3", "b") if name in layers))
        first, last = chain(before, linear(way.into, d)), chain(linear(way.out, inner), after)
        return nn.Sequential(Affine(*first, learned=False), Layers(layers), Affine(*last, learned=False)), "layers"
    line = linear(way.whole, d)
    if agrees(line, way):
        return Affine(*chain(before, line, after)), "affine"
    ends = [None if part is None else Affine(*part, learned=False) for part in (before, after)]
    return nn.Sequential(*(part for part in (ends[0], Opaque(plain), ends[1]) if part is not None)), "opaque"


def linear(function: Map, d: int) -> Linear:
    """(w [d, d_out], b [d_out]) with function(z) = z w + b, if it is affine: its values at 0 and the unit vectors."""
    b = function(np.zeros((1, d), np.float32))[0].astype(np.float64)
    return function(np.eye(d, dtype=np.float32)) - b, b


def agrees(line: Linear, way: Direction) -> bool:
    """Whether z w + b equals the map, up to rounding, at random rows with the spread of the fitted cloud."""
    noise = rng(0, "fusion", "affine").standard_normal((ROWS, len(way.mean))) / np.sqrt(len(way.mean))
    z = (way.mean + way.scale * noise).astype(np.float32)
    image = way.whole(z)
    size = np.linalg.norm(image - image.mean(0)) + 1e-9 * np.linalg.norm(image)  # a constant is affine too
    return bool(np.linalg.norm(z @ line[0] + line[1] - image) <= EXACT * size)


def chain(*parts: Linear | None) -> Linear:
    """The composition of affine maps, the first applied first; None is left out."""
    return reduce(lambda p, q: (p[0] @ q[0], p[1] @ q[0] + q[1]), (part for part in parts if part is not None))


def expand(basis: Basis | None) -> Linear | None:
    """Kept tokens to features: c -> (mean + axes c) / unit."""
    if basis is None:
        return None
    return basis.axes.T.astype(np.float64) / basis.unit, basis.mean.astype(np.float64) / basis.unit


def shrink(basis: Basis | None) -> Linear | None:
    """Features to kept tokens: z -> axes' (unit z - mean)."""
    if basis is None:
        return None
    axes = basis.axes.astype(np.float64)
    return basis.unit * axes, -basis.mean.astype(np.float64) @ axes
