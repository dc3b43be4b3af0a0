"""Identifiability and calibrated similarity: closed forms, second implementations, points one can draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from ngw import methods
from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import Clouds
from ngw.methods import Method
from ngw.metrics import identifiability as metric
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
    pairs = np.stack([np.arange(n)] * 2, axis=1)
    return Clouds(x.astype(np.float32), y.astype(np.float32), pairs[:60], pairs, np.arange(60))


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


@pytest.mark.parametrize("kind", [k for k in methods.kinds() if k not in ("joint", "outside", "weight-averaging")])
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
    assert twin.params() == method.params() | {"hubness": False}  # a matter of the comparison
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
