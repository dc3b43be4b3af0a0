"""The clustered bootstrap against its definition (repeat and take the mean or median) and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngw.metrics.retrieval import summary
from ngw.report.layout import points
from ngw.report.records import IDENTITY
from ngw.report.statistics import (
    METRICS,
    Queries,
    Sample,
    bootstrap,
    interval,
    paired_difference,
    resample,
    samples,
    weighted_means,
    weighted_medians,
)
from ngw.seeds import rng


def repeated(values, image, count):
    """A bootstrap sample written out: each query as often as its image was drawn."""
    return np.repeat(values, count[image].astype(int))


def test_samples_have_the_size_of_the_test_set_and_an_address():
    counts = resample(50, 20, rng(0, "bootstrap", "scenes"))
    assert counts.shape == (20, 50)
    assert set(counts.sum(axis=1)) == {50}
    np.testing.assert_array_equal(counts, resample(50, 20, rng(0, "bootstrap", "scenes")))
    assert (counts != resample(50, 20, rng(0, "bootstrap", "coco"))).any()


def test_means_and_medians_by_hand():
    # Image 0 has ranks 1 and 3, image 1 has 10. Drawn: each once; image 0 twice; image 1 twice.
    values, image = np.array([1.0, 3.0, 10.0]), np.array([0, 0, 1])
    counts = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(weighted_means(values[:, None], image, counts)[:, 0], [14 / 3, 2, 10])
    assert weighted_medians(values, image, counts).tolist() == [3, 2, 10]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32), st.sampled_from([3, 10000]))
def test_medians_agree_with_repetition(n_images, most, seed, largest):
    generator = np.random.default_rng(seed)
    image = np.repeat(np.arange(n_images), generator.integers(1, most + 1, n_images))
    values = generator.integers(2, 2 * largest, len(image)) / 2  # mid-ranks, many ties or few
    if seed % 2:
        values = np.sort(values)  # an image's queries stand together: the widest windows
    counts = resample(n_images, 25, generator)
    expected = [np.median(repeated(values, image, count)) for count in counts]
    np.testing.assert_array_equal(weighted_medians(values, image, counts), expected)


@pytest.mark.parametrize("image_drawn", [0, 250, 499])
def test_medians_are_found_far_from_the_middle(image_drawn):
    # A sample of one image over and over: its median is that image's rank.
    counts = np.zeros((2, 500))
    counts[0, image_drawn] = 500
    counts[1] = 1
    found = weighted_medians(np.arange(1.0, 501), np.arange(500), counts)
    assert found.tolist() == [image_drawn + 1, 250.5]


def test_every_metric_agrees_with_repetition():
    generator = np.random.default_rng(1)
    n = 30
    caption_image = generator.permutation(np.repeat(np.arange(n), 5))
    i2t = Queries(generator.integers(1, 30, n).astype(float), generator.permutation(n))
    t2i = Queries(generator.integers(2, 60, 5 * n) / 2, caption_image)
    counts = resample(n, 15, generator)
    found = bootstrap(i2t, t2i, counts)
    for k, count in enumerate(counts):
        expected = summary(repeated(*i2t, count), repeated(*t2i, count))
        assert {metric: found[metric][k] for metric in METRICS} == pytest.approx(expected, rel=1e-12)


def test_captions_of_one_image_are_one_observation():
    # Five captions that always agree carry the information of one: variance p (1 - p) / n_images, not / (5 n_images).
    n, p = 400, 0.3
    found = np.repeat(np.arange(n) < p * n, 5).astype(float)
    draws = weighted_means(found[:, None], np.repeat(np.arange(n), 5), resample(n, 4000, np.random.default_rng(0)))
    assert draws.std() == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.05)
    low, high = interval(draws[:, 0])
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / n), rel=0.06)
    assert low < p < high


def test_interval_of_the_mean_over_seeds():
    # One image of two is ever found, the other one by the other seed: seeds that cancel, sample by sample.
    assert interval(np.linspace(0, 1, 1001)) == pytest.approx([0.025, 0.975])
    who = ("scenes", "v", "t", "m", "all", "none")
    records = [
        dict(zip(IDENTITY, who, strict=True)) | {"seed": seed, "metrics": {"found": mean}}
        for seed, mean in enumerate((0.2, 0.6))
    ]
    tables = {(*who, seed): {"image_id": [7, 9], "found": [seed, 1 - seed]} for seed in (0, 1)}
    found = samples(
        records, tables, "ranks", 50, lambda _, table, place, counts: {"found": counts @ table["found"] / 2}
    )
    assert found.keys() == {(*who, "found")}
    assert found[*who, "found"].mean == pytest.approx(0.4)
    assert interval(found[*who, "found"].draws) == pytest.approx([0.5, 0.5])


def sampled(known):
    """A sample of {seed: (value, draws)}."""
    values, draws = zip(*known.values(), strict=True)
    return Sample(list(known), np.array(values), np.array(draws))


def test_paired_difference_of_equal_and_of_separate_methods():
    draws = np.linspace(0.4, 0.6, 999)
    half = sampled({0: (0.5, draws)})
    assert paired_difference(half, half) == (0, 0, 0, 1, 0, 1)
    better = paired_difference(sampled({0: (0.7, draws + 0.2)}), half)
    assert better == pytest.approx((0.2, 0.2, 0.2, 2 / 1000, 0, 1))
    centred = paired_difference(half, sampled({0: (0.5, np.full(999, 0.5))}))
    assert centred.p == pytest.approx(1, abs=2e-3)
    assert (centred.low, centred.high) == pytest.approx((-0.095, 0.095))


def test_a_difference_that_rounds_to_zero_has_no_minus():
    assert [points(x) for x in (-0.0004, 0.0004, -0.0006)] == ["+0.0", "+0.0", "-0.1"]


def test_methods_of_unequal_seeds_are_compared_at_the_seeds_that_both_have():
    # Seed 1 is a lucky draw of pairs, for both methods alike: it says nothing about their difference.
    draws = np.linspace(0.4, 0.6, 999)
    both = sampled({0: (0.5, draws), 1: (0.8, draws + 0.3)})
    once = sampled({0: (0.5, draws)})
    assert paired_difference(once, both) == pytest.approx((0, 0, 0, 1, 0, 1))
    assert paired_difference(both, once) == pytest.approx((0, 0, 0, 1, 0, 1))
    other = sampled({2: (0.65, draws + 0.15)})  # no seed in common: all of each
    assert paired_difference(other, both) == pytest.approx((0, 0, 0, 1, 0, 0), abs=1e-12)
