"""Geometry metrics from closed forms and points one can draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from ngw.metrics.geometry import foscttm, linear_cka, mutual_neighbours


def points(*values):
    return np.array(values, float).reshape(len(values), -1)


def test_foscttm_of_a_cloud_with_itself_is_zero_wherever_it_lies():
    x = np.random.default_rng(0).standard_normal((50, 7))
    assert foscttm(x + 1000, x + 1000) == 0


def test_foscttm_by_hand():
    # On the line: x = 0, 1, 2 and y = 0, 2, 1.  x0: none closer.  x1 = 1, match at 2: y2 = 1 is closer, y0 = 0 ties.
    # x2 = 2, match at 1: y1 = 2 is closer.  That is 0 + 1.5 + 1 of 3 x 2.  y0: none; y1 = 2, match at 1: x2 is
    # closer; y2 = 1, match at 2: x1 is closer, x0 ties.  2.5 of 6 again.
    assert foscttm(points(0, 1, 2), points(0, 2, 1)) == pytest.approx(2.5 / 6)


def test_foscttm_of_mirrored_points_is_worst():
    # -10 matched to 10 and 10 to -10: the other one is always closer.
    assert foscttm(points(-10, 10), points(10, -10)) == 1


def test_foscttm_of_constant_or_random_features_is_chance():
    assert foscttm(np.full((9, 3), 0.1), np.full((9, 3), 0.7)) == 0.5
    rng = np.random.default_rng(1)
    assert foscttm(rng.standard_normal((800, 5)), rng.standard_normal((800, 5))) == pytest.approx(0.5, abs=0.03)


def test_cka_knows_neither_rotation_nor_scale_nor_origin():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 6))
    rotation = ortho_group.rvs(6, random_state=0)
    assert linear_cka(x, -3 * x @ rotation + 5) == pytest.approx(1, abs=1e-12)


def test_cka_of_uncorrelated_columns_is_zero_and_of_half_shared_ones_by_hand():
    a, b = np.array([1, 1, -1, -1.0]), np.array([1, -1, 1, -1.0])
    assert linear_cka(a[:, None], b[:, None]) == 0
    # x = [a], y = [a, b]: |y'x|^2 = 16, |x'x| = 4, |y'y| = sqrt(16 + 16).
    assert linear_cka(a[:, None], np.stack([a, b], 1)) == pytest.approx(16 / (4 * np.sqrt(32)))


def test_cka_is_the_same_by_both_routes():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((5, 30)), rng.standard_normal((5, 20))  # wide: the n x n route
    xc, yc = x - x.mean(0), y - y.mean(0)
    by_columns = np.linalg.norm(yc.T @ xc) ** 2 / (np.linalg.norm(xc.T @ xc) * np.linalg.norm(yc.T @ yc))
    assert linear_cka(x, y) == pytest.approx(by_columns)


def test_mutual_neighbours_of_a_rotated_cloud_is_one():
    x = np.random.default_rng(0).standard_normal((60, 8))
    assert mutual_neighbours(x, 2 * x @ ortho_group.rvs(8, random_state=1), k=5) == pytest.approx(1)


def test_mutual_neighbours_by_hand():
    # Angles on the circle. x: 0, 10, 25, 45 degrees: nearest are 1, 0, 1, 2.
    def circle(*degrees):
        return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], 1)

    x, y = circle(0, 10, 25, 45), circle(0, 10, 45, 25)
    # y: sample 2 (45) is nearest to 3 (25), sample 3 (25) is nearest to 1 (10): 15 against 20 degrees.
    # Samples 0 and 1 agree; 2 has 1 against 3; 3 has 2 against 1.
    assert mutual_neighbours(x, y, k=1) == pytest.approx(2 / 4)


@pytest.mark.parametrize("memory_mb", [1e-6, 100])
def test_mutual_neighbours_of_constant_features_is_chance(memory_mb):
    x = np.full((11, 3), 0.1)
    assert mutual_neighbours(x, x, k=4, memory_mb=memory_mb) == pytest.approx(4 / 10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: foscttm(np.ones((3, 2)), np.ones((3, 4))), "widths 2 and 4"),
        (lambda: foscttm(np.ones((3, 2)), np.ones((4, 2))), "same number of rows"),
        (lambda: foscttm(np.ones((1, 2)), np.ones((1, 2))), "2 or more"),
        (lambda: linear_cka(points(1, 2), points(3, 3)), "rows of y are equal"),
        (lambda: linear_cka(points(1, 2, np.nan), points(3, 4, 5)), "x: row 2"),
        (lambda: mutual_neighbours(points(1, 2), points(1, 2), k=2), "expected 1 to 1"),
        (lambda: mutual_neighbours(points(1, 2, 3), points(1, 0, 3), k=1), "y: row 1 is zero"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
