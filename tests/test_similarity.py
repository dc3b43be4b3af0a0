"""Similarity before alignment against a permutation null, by hand and on clouds with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, ortho_group

from ngw.metrics import identifiability as metric
from ngw.metrics.geometry import cosine_neighbours, unit_rows
from ngw.metrics.similarity import calibrate, null, similarity, u_centred_gram
from ngw.report.tables import similarity as similarity_report

Z = np.random.default_rng(0).standard_normal((120, 6))
ROTATION = 2.5 * ortho_group.rvs(6, random_state=0)


def views(n: int = 60, shared: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    x = stream.standard_normal((n, 12))
    return x, shared * x @ stream.standard_normal((12, 9)) + stream.standard_normal((n, 9))


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, section 3, as printed: by the columns' products."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def mutual_neighbours(x: np.ndarray, y: np.ndarray, k: int = 7) -> float:
    """Huh et al. 2024, appendix A: the mean share of the k nearest by cosine that a row has in both spaces."""
    units = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y)]
    near = [np.argsort(-(u @ u.T) + 9 * np.eye(len(u)), axis=1)[:, :k] for u in units]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)]))


def test_similarity_holds_the_plain_measures_and_their_nulls():
    x, y = views()
    orders = [np.random.default_rng(5).permutation(60)]
    found = similarity(x, y, np.random.default_rng(5), permutations=1, k=7)
    for name, plain in (("cka", cka), ("mutual_neighbours_7", mutual_neighbours)):
        assert found[name]["value"] == pytest.approx(plain(x, y))
        assert found[name]["null_mean"] == pytest.approx(plain(x, y[orders[0]]))


def test_similarity_by_hand():
    def values(x, y):
        return {name: numbers["value"] for name, numbers in similarity(x, y, np.random.default_rng(0), 1, 1).items()}

    a, b = np.array([1, 1, -1, -1.0]), np.array([1, -1, 1, -1.0])
    # x = [a], y = [a, b]: |y'x|^2 = 16, |x'x| = 4, |y'y| = sqrt(16 + 16).
    assert values(a[:, None], np.stack([a, b], 1))["cka"] == pytest.approx(16 / (4 * np.sqrt(32)))
    assert values(a[:, None], b[:, None])["cka"] == 0

    # Angles on the circle. x: 0, 10, 25, 45 degrees: nearest are 1, 0, 1, 2.
    def circle(*degrees):
        return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], 1)

    # y: sample 2 (45) is nearest to 3 (25), sample 3 (25) is nearest to 1 (10): 15 against 20 degrees.
    # Samples 0 and 1 agree; 2 has 1 against 3; 3 has 2 against 1.
    found = values(circle(0, 10, 25, 45), circle(0, 10, 45, 25))
    assert found["mutual_neighbours_1"] == pytest.approx(2 / 4)


def test_equal_rows_share_the_places_of_neighbours():
    same = cosine_neighbours(unit_rows(np.full((11, 3), 0.1), "x"), 4)
    np.testing.assert_allclose(same, 0.4 * (1 - np.eye(11)))


def test_u_centred_grams_give_the_unbiased_hsic():
    x, y = views(n=12)
    k, ell = (z @ z.T * (1 - np.eye(12)) for z in (x, y))  # Song et al. 2012, eq. 4, as printed
    ones = np.ones(12)
    hsic = np.trace(k @ ell) + (ones @ k @ ones) * (ones @ ell @ ones) / (11 * 10) - 2 / 10 * (ones @ k @ ell @ ones)
    assert (u_centred_gram(x) * u_centred_gram(y)).sum() == pytest.approx(hsic)


def test_related_spaces_stand_out_and_independent_ones_do_not():
    related = similarity(*views(), np.random.default_rng(0), permutations=99)
    for numbers in related.values():
        assert numbers["p"] == pytest.approx(0.01)
        assert numbers["z"] > 5
        assert 0 < numbers["calibrated"] < numbers["value"]
    same = similarity(Z, Z @ ROTATION, np.random.default_rng(0), permutations=99)
    assert all(numbers["calibrated"] == pytest.approx(1) for numbers in same.values())


def test_the_null_of_independent_clouds_is_uniform_in_p_and_near_zero_when_calibrated():
    found = [similarity(*views(30, 0, seed), np.random.default_rng(seed), 39, k=5) for seed in range(150)]
    for name in ("cka", "cka_debiased"):
        p = np.array([one[name]["p"] for one in found])
        assert kstest(p - 1 / 80, "uniform").pvalue > 0.01  # p lies on 1/40, ..., 1
        assert np.mean([one[name]["excess"] for one in found]) == pytest.approx(0, abs=0.01)
        assert np.mean([one[name]["calibrated"] > 0 for one in found]) < 0.1
    assert np.mean([one["cka"]["value"] for one in found]) > 0.2  # what calibration is for
    assert np.mean([one["cka_debiased"]["value"] for one in found]) == pytest.approx(0, abs=0.02)
    assert np.mean([one["mutual_neighbours_5"]["p"] <= 0.1 for one in found]) < 0.17


def test_calibration_by_hand():
    found = calibrate(0.5, np.arange(19) / 100)  # 0, 0.01, ..., 0.18; the 19th smallest of the 20 is the null's largest
    assert found.p == 1 / 20
    assert found.critical == pytest.approx(0.18)
    assert found.calibrated == pytest.approx((0.5 - 0.18) / (1 - 0.18))
    assert found.excess == pytest.approx(0.41)
    flat = calibrate(0.3, np.full(19, 0.3))
    assert (flat.p, flat.z, flat.calibrated) == (1, None, 0)


def test_sparse_and_dense_inner_products_agree():
    stream = np.random.default_rng(0)
    a, b = stream.random((20, 20)) * (stream.random((20, 20)) < 0.1), stream.random((20, 20))
    orders = [stream.permutation(20) for _ in range(3)]
    value, found = null(a, b, orders)
    assert value == pytest.approx((a * b).sum())
    np.testing.assert_allclose(found, [(a * b[np.ix_(o, o)]).sum() for o in orders])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metric.injectivity(Z, Z[:9]), "found 120 and 9"),
        (lambda: metric.injectivity(Z, Z * np.nan), "image: expected a finite matrix"),
        (lambda: metric.surjectivity(Z[:5], Z), "found 5 for 5 and 120 rows"),
        (lambda: similarity(Z, Z[:9], np.random.default_rng(0)), "same number of rows"),
        (lambda: similarity(Z[:1], Z[:1], np.random.default_rng(0)), "2 or more"),
        (lambda: similarity(Z, Z * np.nan, np.random.default_rng(0)), "y: row 0 isn't finite"),
        (lambda: unit_rows(Z * (Z[:, :1] != Z[1, 0]), "y"), "y: row 1 is zero"),
        (lambda: similarity(Z, Z, np.random.default_rng(0), k=120), "more than k = 120"),
        (lambda: similarity(Z, Z, np.random.default_rng(0), permutations=0), "expected 1 or more, found 0"),
        (lambda: similarity(Z, 0 * Z, np.random.default_rng(0), permutations=1), "rows of a cloud are equal"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_similarity_table_stands_beside_what_alignment_reaches():
    numbers = similarity(*views(), np.random.default_rng(0), permutations=20)
    numbers["cka"] |= {"p": 0.4, "value": 0.3, "null_mean": 0.29, "calibrated": 0.0, "z": None}
    one = {"dataset": "points", "vision": "v", "text": "t", "n": 60, "metrics": numbers}
    one |= {"repeated_rows": {"vision": 0, "text": 0}}
    reached = [
        {"dataset": "points", "vision": "v", "text": "t", "metric": "mean_recall_1", "pairs": "300", "unpaired": "none"}
        | more
        for more in (
            {"mean": 0.4, "role": "method"},
            {"mean": 0.35, "role": "baseline"},
            {"mean": 0.9, "role": "control"},
        )
    ]
    files = similarity_report.build([one], pd.DataFrame(reached), "300")
    line = next(line for line in files["similarity.md"].splitlines() if line.startswith("| points: v, t (n = 60)"))
    assert line.startswith("| points: v, t (n = 60) | 0.300° / 0.290 | 0.000 | – |")
    assert line.endswith("| 40.0 |")
    assert files["similarity.csv"].splitlines()[1].startswith("points,v,t,60,cka,0.3,0.29,")
