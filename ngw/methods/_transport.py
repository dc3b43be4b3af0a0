"""From a space in which two clouds can be compared to a plan, and from the plan to the maps' targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ngw.device import device
from ngw.methods._clouds import Cloud, Computed, blocks

APART = 3.0  # the partial plan's two extra points, in units of the points' length: no mass goes from one to the other


@dataclass
class Transport:
    """A solved plan, without its n x m matrix: the maps' targets, and the solver's status.

    to_y [n, d_y], to_x [m, d_x]: barycentric projections both ways, in standardised coordinates (proposal 2.3).
    mass_x [n], mass_y [m]: share of each row's weight that was transported; 1 where the marginals are exact.
    support_x [n], support_y [m]: exp(entropy of the row): how many partners share its mass; 1 for a known pair.
    belief [k]: how far each given pair is believed.
    f [n], g [m]: potentials in the cost's own units; NaN where a known pair took the row's whole mass.  Of a mean of k
    plans they are [k, n] and [k, m].
    """

    to_y: np.ndarray
    to_x: np.ndarray
    mass_x: np.ndarray
    mass_y: np.ndarray
    support_x: np.ndarray
    support_y: np.ndarray
    f: np.ndarray
    g: np.ndarray
    n_iter: int
    marginal_error: float
    converged: bool
    reason: str
    effective_support: float  # mean of support_x over the rows that were transported
    true_mass: float | None  # share of the unpinned mass on true partners, where they are given: for evaluation only
    rounds: int = 1
    moved: float | None = None  # relative change of to_y in the last round
    choice: dict[str, Any] = field(default_factory=dict)  # `ngw.methods._choice.Choice`
    belief: np.ndarray = field(default_factory=lambda: np.ones(0, np.float32))  # `ngw.methods._wrong_pairs.judge`
    doubted: int = 0  # how many pairs have none

    def diagnostics(self) -> dict[str, Any]:
        """The solver's status as values of JSON: a NaN becomes None."""
        plain = {k: v for k, v in vars(self).items() if not isinstance(v, np.ndarray)}
        return {k: None if v != v else v for k, v in plain.items()}


def mean(plans: Sequence[Transport]) -> Transport:
    """The mean of plans between the same clouds, in the same coordinates, which has their marginals too.

    Its supports are their geometric means, at most the mean plan's own; its status is the worst one's.
    """
    if len(plans) == 1:
        return plans[0]

    def each(name: str) -> np.ndarray:
        return np.array([getattr(plan, name) for plan in plans])

    def geometric(name: str) -> np.ndarray:
        return np.exp(np.log(each(name)).mean(0))

    def barycenters(name: str, mass: np.ndarray) -> np.ndarray:
        weights, targets = mass / np.maximum(mass.sum(0), 1e-300), [getattr(plan, name) for plan in plans]
        means = np.empty(targets[0].shape, np.float32)
        for rows in blocks(len(means)):
            means[rows] = sum(w[rows, None] * z[rows] for w, z in zip(weights, targets, strict=True))
        return means

    mass_x, mass_y, support_x = each("mass_x"), each("mass_y"), geometric("support_x")
    transported = np.isfinite(plans[0].f)
    return replace(
        next((plan for plan in plans if not plan.converged), plans[0]),
        to_y=barycenters("to_y", mass_x), to_x=barycenters("to_x", mass_y),
        mass_x=mass_x.mean(0), mass_y=mass_y.mean(0), support_x=support_x, support_y=geometric("support_y"),
        f=each("f"), g=each("g"), n_iter=int(each("n_iter").max()), marginal_error=float(each("marginal_error").max()),
        effective_support=float(support_x[transported].mean()) if transported.any() else 1.0,
        true_mass=float(each("true_mass").mean()), rounds=int(each("rounds").max()),
    )  # fmt: skip


@dataclass(frozen=True)
class SinkhornOptions:
    """How plans are made: `ngw.ot.sinkhorn`'s options, and the share of the unpinned mass that must be transported."""

    epsilon: float
    tau: float | None = None
    mass: float = 1.0
    max_iter: int = 2000
    tol: float = 1e-4

    def plan(
        self, space: tuple[np.ndarray, np.ndarray] | np.ndarray, a: np.ndarray, b: np.ndarray,
        start: np.ndarray | None = None, group: Any = None,
    ) -> Any:  # fmt: skip
        """The coupling of weights a [k], b [l] under 1 - cosine of unit rows (u [k, e], v [l, e]), or a cost [k, l].

        start [l]: potentials to start from, of b; group: of processes, each of which has some of the k rows.  A partial
        plan isn't shared, nor started.
        """
        from ngw.ot import sinkhorn

        given: dict[str, Any] = {"tau": self.tau, "max_iter": self.max_iter, "tol": self.tol, "group": group}
        given |= {"a": a, "b": b, "device": device()}
        if isinstance(space, np.ndarray):
            return sinkhorn(cost=space, epsilon=self.epsilon, **given)
        if self.mass == 1:
            init = (None, start) if start is not None and np.isfinite(start).all() else None
            return sinkhorn(*space, cost="cosine", epsilon=self.epsilon, init=init, **given)
        return sinkhorn(**given | partial_problem(*space, a, b, self.mass, self.epsilon))


