"""Identifiability and calibrated similarity: closed forms, second implementations, points one can draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, ortho_group

from ngw import methods
from ngw.clouds import Clouds
from ngw.errors import InputError
from ngw.features import Features
from ngw.methods import Method
from ngw.metrics import identifiability as metric
from ngw.metrics.geometry import linear_cka, mutual_neighbours
from ngw.metrics.similarity import calibrate, null, similarity, u_centred_gram
from ngw.report import identifiability as report
from ngw.report import similarity as similarity_report
from ngw.report.style import encode
from ngw.tasks import identifiability as task

Z = np.random.default_rng(0).standard_normal((120, 6))
ROTATION = 2.5 * ortho_group.rvs(6, random_state=0)


# Injectivity.


def test_a_rotation_keeps_margins_and_neighbours():
    found = metric.injectivity(Z, Z @ ROTATION + 100)
    distance = np.linalg.norm(Z[:, None] - Z, axis=2)[~np.eye(120, dtype=bool)]
    assert found["margin"] == pytest.approx(distance.min() / distance.mean())
    assert found["margin_5"] == pytest.approx(
        np.quantile(distance.reshape(120, 119).min(axis=1), 0.05) / distance.mean()
    )
    assert found["collision"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("memory_mb", [1e-6, 100])
def test_a_constant_map_has_no_margin_and_collides_as_chance_does(memory_mb):
    found = metric.injectivity(Z, np.full((120, 4), 0.7), k=10, memory_mb=memory_mb)
    assert (found["margin"], found["margin_5"]) == (0, 0)
    assert found["collision"] == pytest.approx(1 - 10 / 119)


def test_margin_and_collisions_by_hand():
    # On the line 0, 1, 3, 7 -> 0, 5, 5, 4: the images of 1 and 3 fall together.
    z, image = (np.array(v, float)[:, None] for v in ([0, 1, 3, 7], [0, 5, 5, 4]))
    found = metric.injectivity(z, image, k=1)
    # Nearest images: of 0: 4 (from 7, not from 1); of 1: that of 3, not of 0; of 3: that of 1, right; of 7: those of
    # 1 and 3 tie, and 3 is its nearest: half.
    assert found["margin"] == 0
    assert found["collision"] == pytest.approx(1 - (0 + 0 + 1 + 0.5) / 4)


def test_the_same_row_twice_is_no_lost_margin():
    z = np.vstack([Z, Z[:5]])
    assert metric.injectivity(z, z @ ROTATION)["margin"] > 0.05


# Surjectivity.


def disc(n: int, centre: float, seed: int) -> np.ndarray:
    """n points of the unit disc around (centre, 0)."""
    stream = np.random.default_rng(seed)
    radius, angle = np.sqrt(stream.random(n)), 2 * np.pi * stream.random(n)
    return np.stack([centre + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def test_two_samples_of_one_disc_reach_the_ceiling():
    found = metric.surjectivity(disc(1500, 0, 0), disc(1500, 0, 1), memory_mb=1)
    assert found["precision"] > 0.97
    assert found["recall"] > 0.97
    assert found["density"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(metric.coverage_ceiling(1500, 1500), abs=0.015)
    assert metric.coverage_ceiling(10**6, 10**6, 5) == pytest.approx(1 - 2**-5, abs=1e-5)


def test_discs_apart_share_nothing():
    assert set(metric.surjectivity(disc(200, 0, 0), disc(200, 9, 1)).values()) == {0}


def test_half_of_two_discs_has_all_precision_and_half_the_recall():
    one, both = disc(400, 0, 0), np.vstack([disc(400, 0, 1), disc(400, 9, 2)])
    found = metric.surjectivity(one, both)
    assert found["precision"] > 0.95
    assert found["recall"] == pytest.approx(0.5, abs=0.03)
    assert found["coverage"] == pytest.approx(0.5, abs=0.03)
    turned = metric.surjectivity(both, one)
    assert turned["precision"] == pytest.approx(0.5, abs=0.03)
    assert turned["coverage"] > 0.95


def test_a_projection_loses_coverage():
    target = np.random.default_rng(1).standard_normal((300, 6))
    whole, flat = (metric.surjectivity(image, target) for image in (Z, Z * [1, 1, 0, 0, 0, 0]))
    assert flat["recall"] < 0.2 < 0.8 < whole["recall"]
    shifted = metric.surjectivity(Z * [1, 1, 0, 0, 0, 0] + [0, 0, 3, 0, 0, 0], target)
    assert shifted["coverage"] < whole["coverage"] / 2


# Smoothness.


def test_a_rotation_has_equal_singular_values_and_lipschitz_ratios():
    pairs = np.array([[0, 1], [2, 3], [4, 4]])
    np.testing.assert_allclose(metric.lipschitz(Z, Z @ ROTATION, pairs), [2.5, 2.5])  # row 4 has no distance to itself
    values = metric.singular_values(ROTATION)
    np.testing.assert_allclose(values, 2.5)
    assert metric.effective_rank(values) == pytest.approx(6)


def test_singular_values_are_those_of_an_svd():
    jacobian = np.random.default_rng(0).standard_normal((5, 9)) * np.geomspace(1, 1e-3, 9)
    expected = np.linalg.svd(jacobian, compute_uv=False)
    for turned in (jacobian, jacobian.T):
        np.testing.assert_allclose(metric.singular_values(turned), expected, atol=1e-7 * expected[0])


def test_effective_rank_by_hand():
    assert metric.effective_rank(np.array([3, 3, 0])) == pytest.approx(2)
    assert metric.effective_rank(np.array([1, 0, 0])) == 1
    assert metric.effective_rank(np.zeros(3)) == 1


def test_jacobian_of_a_network_is_its_closed_chain():
    from ngw.maps.networks import apply, init

    p = init("mlp", 4, 3, 16, np.random.default_rng(0))
    p = {name: value.astype(float) + 0.1 for name, value in p.items()}
    z = Z[0, :4]
    first = z @ p["w1"] + p["b1"]
    second = (first * (first > 0)) @ p["w2"] + p["b2"]
    chain = (p["w1"] * (first > 0)) @ (p["w2"] * (second > 0)) @ p["w3"]
    np.testing.assert_allclose(task.jacobian(lambda rows: apply(p, rows), z), chain, atol=1e-8)


def test_jacobian_of_a_float32_map_takes_a_longer_step():
    w = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    found = task.jacobian(lambda rows: np.tanh(rows.astype(np.float32) @ w), Z[0])
    expected = w * (1 - np.tanh(Z[0] @ w) ** 2)
    np.testing.assert_allclose(found, expected, atol=2e-3)


# Invertibility.


def test_cycle_error_of_inverse_constant_and_by_hand():
    image = Z @ ROTATION
    assert metric.cycle_error(Z, image @ np.linalg.inv(ROTATION)) == pytest.approx(0, abs=1e-20)
    assert metric.cycle_error(Z, np.broadcast_to(Z.mean(axis=0), Z.shape)) == pytest.approx(1)
    assert metric.cycle_error(np.array([[0.0], [2.0]]), np.array([[1.0], [2.0]])) == 0.5  # (1 + 0) / (1 + 1)


# The task, on fitted methods.


def clouds(d_y: int = 5, n: int = 90, noise: float = 0.3) -> Clouds:
    """Two noisy views of the same points, rows paired."""
    stream = np.random.default_rng(0)
    points = stream.standard_normal((n, 5)) * [3, 2, 1, 1, 1]
    x = np.hstack([points, stream.standard_normal((n, 2))])
    y = points @ stream.standard_normal((5, d_y)) + noise * stream.standard_normal((n, d_y))
    pairs = np.stack([np.arange(60)] * 2, axis=1)
    return Clouds(x.astype(np.float32), y.astype(np.float32), pairs, np.stack([np.arange(n)] * 2, axis=1))


def fitted(kind: str, two: Clouds, **options) -> methods.Method:
    return methods.build({"kind": kind, **options}).fit(two.x, two.y, two.pairs)


def test_procrustes_between_spaces_of_one_width_is_perfect_but_for_its_scale():
    two = clouds(d_y=7)
    found = task.evaluate(fitted("procrustes", two), two.x, two.y, seed=0)
    for way in ("ab", "ba"):
        assert found.metrics[f"{way}_cycle"] < 1e-10
        assert found.metrics[f"{way}_collision"] == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(found.spectra[way], found.spectra[way][0], rtol=1e-4)
        for quantile in (1, 50, 99):
            assert found.metrics[f"{way}_lipschitz_{quantile}"] == pytest.approx(found.spectra[way][0], rel=1e-3)
        assert found.metrics[f"{way}_spread"] == pytest.approx(found.spectra[way][0], rel=1e-3)
    assert found.spectra["ab"][0] * found.spectra["ba"][0] == pytest.approx(1, rel=1e-4)


def test_ridge_has_the_spectrum_of_its_weights():
    two = clouds()
    method = fitted("ridge", two)
    units = metric.spread(two.x) / metric.spread(two.y)
    axes = np.eye(two.x.shape[1], dtype=np.float32)
    slope = method.transform(axes) - method.transform(0 * axes)  # an affine map's weights
    expected = np.linalg.svd(slope * units, compute_uv=False)
    found = task.spectrum(task.directions(method)[0], two.x, two.y, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in methods.kinds() if kind not in ("joint", "weight-averaging")])
def test_every_kind_maps_by_its_three_parts(kind):
    method = type(methods.build({"kind": kind}))  # what `directions` takes apart, no kind puts together otherwise
    assert (method.transform, method.inverse_transform) == (Method.transform, Method.inverse_transform)


@pytest.mark.parametrize(
    "spec",
    [{"kind": "cca"}, {"kind": "relative"}, {"kind": "unaligned"}]
    + [{"kind": "warp", "map": shape, "steps": 5, "hidden": 16} for shape in ("linear", "mlp")],
    ids=lambda spec: "-".join(map(str, spec.values())),
)
def test_the_jacobian_predicts_the_transform(spec):
    two = clouds()
    method = fitted(**spec, two=two)
    found = task.evaluate(method, two.x, two.y, seed=0)
    assert all(np.isfinite(list(found.metrics.values())))
    for way, z in zip(task.directions(method), (two.x, two.y), strict=True):
        inner = way.into(z[:1])
        slope = task.jacobian(way.core, inner[0])
        step = np.float32(1e-3) * np.random.default_rng(1).standard_normal(z[:1].shape).astype(np.float32)
        moved = (way.into(z[:1] + step) - way.into(z[:1] - step)) / 2
        predicted = way.out(moved.astype(np.float64) @ slope) - way.out(np.zeros((1, slope.shape[1])))
        actual = (way.whole(z[:1] + step).astype(np.float64) - way.whole(z[:1] - step)) / 2
        np.testing.assert_allclose(predicted, actual, atol=0.05 * np.abs(actual).max() + 1e-5)


def test_the_null_is_fitted_on_wrong_pairs_alone():
    two = clouds()
    shuffled = task.shuffle(two.pairs, seed=3)
    assert (shuffled[:, 0] == two.pairs[:, 0]).all()
    assert sorted(shuffled[:, 1]) == sorted(two.pairs[:, 1])
    assert not (shuffled[:, 1] == two.pairs[:, 1]).any()
    method = fitted("ridge", two)
    twin = task.shuffled_twin(method, two, seed=3)
    assert twin.params() == method.params()
    found, null_found = (task.evaluate(m, two.x, two.y, 0).metrics for m in (method, twin))
    assert found["ab_cycle"] < 0.5 < null_found["ab_cycle"]
    assert task.shuffled_twin(fitted("random", two), two, seed=3) is None


def features(ids, image_ids, width=3) -> Features:
    x = np.asarray(ids, np.float32)[:, None].repeat(width, axis=1)
    return Features(np.asarray(ids), np.asarray(image_ids), x, {})


def test_held_out_rows_are_pairs():
    ids = np.arange(20, 8, -1)
    vision, owner = features(ids, ids), np.repeat(ids, 2)
    x, y = task.held_out(vision, features(10 * owner + [0, 1] * 12, owner), seed=0)
    assert x[:, 0].tolist() == ids.tolist()
    assert (y[:, 0] // 10).tolist() == ids.tolist()
    with pytest.raises(InputError, match="caption 99: its image is not in"):
        task.held_out(vision, features([*ids, 99], [*ids, 99]), seed=0)
    with pytest.raises(InputError, match="image 20: expected a caption"):
        task.held_out(vision, features(ids[1:], ids[1:]), seed=0)
    with pytest.raises(InputError, match="expected more than 10 images, found 3"):
        task.held_out(features([1, 2, 3], [1, 2, 3]), features([1, 2, 3], [1, 2, 3]), seed=0)


# Similarity against a permutation null.


def views(n: int = 60, shared: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    x = stream.standard_normal((n, 12))
    return x, shared * x @ stream.standard_normal((12, 9)) + stream.standard_normal((n, 9))


def test_similarity_holds_the_plain_measures_and_their_nulls():
    x, y = views()
    orders = [np.random.default_rng(5).permutation(60)]
    found = similarity(x, y, np.random.default_rng(5), permutations=1, k=7)
    for name, plain in (("cka", linear_cka), ("mutual_neighbours_7", lambda a, b: mutual_neighbours(a, b, 7))):
        assert found[name]["value"] == pytest.approx(plain(x, y))
        assert found[name]["null_mean"] == pytest.approx(plain(x, y[orders[0]]))


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
        (lambda: similarity(Z, Z, np.random.default_rng(0), k=120), "more than k = 120"),
        (lambda: similarity(Z, Z, np.random.default_rng(0), permutations=0), "expected 1 or more, found 0"),
        (lambda: similarity(Z, 0 * Z, np.random.default_rng(0), permutations=1), "rows of a cloud are equal"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Tables and figure.


def record(method: str, seed: int, shift: float = 0.0, role: str = "method", pairs: str = "300") -> dict:
    names = [f"{way}_{name}" for way in report.MAPS for name in [*report._STYLE, "density"]]
    spectra = {way: [2.0 - shift, 1.0, 0.5, 0.0] for way in report.MAPS}
    return {
        **{"dataset": "points", "vision": "v", "text": "t", "method": method, "pairs": pairs, "seed": seed},
        **{"role": role, "task": "identifiability", "task_version": 1, "version": "0", "cost": {}, "converged": True},
        **{"n_images": 50, "n_captions": 50, "metrics": {name: 0.25 + shift for name in names}, "spectra": spectra},
        "null": {name: 0.125 for name in names} if role == "method" else None,
        "null_spectra": spectra if role == "method" else None,
    }


def runs() -> list[dict]:
    found = [record("a", seed, 0.01 * seed) for seed in (0, 1)] + [record("b", seed, 0.2) for seed in (0, 1)]
    return found + [record("random", seed, role="control", pairs="0") for seed in (0, 1)]


def expected() -> list[tuple]:
    return [("points", "v", "t", r["method"], r["pairs"], r["seed"]) for r in runs()]


def test_tables_show_each_number_beside_its_null():
    files = report.build(runs(), expected())
    lines = files["identifiability.md"].splitlines()
    assert "points (50 test pairs)" in lines[2].replace("\\", "")
    first = next(line for line in lines if line.startswith("| a |"))
    assert first.startswith("| a | 0.255 ± 0.007 / 0.125 | **25.5** ± 0.7 / 12.5 |")
    assert next(line for line in lines if line.startswith("| b |")).startswith("| b | **0.450** ± 0.000 / 0.125 |")
    assert any(line.startswith("| *random (0 pairs)* | *0.250 ± 0.000* |") for line in lines)
    assert files["identifiability.tex"].count(r"\begin{tabular}") == 2
    csv = files["identifiability.csv"].splitlines()
    assert "points,v,t,a,300,ab_density,0.255,0.00707107,0.25,0.26,2,method,true" in csv
    assert "points,v,t,a,300,ab_density_null,0.125,0.0,0.125,0.125,2,method,true" in csv
    with pytest.raises(ValueError, match="has no record"):
        report.build(runs()[1:], expected())


def test_the_spectrum_goes_through_its_csv_into_a_figure():
    rows = report.spectra_from_csv(report.build(runs(), expected())["identifiability-spectrum.csv"])
    assert len(rows) == 4 * 2 * (2 + 2 + 1)  # values, maps, two methods with their nulls and a control
    top = next(row for row in rows if (row["method"], row["map"], row["null"], row["k"]) == ("a", "ab", False, 1))
    assert (top["mean"], top["low"], top["high"]) == (1.995, 1.99, 2.0)
    figure = report.spectrum_figure(rows, ("points", "v", "t"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "random"]
    assert encode(figure, "png") == encode(report.spectrum_figure(rows, ("points", "v", "t")), "png")


def test_the_similarity_table_stands_beside_what_alignment_reaches():
    numbers = similarity(*views(), np.random.default_rng(0), permutations=20)
    numbers["cka"] |= {"p": 0.4, "value": 0.3, "null_mean": 0.29, "calibrated": 0.0, "z": None}
    one = {"dataset": "points", "vision": "v", "text": "t", "n": 60, "metrics": numbers}
    reached = [
        {"dataset": "points", "vision": "v", "text": "t", "metric": "mean_recall_1", "pairs": "300"} | more
        for more in (
            {"mean": 0.4, "role": "method"},
            {"mean": 0.35, "role": "baseline"},
            {"mean": 0.9, "role": "control"},
        )
    ]
    files = similarity_report.build([one], reached, "300")
    line = next(line for line in files["similarity.md"].splitlines() if line.startswith("| points: v, t (n = 60)"))
    assert line.startswith("| points: v, t (n = 60) | 0.300° / 0.290 | 0.000 | – |")
    assert line.endswith("| 40.0 |")
    assert "R@1" not in similarity_report.build([one])["similarity.md"]
    assert files["similarity.csv"].splitlines()[1].startswith("points,v,t,60,cka,0.3,0.29,")
