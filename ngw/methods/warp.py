"""Neural Geometry Warping: an entropic plan between the clouds, then maps to its barycentric projections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ngw.errors import InputError, did_you_mean
from ngw.methods._whitened import Whitened
from ngw.methods.base import at_least, positive
from ngw.methods.cca import CCA
from ngw.methods.procrustes import Procrustes
from ngw.methods.unaligned import Unaligned

# A cost family is a common space for both clouds, and a distance there: name -> (method, distance).
COSTS = {"cca": (CCA, "cosine"), "procrustes": (Procrustes, "cosine"), "raw": (Unaligned, "sqeuclidean")}


@dataclass
class Transport:
    """A solved plan, without its n x m matrix: what the maps are fitted to, and how the solve went.

    to_y [n, d_y], to_x [m, d_x]: barycentric projections both ways, in standardised coordinates (proposal 2.3).
    f [n], g [m]: potentials in the cost's own units; NaN where a known pair took the row's whole mass.
    """

    to_y: np.ndarray
    to_x: np.ndarray
    f: np.ndarray
    g: np.ndarray
    n_iter: int
    marginal_error: float
    converged: bool
    reason: str
    effective_support: float  # mean over rows of exp(entropy of the row): how many partners share a row's mass
    true_mass: float | None  # share of the unpinned mass on true partners, where they are given: for evaluation only

    def diagnostics(self) -> dict[str, Any]:
        """How the solve went, as values that JSON knows: a NaN becomes None."""
        plain = {k: v for k, v in vars(self).items() if not isinstance(v, np.ndarray)}
        return {k: None if v != v else v for k, v in plain.items()}


class Warp(Whitened):
    """NGW (proposal 2.2 to 2.5). `fit` is `solve`, the plan, then `fit_maps`.

    epsilon: entropic regularisation, in units of the mean cost.  cost: the space in which the clouds are compared.
    whiten: each cloud is first brought to its `dims` leading principal components, divided by sqrt(variance + whiten
    times the mean variance); null leaves the cloud as it is.  Plan, maps and comparison live in these coordinates.
    pinned: the known pairs' mass stays on the pairs, and only the rest is transported.
    map: "linear", "mlp" or "residual", of width `hidden`.  cycle, injectivity, smoothness, paired, margin: the
    objective's coefficients (`ngw.maps.objective.Weights`); steps, batch, learning_rate: `ngw.maps.fit.Training`.
    """

    min_pairs = 4
    reference = "proposal 2.2-2.5"

    def __init__(
        self,
        epsilon: float = 0.02,
        cost: str = "cca",
        whiten: float | None = 5.0,
        dims: int = 384,
        pinned: bool = True,
        max_iter: int = 2000,
        tol: float = 1e-4,
        map: Literal["linear", "mlp", "residual"] = "linear",
        hidden: int = 512,
        cycle: float = 0.1,
        injectivity: float = 0.01,
        smoothness: float | None = None,
        paired: float = 0.1,
        margin: float = 0.5,
        steps: int = 100,
        batch: int = 256,
        learning_rate: float = 5e-4,
    ) -> None:
        if not (np.isfinite(epsilon) and epsilon > 0):
            raise ValueError(f"epsilon is a positive number, in units of the mean cost; not {epsilon}")
        if cost not in COSTS:
            raise ValueError(f"cost {cost!r} does not exist.{did_you_mean(cost, COSTS)}")
        if whiten is not None and not whiten > 0:
            raise ValueError(f"whiten is positive, or null for no whitening; not {whiten}")
        if map not in ("linear", "mlp", "residual"):
            raise ValueError(f"map is linear, mlp or residual, not {map!r}")
        self.epsilon, self.cost, self.pinned, self.max_iter, self.tol = epsilon, cost, pinned, max_iter, tol
        self.whiten, self.dims, self.map, self.hidden = whiten, dims, map, hidden
        self.cycle, self.injectivity, self.smoothness = cycle, injectivity, smoothness
        self.paired, self.margin = paired, margin
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        at_least(1, dims=dims, max_iter=max_iter, hidden=hidden)
        at_least(2, batch=batch)
        at_least(0, steps=steps, cycle=cycle, injectivity=injectivity, paired=paired, margin=margin)
        at_least(0, smoothness=0 if smoothness is None else smoothness)
        positive(tol=tol, learning_rate=learning_rate)

    @property
    def role(self) -> str:
        """Plain transport between raw spaces that share no axis is a negative control."""
        return "control" if self.cost == "raw" else "method"

    @property
    def pairs(self) -> str:
        """Whether this cost needs known pairs."""
        return COSTS[self.cost][0].pairs

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        self._fit_maps(x, y, pairs, self._solve(x, y, pairs, seed), seed)

    def solve(self, x: Any, y: Any, pairs: Any = None, seed: int = 0, truth: np.ndarray | None = None) -> Transport:
        """The plan between the clouds (proposal 2.2). truth [k, 2]: the true pairs, for `true_mass` alone."""
        return self._solve(*self._prepare(x, y, pairs), seed, truth)

    def fit_maps(self, x: Any, y: Any, pairs: Any, transport: Transport, seed: int = 0) -> Warp:
        """Fit T_AB and T_BA to a plan that `solve` made from the same clouds (proposal 2.3)."""
        x, y, pairs = self._prepare(x, y, pairs)
        if (len(transport.to_y), len(transport.to_x)) != (len(x), len(y)):
            found = f"{len(transport.to_y)} x {len(transport.to_x)}"
            raise InputError(f"transport: expected a plan of {len(x)} x {len(y)} rows, found {found}; solve it anew.")
        self._fit_maps(x, y, pairs, transport, seed)
        return self

    def _solve(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int, truth: np.ndarray | None = None
    ) -> Transport:
        from ngw.ot import sinkhorn

        method, distance = COSTS[self.cost]
        u, v = method().fit(x, y, pairs, seed).embed(x, y)
        a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
        pinned = pairs if self.pinned else pairs[:0]
        share, rest_a, rest_b = pin(a, b, pinned)
        rows, columns = np.flatnonzero(rest_a > 0), np.flatnonzero(rest_b > 0)
        to_y, to_x = np.zeros((len(x), y.shape[1])), np.zeros((len(y), x.shape[1]))
        np.add.at(to_y, pinned[:, 0], share[:, None] * y[pinned[:, 1]])
        np.add.at(to_x, pinned[:, 1], share[:, None] * x[pinned[:, 0]])
        f, g = np.full(len(x), np.nan), np.full(len(y), np.nan)
        if len(rows):
            plan = sinkhorn(
                u[rows], v[columns], epsilon=self.epsilon, cost=distance, a=rest_a[rows], b=rest_b[columns],
                max_iter=self.max_iter, tol=self.tol,
            )  # fmt: skip
            to_y[rows] += rest_a[rows, None] * plan.barycenters(y[columns])
            to_x[columns] += rest_b[columns, None] * plan.T.barycenters(x[rows])
            f[rows], g[columns] = plan.f, plan.g
            status = (int(plan.n_iter), float(plan.marginal_error), bool(plan.converged), str(plan.reason))
            support = float(np.average(plan.perplexity(), weights=rest_a[rows]))
            mass = true_mass(plan, rows, columns, truth, len(x), len(y))
        else:
            status, support, mass = (0, 0.0, True, "every row is a known pair"), 1.0, float("nan")
        to_y, to_x = (to_y / a[:, None]).astype(np.float32), (to_x / b[:, None]).astype(np.float32)
        return Transport(to_y, to_x, f, g, *status, support, mass)

    def _fit_maps(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, transport: Transport, seed: int) -> None:
        from ngw.maps.fit import Targets, Training, fit
        from ngw.maps.objective import Weights

        weights = Weights(self.cycle, self.injectivity, self.smoothness, self.paired, self.margin)
        training = Training(self.steps, self.batch, self.learning_rate)
        targets = Targets(x, y, transport.to_y, transport.to_x, pairs)
        fitted = fit(targets, self.map, self.hidden, weights, training, seed)
        for name, p in (("ab", fitted.ab), ("ba", fitted.ba)):
            for key, value in p.items():
                setattr(self, f"{name}_{key}_", value)
        self.curve_step_, self.curve_train_, self.curve_held_out_ = (
            np.asarray(fitted.curve[k], np.float32) for k in ("step", "train", "held_out")
        )
        self.converged_, self.note_ = transport.converged, "" if transport.converged else transport.reason
        self.n_iter_, self.marginal_error_ = transport.n_iter, transport.marginal_error
        self.plan_ = transport

    def _map(self, name: str) -> dict[str, np.ndarray]:
        prefix = name + "_"
        return {k[len(prefix) : -1]: v for k, v in self._arrays().items() if k.startswith(prefix)}

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        from ngw.maps.networks import apply

        return apply(self._map("ab"), x)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        from ngw.maps.networks import apply

        return apply(self._map("ba"), y)


def pin(a: np.ndarray, b: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put as much mass on each known pair as its row and column still have.

    a [n], b [m]: weights.  Returns (the pairs' mass [k], what is left of a, what is left of b).
    """
    a, b = a.copy(), b.copy()
    share = np.zeros(len(pairs))
    for k, (i, j) in enumerate(pairs):
        share[k] = min(a[i], b[j])
        a[i] -= share[k]
        b[j] -= share[k]
    # Rounding leaves crumbs of a row that is used up.
    a[a < 1e-9 / len(a)] = 0
    b[b < 1e-9 / len(b)] = 0
    return share, a, b * (a.sum() / b.sum() if b.sum() > 0 else 1)


def true_mass(plan, rows: np.ndarray, columns: np.ndarray, truth: np.ndarray | None, n: int, m: int) -> float:
    """Share of a plan's mass on the true pairs among its rows and columns; NaN without truth."""
    if truth is None:
        return float("nan")
    place_x, place_y = np.full(n, -1), np.full(m, -1)
    place_x[rows], place_y[columns] = np.arange(len(rows)), np.arange(len(columns))
    i, j = place_x[truth[:, 0]], place_y[truth[:, 1]]
    both = (i >= 0) & (j >= 0)
    if not both.any():
        return float("nan")
    mass = plan.mass(i[both], j[both])
    return float(mass.sum() / float(plan.a.sum()))