def partial_problem(
    u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray, mass: float, epsilon: float
) -> dict[str, Any]:
    """Partial transport as a balanced problem with one more point on each side, as arguments of `sinkhorn`.

    The new points take the mass that stays behind, at one price for all rows, and none from each other (Chapel et al.
    2020, proposition 1).  That mass, r = a - P 1 and s = b - P' 1, is under the entropy too: P minimises <P, C> +
    epsilon (KL(P | a b') + KL(r | a) + KL(s | b)).  u [n, e], v [m, e]: unit rows.  On those |u - v|^2 =
    2 (1 - cosine); epsilon keeps its unit, the mean cost between the given points.
    """
    total = a.sum()
    stay = (1 - mass) * total
    points = [np.pad(z, ((0, 1), (0, 1))) for z in (u, v)]
    points[0][-1, -1], points[1][-1, -1] = APART, -APART
    weights = [np.append(w, stay) for w in (a, b)]

    def mean(points, weights):
        p, q = (w / w.sum() for w in weights)
        x, y = points
        return p @ (x**2).sum(1) + q @ (y**2).sum(1) - 2 * (p @ x) @ (q @ y)

    scale = mean((u, v), (a, b)) / mean(points, weights)
    return {"x": points[0], "y": points[1], "a": weights[0], "b": weights[1], "epsilon": epsilon * scale}


def couple(
    space: tuple[Cloud, Cloud] | np.ndarray, x: Cloud, y: Cloud, pinned: np.ndarray, options: SinkhornOptions,
    truth: np.ndarray | None = None, wanted: Sequence[np.ndarray] | None = None, group: Any = None,
    start: np.ndarray | None = None, belief: np.ndarray | None = None,
) -> Transport:  # fmt: skip
    """The plan between all rows, in which the pinned pairs [k, 2] keep their mass, and its projections.

    belief [k]: the share of its mass that a pinned pair keeps; None: all.

    space: unit rows (u [n, e], v [m, e]) or a cost matrix [n, m].  truth [t, 2]: the true pairs, for `true_mass` alone.
    wanted: rows of x and of y whose projections are computed; others get only their pinned mass's.  None: all.
    group: a torch.distributed group of processes with the same arguments; each solves for some of the other rows of x
        against all of y, and all get the whole plan.  Each solves a partial plan, or one of few rows, alone.
    start [m]: potentials of y in a plan between the same clouds, in about the same space, to start from.
    """
    n, m = len(x), len(y)
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    share, rest_a, rest_b = pin(a, b, pinned, belief)
    rows, columns = np.flatnonzero(rest_a > 0), np.flatnonzero(rest_b > 0)
    ranks, rank = (group.size(), group.rank()) if group is not None and options.mass == 1 else (1, 0)
    group, mine = (group, np.array_split(rows, ranks)[rank]) if 1 < ranks <= len(rows) else (None, rows)
    plan, status, true = None, (0, 0.0, True, "every row is a known pair"), float("nan")
    f, g = np.full(n, np.nan), np.full(m, np.nan)
    if len(rows):
        part = space[np.ix_(mine, columns)] if isinstance(space, np.ndarray) else (space[0][mine], space[1][columns])
        plan = options.plan(part, rest_a[mine], rest_b[columns], None if start is None else start[columns], group)
        f[rows], g[columns] = 0.0, plan.g[: len(columns)]
        f[mine] = plan.f[: len(mine)]
        f[rows] = summed(f[rows], group)
        status = (int(plan.n_iter), float(plan.marginal_error), bool(plan.converged), str(plan.reason))
        true = true_mass(plan, mine, columns, truth, n, m)
        del part  # the plan has its own copy
        plan = replace(plan, group=None)  # of these rows
    sides = []
    for k, (here, rest, z) in enumerate(((rows, rest_a, y), (columns, rest_b, x))):
        side, there = _Side(len(rest), z.shape[1]), mine if k else columns
        if plan is not None:
            here = here if wanted is None else np.intersect1d(here, wanted[k])
            own = here if k else np.intersect1d(here, mine)
            if wanted is None:
                view = plan = plan.T if k else plan  # one after the other: each has a copy of both clouds
            else:
                some = np.searchsorted(columns if k else mine, own)
                view = plan.take(columns=some).T if k else plan.take(some)
            exact = options.tau is None and (group is None or not k)
            if len(own):
                side.add(own, view, Computed(there, z.__getitem__), exact)
            if group is not None:
                side.gather(here, group)
                side.mass[here] = rest[here] if options.tau is None else side.mass[here]
        side.pin(pinned[:, k], z[pinned[:, 1 - k]], share)
        sides.append(side)
    one, other = sides
    support = float(np.average(one.support[rows], weights=rest_a[rows])) if len(rows) else 1.0
    return Transport(
        one.means, other.means, (one.mass / a).astype(np.float32), (other.mass / b).astype(np.float32),
        one.support.astype(np.float32), other.support.astype(np.float32), f, g, *status, support, true,
    )  # fmt: skip


