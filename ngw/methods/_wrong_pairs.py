"""Known pairs that the other pairs contradict: how probable it is that each is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ngw.features.clouds import groups
from ngw.maps.linear import left_out
from ngw.methods.base import unit

FEWEST = 200  # pairs without a common row that can judge each other
RARE = 0.03  # share of wrong pairs up to which all stay: right ones that look wrong are the only ones of their kind
DOUBTED = 0.2  # probability below which nothing of a pair is believed
TOGETHER = 20_000  # pairs that judge each other, at most
PASSES = 2  # regressions of the second one rest on the pairs that the first one believed
LEAST = 1e-3  # weight of a disbelieved pair in the regressions
EXCHANGED = 30_000  # about so many exchanged partners tell what wrong pairs reach
STEPS = 200  # of expectation maximisation


def judge(x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How much of each of the pairs [k, 2] of rows of x [n, d_x] and y [m, d_y] is believed, [k].

    The probability that it is right; 0 if that is low.  1 for all where they are too few to judge each other, hardly
    any is wrong, most seem to be, or right and wrong ones can't be told apart.
    """
    believed = np.ones(len(pairs))
    parts = -(-len(pairs) // TOGETHER)
    for part in (slice(k, None, parts) for k in range(parts)):
        if len(np.unique(groups(pairs[part]))) >= FEWEST:
            right, wrong = probability(x, y, pairs[part])
            error = np.sqrt(wrong * (1 - wrong) / len(right))
            doubted = right < DOUBTED
            if wrong - 2 * error > RARE and doubted.any() and (right >= 0.5).mean() > 0.5:
                believed[part] = np.where(doubted, 0, right)
    return believed


def probability(x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, float]:
    """(how probable it is that each of the pairs is right [k], the share of wrong ones); arguments as in `judge`.

    A pair's evidence says how near its rows come to each other under ridge regressions on the other pairs.  Exchanged
    partners tell what wrong pairs reach: their evidence is a standard normal variable.  The pairs' own is a mixture of
    that and another normal variable (the two-groups model; Efron 2008).
    """
    left, right, group = x[pairs[:, 0]], y[pairs[:, 1]], groups(pairs)
    probable, wrong = np.ones(len(pairs)), 0.0
    for _ in range(PASSES):
        weights = probable.clip(LEAST)
        there, back = left_out(left, right, weights, group), left_out(right, left, weights, group)
        of_x, of_y = (np.average(z, 0, weights).astype(z.dtype) for z in (left, right))
        probable, wrong = mixture(evidence([(there - of_y, right - of_y), (back - of_x, left - of_x)], group))
    return probable, wrong


def evidence(sides: Sequence[tuple[np.ndarray, np.ndarray]], group: np.ndarray) -> np.ndarray:
    """How near the rows of each pair are, both ways, as a normal score [k] among partners of other groups [k].

    sides: (predictions of the other side's rows [k, d], those rows), of either side.
    """
    from scipy.special import ndtri

    units = [(unit(there), unit(z)) for there, z in sides]
    means = [there @ z.mean(0) for there, z in units]
    variances = [np.einsum("ij,ij->i", there @ np.cov(z.T, bias=True), there) for there, z in units]

    def nearness(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Of rows i of the first side and j of the second: two cosines, each in standard deviations of its row's."""
        ways = zip(units, means, variances, ((i, j), (j, i)), strict=True)
        return sum(
            (np.einsum("ij,ij->i", there[a], z[b]) - mean[a]) / np.sqrt(variance[a].clip(1e-12))
            for (there, z), mean, variance, (a, b) in ways
        )

    k, exchanged = np.arange(len(group)), []
    shifts = np.linspace(0, len(k), 2 - (-EXCHANGED // len(k)))[1:-1]
    for other in (np.roll(k, int(shift)) for shift in np.unique(shifts.astype(int))):
        apart = group[k] != group[other]
        exchanged.append(nearness(k[apart], other[apart]))
    wrong = np.sort(np.concatenate(exchanged))
    return ndtri((0.5 + np.searchsorted(wrong, nearness(k, k))) / (1 + len(wrong)))


def mixture(z: np.ndarray) -> tuple[np.ndarray, float]:
    """(how probable it is that each value of z [k] isn't of the standard normal part, that part's share).

    The other part is normal, with a mean above 0 and a deviation of at most 1; beyond its mean, values are as probable
    as there.  By expectation maximisation.
    """
    wrong, mean, deviation, probable = 0.1, max(float(np.median(z)), 0.5), 1.0, np.ones(len(z))
    for _ in range(STEPS):
        at = np.minimum(z, mean)
        other = (1 - wrong) / deviation * np.exp(-(((at - mean) / deviation) ** 2) / 2)
        probable = other / (other + wrong * np.exp(-(at**2) / 2))
        wrong = min(1 - float(probable.mean()), 0.99)
        mean = max(float(np.average(z, weights=probable)), 0.0)
        deviation = float(np.sqrt(np.average((z - mean) ** 2, weights=probable)).clip(0.1, 1))
    return probable, wrong
