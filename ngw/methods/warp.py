"""Neural Geometry Warping: an entropic plan between the clouds, then maps to its barycentric projections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np

from ngw.device import gradients
from ngw.errors import InputError, did_you_mean
from ngw.features.clouds import groups_of_rows
from ngw.maps.linear import ridge
from ngw.methods._choice import Choice, choose
from ngw.methods._clouds import Cloud, Computed
from ngw.methods._readout import Space, moments
from ngw.methods._rounds import HINT, drawn, in_both, narrowed
from ngw.methods._transport import SinkhornOptions, Transport, couple, mean
from ngw.methods._whitened import Whitened
from ngw.methods._wrong_pairs import judge
from ngw.methods.base import Method, Role
from ngw.methods.cca import CCA
from ngw.methods.clusters import Clusters
from ngw.methods.fused import Fused
from ngw.methods.gromov import Gromov
from ngw.methods.keypoints import Keypoints
from ngw.methods.procrustes import Procrustes
from ngw.methods.relative import Relative
from ngw.methods.sotalign import SOTAlign
from ngw.methods.unaligned import Unaligned
from ngw.methods.wasserstein_procrustes import WassersteinProcrustes
from ngw.options import option

# A cost family is a method, whose common space (or own cost matrix) gives the distance of two rows.
COSTS: dict[str, Callable[..., Method]] = {
    "cca": CCA,
    "clusters": partial(Clusters, whiten=None),  # the clouds come whitened
    "fused": Fused,
    "gw": Gromov,
    "keypoints": Keypoints,
    "klot": partial(SOTAlign, whiten=None),  # likewise
    "procrustes": partial(Procrustes, standardise=False),  # likewise
    "raw": Unaligned,
    "relative": Relative,
    "wasserstein-procrustes": partial(WassersteinProcrustes, whiten=0.5),
}
COOLING = 0.75  # from round to round epsilon falls by this factor
DRAFT_ROUNDS = 3  # at most, of a draft plan, which only serves to choose


@dataclass(eq=False, repr=False)
class Warp(Whitened):
    """NGW (proposal 2.2 to 2.5). `fit` is `solve`, the plan, then `fit_maps`.

    The clouds are whitened and compared by a cost; an entropic plan keeps the known pairs and transports the rest,
    exactly, in part (mass) or with slack (tau); maps both ways are fitted to its barycentric projections.
    Plans are solved on a GPU if torch finds one.  What each option is stands beside it; null is None.
    """

    min_pairs, has_plan = 4, True
    reference = "proposal 2.2-2.5"

    # The plan.
    epsilon: float = option(0.05, above=0)  # entropic regularisation, in units of the mean cost
    # The space in which the clouds are compared: that of a method (cca, clusters, procrustes, relative,
    # wasserstein-procrustes, sotalign's klot), of its cost matrix (fused, gw, keypoints), or none (raw).
    cost: str = "cca"
    # Each cloud is first brought to its `dims` leading principal components, divided by sqrt(variance + whiten times
    # the mean variance), the coordinates of plan, maps and comparison; null leaves the cloud unchanged.
    whiten: float | None = option(25.0, above=0)
    dims: int = option(384, least=1)  # components that are kept, at most
    # The plan is the mean of two; the second is sharper, between clouds that are whitened more; null: one plan.
    sharp_whiten: float | None = option(5.0, above=0)
    sharp_epsilon: float = option(0.02, above=0)  # of the second plan
    # Known pairs count as far as the others don't contradict them (`pair_belief_`); false: all are believed.
    robust: bool = True
    pinned: bool = True  # the known pairs' mass stays on the pairs, and only the rest is transported
    mass: float = option(1.0, above=0, most=1)  # share of the rest that is transported; below 1 the plan is partial
    tau: float | None = option(None, above=0)  # weight of penalties on the marginals, in epsilon's unit; null: exact
    # Plans in rounds, each in the space of ridge maps to the targets of the plan before it.
    rounds: int = option(6, least=1)  # at most: they end when targets move by less than `settled`
    settled: float = option(0.1, least=0)  # in units of their norm
    warmth: float = option(2.5, least=1)  # epsilon of the first round, as a multiple of `epsilon`, to which it falls
    # Between clouds with more unpaired rows than this, rounds before the last are hints: rough plans of all rows, whose
    # maps are fitted to this number of unpaired rows and the known pairs.
    early_rows: int = option(10_000, least=1)
    confidence: float = option(0.25, least=0)  # a row's weight in the maps: its effective support to minus this power
    max_iter: int = option(2000, least=1)  # Sinkhorn's, like tol
    tol: float = option(1e-4, above=0)  # L1 error of the marginals
    # The comparison (`embed`): along canonical variates of the known pairs, without and with the other rows and their
    # barycentres, averaged by the evidence of held-out pairs.
    # maps: the mean of the cosines in both spaces instead; hubness is still chosen by the variates.
    readout: str = option("cca", among=("cca", "maps"))
    trust: float = option(0.3, above=0)  # weight of an added row against a known pair's
    # The maps.
    map: str = option("linear", among=("linear", "orthogonal", "mlp", "residual"))  # their shape
    hidden: int = option(512, least=1)  # width of an mlp or a residual map
    # Their objective's coefficients (`ngw.maps.objective.Weights`).
    cycle: float = option(0.1, least=0)  # T_BA undoes T_AB, and T_AB undoes T_BA
    injectivity: float = option(0.01, least=0)  # the maps bring no two rows together
    smoothness: float | None = option(None, least=0)  # null: the penalties of ridge by leave-one-out
    paired: float = option(0.1, least=0)  # the known pairs as targets
    margin: float = option(0.5, least=0)  # of injectivity, in units of the target cloud's mean distance
    # Their training (`ngw.maps.fit.Training`).
    steps: int = option(100, least=0)  # at most; 0: the maps stay where they start, in closed form
    batch: int = option(256, least=2)  # rows per step
    learning_rate: float = option(5e-4, above=0)  # at first: it falls along a cosine

    def __post_init__(self) -> None:
        if self.cost not in [*COSTS]:  # first, since supervision follows from it
            raise ValueError(f"cost {self.cost!r} does not exist.{did_you_mean(self.cost, COSTS)}")
        super().__post_init__()
        if self.mass < 1 and (self.tau is not None or self.cost == "keypoints"):
            raise ValueError("mass below 1 (partial) is for exact marginals (tau: null) and costs other than keypoints")

    @property
    def role(self) -> Role:  # type: ignore[override]  # follows from an option
        return "control" if self.cost == "raw" else "method"  # raw: spaces that share no axis

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return COSTS[self.cost]().supervision

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        self._fit_maps(x, y, pairs, self._solve(x, y, pairs, seed), seed)

    def solve(
        self, x: Any, y: Any, pairs: Any = None, seed: int = 0, truth: np.ndarray | None = None, group: Any = None
    ) -> Transport:
        """The plan between the clouds (proposal 2.2). truth [k, 2]: the true pairs, for `true_mass` alone.

        group: a torch.distributed group of processes (CPUs: gloo; GPUs: cpu:gloo,cuda:nccl), each called with the same
        clouds. They share the plans' rows, and all get the same plan. Each computes the rest itself: the choice by
        held-out pairs, the spaces, the rounds' maps.
        """
        twin = self._checked(self.params())  # an earlier fit stays unchanged
        x, y, pairs, truth = twin._given(x, y, pairs, seed, truth)
        x, y, pairs = twin._prepare(x, y, pairs)  # the given arrays are freed
        return twin._solve(x, y, pairs, seed, truth, group)

    @gradients()
    def fit_maps(self, x: Any, y: Any, pairs: Any, transport: Transport, seed: int = 0) -> Self:
        """Fit T_AB and T_BA to a plan that `solve` made from the same clouds (proposal 2.3)."""
        self._forget()
        rows_x, rows_y, known, _ = self._given(x, y, pairs, seed)
        x, y, pairs = self._prepare(rows_x, rows_y, known)
        if (len(transport.to_y), len(transport.to_x)) != (len(x), len(y)):
            shape = f"{len(transport.to_y)} x {len(transport.to_x)}"
            raise InputError(f"transport: expected a plan of {len(x)} x {len(y)} rows, found {shape}; solve it again.")
        widths, targets = [x.shape[1], y.shape[1]], [transport.to_x.shape[1], transport.to_y.shape[1]]
        if targets != widths:
            raise InputError(
                f"transport: expected targets of widths {widths}, found {targets}; solve it again with these options."
            )
        if len(transport.belief) != len(pairs):
            found = len(transport.belief)
            raise InputError(f"transport: expected a plan of {len(pairs)} known pairs, found {found}; solve it again.")
        self._fit_maps(x, y, pairs, transport, seed)
        return self._fitted(rows_x, rows_y, known, seed)

    def _solve(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int, truth: np.ndarray | None = None,
        group: Any = None,
    ) -> Transport:  # fmt: skip
        def plan(x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> tuple[Transport, tuple[np.ndarray, np.ndarray]]:
            draft = self._plan(x, y, pairs, self.epsilon, seed, rounds=min(self.rounds, DRAFT_ROUNDS))
            return draft, self._weights(draft)

        belief = (judge(x, y, pairs) if self.robust else np.ones(len(pairs))).astype(np.float32)
        pairs = pairs[belief > 0]
        choice = choose(plan, x, y, pairs, self.trust, seed, self.hubness)
        known: dict[str, Any] = {"truth": truth, "group": group, "belief": belief[belief > 0]}
        plans = [self._plan(x, y, pairs, self.epsilon, seed, **known)]
        if self.whiten is not None and self.sharp_whiten is not None:
            of_x, of_y = self._rewhitened(x, y, self.sharp_whiten)
            u, v = Computed(x, lambda rows: rows * of_x), Computed(y, lambda rows: rows * of_y)
            plans.append(self._plan(u, v, pairs, self.sharp_epsilon, seed, **known))
            plans[1].to_x /= of_x
            plans[1].to_y /= of_y
        solved = mean(plans)
        solved.choice, solved.belief, solved.doubted = asdict(choice), belief, int((belief == 0).sum())
        return solved

    def _plan(
        self, x: Cloud, y: Cloud, pairs: np.ndarray, epsilon: float, seed: int, truth: np.ndarray | None = None,
        rounds: int | None = None, group: Any = None, belief: np.ndarray | None = None,
    ) -> Transport:  # fmt: skip
        """A plan in at most `rounds` rounds; between large clouds all except the last are hints."""
        rounds = self.rounds if rounds is None else rounds
        teacher = COSTS[self.cost](hubness=False).fit(x[:], y[:], pairs, seed)
        # The space of the first plan: unit rows (u [n, e], v [m, e]), or a cost matrix [n, m].
        space: Any = Computed(x, teacher.embed_x), Computed(y, teacher.embed_y)
        if hasattr(teacher, "cost"):
            space = teacher.cost(x[:], y[:])
        large = max(len(x), len(y)) - len(pairs) > self.early_rows
        plan: Any = None
        pinned, belief = (pairs, belief) if self.pinned else (pairs[:0], None)
        before, scale = None, 1.0
        g: np.ndarray | None = None  # potentials of y in the last plan between unit rows, where the next one starts
        for done in range(rounds):
            heat = max(1.0, self.warmth * COOLING**done) if rounds > 1 else 1.0
            hint = large and done + 1 < rounds
            tol = max(self.tol, HINT) if hint else self.tol
            options = SinkhornOptions(epsilon * heat, self.tau, self.mass, self.max_iter, tol)
            if large and self.tau is None and isinstance(space, tuple):  # tau's plan depends on constants in the cost
                space, options, scale = narrowed(space, options, hint, self.dims)
            elif isinstance(space, tuple):
                space = space[0][:], space[1][:]
            some = drawn(x, y, pairs, self.early_rows, seed) if hint else None
            start = None if g is None else g / scale
            plan = couple(space, x, y, pinned, options, None if hint else truth, some, group, start, belief)
            plan.rounds, g = done + 1, scale * plan.g if isinstance(space, tuple) else None
            if before is not None:
                new, old = plan.to_y[before[0]], before[1]
                plan.moved = float(np.linalg.norm(new - old) / np.linalg.norm(new))
            fixed = np.isnan(plan.f).all()  # all mass is pinned: no round changes that
            settled = heat == 1 and not large and plan.moved is not None and plan.moved < self.settled
            if fixed or settled or plan.rounds == rounds:
                break
            rows = np.flatnonzero(plan.mass_x > 0)
            before, space = (rows, plan.to_y[rows]), self._spanned(x, y, pairs, plan)
            plan = None  # a hint's targets, too, are as long as the clouds
        plan.f, plan.g = 1 - scale + scale * plan.f, scale * plan.g
        if not teacher.converged_:
            plan.converged, plan.reason = False, f"cost {self.cost}: {teacher.note_} Plan: {plan.reason}"
        return plan

    def _spanned(self, x: Cloud, y: Cloud, pairs: np.ndarray, plan: Transport) -> tuple[Computed, Computed]:
        """Both clouds in the space of ridge maps to a plan's targets."""
        sides = []
        for side, (z, to, w) in enumerate(zip((x, y), (plan.to_y, plan.to_x), self._weights(plan), strict=True)):
            rows = np.flatnonzero(w > 0)  # of a hint, only the drawn ones
            w, b, _ = ridge(z[rows], to[rows], w[rows], groups_of_rows(pairs, len(z), side)[rows])
            sides.append(in_both(z, w, b, side == 0))
        return sides[0], sides[1]

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
        self.pair_belief_, pairs = transport.belief, pairs[transport.belief > 0]
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
        self._fit_readout(x, y, pairs, transport)

    def _fit_readout(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, transport: Transport) -> None:
        """The space in which rows are compared, by the plan's choice."""
        choice, belief = Choice(**transport.choice), transport.belief[transport.belief > 0]
        space = choice.space(moments(x, y, pairs, transport, self._weights(transport), self.trust, belief))
        self.axes_x_, self.axes_y_, self.shares_ = space.x, space.y, space.shares
        self.hubs_ = choice.hubness

    def _choose_hubness(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        return self.hubs_

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        return super()._embed_x(x) if self.readout == "maps" else self._space.embed_x(x)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return super()._embed_y(y) if self.readout == "maps" else self._space.embed_y(y)

    @property
    def _space(self) -> Space:
        return Space(self.axes_x_, self.axes_y_, self.shares_)

    def _map(self, name: str) -> dict[str, np.ndarray]:
        prefix = name + "_"
        return {k[len(prefix) : -1]: v for k, v in self._arrays().items() if k.startswith(prefix)}

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        from ngw.maps.networks import apply

        return apply(self._map("ab"), x)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        from ngw.maps.networks import apply

        return apply(self._map("ba"), y)