class _Side:
    """What one cloud's n rows receive from the plan: means of the other cloud's rows [n, d], mass, support."""

    def __init__(self, n: int, d: int) -> None:
        self.means, self.mass = np.zeros((n, d), np.float32), np.zeros(n)
        self.support = np.ones(n)

    def add(self, here: np.ndarray, plan: Any, z: Cloud, exact: bool) -> None:
        """Add a plan between the rows `here` and the points z [k, d]; the mass of one more point stays behind.

        exact: the rows have the mass that they should.
        """
        if plan.shape[1] > len(z):
            plan, exact = plan.take(slice(len(here)), slice(len(z))), False
        means, support = plan.barycenters(z, rows=True), plan.perplexity()
        mass = plan.a.cpu().numpy() if exact else plan.row_mass()
        self.means[here], self.mass[here] = means, mass
        self.support[here] = support

    def gather(self, here: np.ndarray, group: Any) -> None:
        """Make whole the rows `here`, for which each process has `add`ed what its part of the plan gives."""
        mass = summed(self.mass[here], group)
        part = self.mass[here] / np.maximum(mass, 1e-300)  # [k], this process's
        for rows in blocks(len(here)):
            self.means[here[rows]] = summed(part[rows, None] * self.means[here[rows]], group)
        entropy = np.log(self.support[here]) - np.log(np.maximum(part, 1e-300))
        self.support[here] = np.exp(summed(part * entropy, group))
        self.mass[here] = mass

    def pin(self, rows: np.ndarray, z: np.ndarray, share: np.ndarray) -> None:
        """Add the pinned mass, share [k], that the rows [k] get from the points z [k, d]."""
        known, place = np.unique(rows, return_inverse=True)
        sums = self.mass[known, None] * self.means[known]
        np.add.at(sums, place, share[:, None] * z)
        np.add.at(self.mass, rows, share)
        self.means[known] = sums / np.maximum(self.mass[known], 1e-300)[:, None]


def summed(value: np.ndarray, group: Any) -> np.ndarray:
    """The sum over the processes of a group, in place; without a group the value itself."""
    import torch

    from ngw.ot.cost import total

    return total(torch.from_numpy(value), group).numpy()


def pin(
    a: np.ndarray, b: np.ndarray, pairs: np.ndarray, belief: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put as much mass on each known pair as its row and column still have, or that share of it, belief [k].

    a [n], b [m]: weights.  Returns (the pairs' mass [k], what is left of a, what is left of b).
    """
    a, b = a.copy(), b.copy()
    share = np.zeros(len(pairs))
    for k, (i, j) in enumerate(pairs):
        share[k] = min(a[i], b[j])
        a[i] -= share[k]
        b[j] -= share[k]
    # Rounding leaves small remainders of a row that is used up.
    a[a < 1e-9 / len(a)] = 0
    b[b < 1e-9 / len(b)] = 0
    if belief is not None:
        for rest, rows in ((a, pairs[:, 0]), (b, pairs[:, 1])):
            np.add.at(rest, rows, share * (1 - belief))
        share = share * belief
    return share, a, b * (a.sum() / b.sum() if b.sum() > 0 else 1)


def true_mass(plan, rows: np.ndarray, columns: np.ndarray, truth: np.ndarray | None, n: int, m: int) -> float:
    """Share of the rows' mass that a plan puts on the true pairs among its rows and columns; NaN without truth.

    What a partial plan leaves behind is part of the rows' mass; its one more point on each side isn't.
    """
    if truth is None:
        return float("nan")
    place_x, place_y = np.full(n, -1), np.full(m, -1)
    place_x[rows], place_y[columns] = np.arange(len(rows)), np.arange(len(columns))
    i, j = place_x[truth[:, 0]], place_y[truth[:, 1]]
    both = (i >= 0) & (j >= 0)
    mass = plan.mass(i[both], j[both]).sum() if both.any() else 0.0
    count, mass, whole = summed(np.array([both.sum(), mass, float(plan.a[: len(rows)].sum())]), plan.group)
    return float(mass / whole) if count else float("nan")
