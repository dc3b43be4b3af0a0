"""Neural Geometry Warping: an entropic plan between the clouds, then maps to its barycentric projections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

import numpy as np

from ngw.errors import InputError, did_you_mean
from ngw.features.clouds import groups_of_rows
from ngw.maps.linear import ridge
from ngw.methods._clouds import check_cloud, check_pairs
from ngw.methods._given import mislead, place, thin
from ngw.methods._transport import SinkhornOptions, Transport, couple
from ngw.methods._whitened import Whitened
from ngw.methods.base import Method, Role, in_both_spaces
from ngw.methods.cca import CCA
from ngw.methods.fused import Fused
from ngw.methods.gromov import Gromov
from ngw.methods.keypoints import Keypoints
from ngw.methods.procrustes import Procrustes
from ngw.methods.relative import Relative
from ngw.methods.sotalign import SOTAlign
from ngw.methods.unaligned import Unaligned
from ngw.methods.wasserstein_procrustes import WassersteinProcrustes
from ngw.registry import at_least, positive

# A cost family is a method, whose common space (or own cost matrix) tells how far two rows are apart.
COSTS: dict[str, Callable[[], Method]] = {
    "cca": CCA,
    "fused": Fused,
    "gw": Gromov,
    "keypoints": Keypoints,
    "klot": partial(SOTAlign, whiten=None),  # the clouds come whitened
    "procrustes": partial(Procrustes, standardise=False),  # likewise
    "raw": Unaligned,
    "relative": Relative,
    "wasserstein-procrustes": partial(WassersteinProcrustes, whiten=0.5),
}
COOLING, SETTLED = 0.75, 0.1  # from round to round epsilon falls by this factor; targets that move less are settled


class Warp(Whitened):
    """NGW (proposal 2.2 to 2.5). `fit` is `solve`, the plan, then `fit_maps`.

    epsilon: entropic regularisation, in units of the mean cost.  cost: the space in which the clouds are compared.
    whiten: each cloud is first brought to its `dims` leading principal components, divided by sqrt(variance + whiten
    times the mean variance); null leaves the cloud as it is.  Plan, maps and comparison live in these coordinates.
    pinned: the known pairs' mass stays on the pairs, and only the rest is transported: all of it, or the share `mass`
    (partial), or what penalties of weight tau (in units of the mean cost) on the marginals let through (unbalanced).
    rounds: plans at most, each in the space that ridge maps to the plan before it span; epsilon falls to its value from
    `warmth` times that, and at its value the rounds end when targets move by less than a tenth.
    confidence: a row counts in the maps as its effective support to the power of -confidence.
    map: "linear", "orthogonal", "mlp" or "residual", these of width `hidden`.  cycle, injectivity, smoothness, paired,
    margin: the objective's coefficients (`ngw.maps.objective.Weights`); steps, batch, learning_rate:
    `ngw.maps.fit.Training`.

    Two ways to be given less, for ablations: unpaired, how many rows of each cloud are kept beside those of the known
    pairs, as a multiple of the number of pairs (null: all of them); noise, the share of known pairs that are wrong.
    """

    min_pairs, has_plan = 4, True
    reference = "proposal 2.2-2.5"

    def __init__(
        self,
        epsilon: float = 0.02,
        cost: str = "cca",
        whiten: float | None = 5.0,
        dims: int = 384,
        pinned: bool = True,
        mass: float = 1.0,
        tau: float | None = None,
        rounds: int = 6,
        warmth: float = 2.5,
        confidence: float = 0.25,
        max_iter: int = 2000,
        tol: float = 1e-4,
        map: Literal["linear", "orthogonal", "mlp", "residual"] = "linear",
        hidden: int = 512,
        cycle: float = 0.1,
        injectivity: float = 0.01,
        smoothness: float | None = None,
        paired: float = 0.1,
        margin: float = 0.5,
        steps: int = 100,
        batch: int = 256,
        learning_rate: float = 5e-4,
        unpaired: float | None = None,
        noise: float = 0.0,
    ) -> None:
        if not (np.isfinite(epsilon) and epsilon > 0):
            raise ValueError(f"epsilon is a positive number, in units of the mean cost; not {epsilon}")
        if cost not in COSTS:
            raise ValueError(f"cost {cost!r} does not exist.{did_you_mean(cost, COSTS)}")
        if whiten is not None and not 0 < whiten < np.inf:
            raise ValueError(f"whiten is positive, or null for no whitening; not {whiten}")
        if map not in ("linear", "orthogonal", "mlp", "residual"):
            raise ValueError(f"map is linear, orthogonal, mlp or residual, not {map!r}")
        if not 0 < mass <= 1:
            raise ValueError(f"mass is a share in (0, 1], not {mass}")
        if tau is not None and not 0 < tau < np.inf:
            raise ValueError(f"tau is positive, or null for exact marginals; not {tau}")
        if mass < 1 and (tau is not None or cost == "keypoints"):
            raise ValueError("mass below 1 (partial) is for exact marginals (tau: null) and costs other than keypoints")
        self.epsilon, self.cost, self.pinned, self.max_iter, self.tol = epsilon, cost, pinned, max_iter, tol
        self.mass, self.tau, self.rounds, self.warmth, self.confidence = mass, tau, rounds, warmth, confidence
        self.whiten, self.dims, self.map, self.hidden = whiten, dims, map, hidden
        self.cycle, self.injectivity, self.smoothness = cycle, injectivity, smoothness
        self.paired, self.margin = paired, margin
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.unpaired, self.noise = unpaired, noise
        if not 0 <= noise <= 1:
            raise ValueError(f"noise is a share in [0, 1], not {noise}")
        if self.supervision == "none" and (unpaired is not None or noise):
            raise ValueError(f"unpaired and noise are for costs that take known pairs, which {cost!r} doesn't")
        at_least(1, dims=dims, max_iter=max_iter, hidden=hidden, rounds=rounds, warmth=warmth)
        at_least(2, batch=batch)
        at_least(0, steps=steps, cycle=cycle, injectivity=injectivity, paired=paired, margin=margin)
        at_least(0, confidence=confidence, smoothness=smoothness or 0, unpaired=unpaired or 0)
        positive(tol=tol, learning_rate=learning_rate)

    @property
    def role(self) -> Role:  # type: ignore[override]  # follows from an option
        return "control" if self.cost == "raw" else "method"  # raw: spaces that share no axis

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return COSTS[self.cost]().supervision

    def fit(self, x: Any, y: Any, pairs: Any = None, seed: int = 0) -> Self:
        """As `Method.fit`, on what `unpaired` and `noise` leave of the clouds and the pairs."""
        self._forget()  # first, since options tell what is left
        x, y, pairs, _ = self._given(x, y, pairs, seed)
        return super().fit(x, y, pairs, seed)

    def _given(
        self, x: Any, y: Any, pairs: Any, seed: int, truth: np.ndarray | None = None
    ) -> tuple[Any, Any, Any, np.ndarray | None]:
        """What is left of the clouds, the known pairs and the true ones, each pair by its rows' new places."""
        if self.unpaired is None and not self.noise:
            return x, y, pairs, truth
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        pairs = check_pairs(pairs, len(x), len(y))
        if len(pairs) < self.min_pairs:  # for `_prepare` to refuse
            return x, y, pairs, truth
        if self.noise:
            pairs = mislead(pairs, self.noise, seed)
        if self.unpaired is None:
            return x, y, pairs, truth
        rows = [
            thin(len(z), known, self.unpaired, len(pairs), seed, side)
            for z, known, side in zip((x, y), pairs.T, "xy", strict=True)
        ]
        pairs, truth = (
            old if old is None else np.stack([place(r, i) for r, i in zip(rows, old.T, strict=True)], axis=1)
            for old in (pairs, truth)
        )
        return x[rows[0]], y[rows[1]], pairs, truth if truth is None else truth[(truth >= 0).all(1)]

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        self._fit_maps(x, y, pairs, self._solve(x, y, pairs, seed), seed)

    def solve(self, x: Any, y: Any, pairs: Any = None, seed: int = 0, truth: np.ndarray | None = None) -> Transport:
        """The plan between the clouds (proposal 2.2). truth [k, 2]: the true pairs, for `true_mass` alone."""
        twin = self._checked(self.params())  # a fit that was made stays as it is
        x, y, pairs, truth = twin._given(x, y, pairs, seed, truth)
        return twin._solve(*twin._prepare(x, y, pairs), seed, truth)

    def fit_maps(self, x: Any, y: Any, pairs: Any, transport: Transport, seed: int = 0) -> Self:
        """Fit T_AB and T_BA to a plan that `solve` made from the same clouds (proposal 2.3)."""
        self._forget()
        x, y, pairs, _ = self._given(x, y, pairs, seed)
        x, y, pairs = self._prepare(x, y, pairs)
        if (len(transport.to_y), len(transport.to_x)) != (len(x), len(y)):
            shape = f"{len(transport.to_y)} x {len(transport.to_x)}"
            raise InputError(f"transport: expected a plan of {len(x)} x {len(y)} rows, found {shape}; solve it anew.")
        widths, targets = [x.shape[1], y.shape[1]], [transport.to_x.shape[1], transport.to_y.shape[1]]
        if targets != widths:
            raise InputError(
                f"transport: expected targets of widths {widths}, found {targets}; solve it anew, with these options."
            )
        self._fit_maps(x, y, pairs, transport, seed)
        return self._fitted()

    def _solve(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int, truth: np.ndarray | None = None
    ) -> Transport:
        teacher = COSTS[self.cost]().fit(x, y, pairs, seed)
        # Where the first plan is made: unit rows (u [n, e], v [m, e]), or a cost matrix [n, m].
        space = teacher.cost(x, y) if hasattr(teacher, "cost") else teacher.embed(x, y)
        pinned, before = pairs if self.pinned else pairs[:0], None
        for done in range(self.rounds):
            heat = max(1.0, self.warmth * COOLING**done) if self.rounds > 1 else 1.0
            options = SinkhornOptions(self.epsilon * heat, self.tau, self.mass, self.max_iter, self.tol)
            plan = couple(space, x, y, pinned, options, truth)
            plan.rounds = done + 1
            if before is not None:
                plan.moved = float(np.linalg.norm(plan.to_y - before) / np.linalg.norm(plan.to_y))
            settled = heat == 1 and plan.moved is not None and plan.moved < SETTLED
            if settled or plan.rounds == self.rounds:
                break
            before, space = plan.to_y, self._spanned(x, y, pairs, plan)
        if not teacher.converged_:
            plan.converged, plan.reason = False, f"cost {self.cost}: {teacher.note_} Plan: {plan.reason}"
        return plan

    def _spanned(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, plan: Transport
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both clouds in the space that ridge maps to a plan span."""
        (w_ab, b_ab, _), (w_ba, b_ba, _) = (
            ridge(z, to, weights, groups_of_rows(pairs, len(z), side))
            for side, (z, to, weights) in enumerate(
                zip((x, y), (plan.to_y, plan.to_x), self._weights(plan), strict=True)
            )
        )
        return in_both_spaces(x, x @ w_ab + b_ab, y, y @ w_ba + b_ba)

    def _weights(self, plan: Transport) -> tuple[np.ndarray, np.ndarray]:
        """How much each row counts in the maps, [n] and [m], of mean 1."""
        weights = (
            mass * support**-self.confidence
            for mass, support in ((plan.mass_x, plan.support_x), (plan.mass_y, plan.support_y))
        )
        return tuple((w / w.mean()).astype(np.float32) for w in weights)

    def _fit_maps(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, transport: Transport, seed: int) -> None:
        from ngw.maps.fit import Targets, Training, fit
        from ngw.maps.objective import Weights

        weights = Weights(self.cycle, self.injectivity, self.smoothness, self.paired, self.margin)
        training = Training(self.steps, self.batch, self.learning_rate)
        targets = Targets(x, y, transport.to_y, transport.to_x, pairs, *self._weights(transport))
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
