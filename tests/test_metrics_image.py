"""Distances between images' features, and CLIP's scores: closed forms, sums by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ngw.metrics.image import clip_s, clip_score, clip_score_of_mean, cosines, frechet, frechet_of_moments, kid, mmd


def cloud(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def test_identical_sets_have_no_distance():
    x = cloud(200, 8)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x[::-1]) == pytest.approx(0, abs=1e-9)


def test_gaussians_have_the_closed_form():
    spread_x, spread_y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    expected = 9.0 + ((spread_x - spread_y) ** 2).sum()  # axes in common: means 3 apart, and each axis's spreads
    mean = np.zeros(3)
    found = frechet_of_moments(mean, np.diag(spread_x**2), np.array([3.0, 0, 0]), np.diag(spread_y**2))
    assert found == pytest.approx(expected)
    turn = np.linalg.qr(cloud(3, 3))[0]
    turned = frechet_of_moments(
        mean, turn @ np.diag(spread_x**2) @ turn.T, turn @ np.array([3.0, 0, 0]), turn @ np.diag(spread_y**2) @ turn.T
    )
    assert turned == pytest.approx(expected)


def test_a_shift_is_its_squared_length_and_singular_covariances_are_borne():
    x = np.hstack([cloud(50, 4), np.zeros((50, 2))])
    assert frechet(x, x + 2.0) == pytest.approx(6 * 4.0)


def test_samples_of_gaussians_come_near_it():
    x, y = cloud(20_000, 4), 1.5 * cloud(20_000, 4, seed=1) + [1.0, 0, 0, 0]
    assert frechet(x, y) == pytest.approx(1 + 4 * 0.25, rel=0.05)


def test_the_kernel_distance_is_unbiased_and_by_hand():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [2.0, 0.0]])
    within_x, within_y = (0 / 2 + 1) ** 3, (2 / 2 + 1) ** 3
    between = np.mean([(a @ b / 2 + 1) ** 3 for a in x for b in y])
    assert mmd(x, y) == pytest.approx(within_x + within_y - 2 * between)
    found = [mmd(cloud(30, 5, seed), cloud(30, 5, 1000 + seed)) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)


def test_subsets_are_seeded_and_tell_clouds_apart():
    x, y = cloud(300, 6), cloud(300, 6, seed=1) + 1.0
    mean, spread = kid(x, y, subsets=20, subset_size=50)
    assert (mean, spread) == kid(x, y, subsets=20, subset_size=50)
    assert mean > 5 * spread > 0
    assert kid(x, y, subsets=1, subset_size=300)[0] == pytest.approx(mmd(x, y))


def test_the_score_clips_the_mean_of_the_pairs_and_clip_s_each_pair():
    images = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    texts = np.array([[2.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
    np.testing.assert_allclose(cosines(images, texts), [1, np.sqrt(0.5), -0.6])
    assert clip_score(images, texts) == pytest.approx(100 * (1 + np.sqrt(0.5) - 0.6) / 3)
    assert clip_score(images[1:2], -texts[1:2]) == 0
    np.testing.assert_allclose(clip_score_of_mean(np.array([0.5, -0.5])), [50, 0])
    np.testing.assert_allclose(clip_s(images, texts), [2.5, 2.5 * np.sqrt(0.5), 0])


def torchmetrics_clip_score(images, texts):
    """torchmetrics 1.9 of features: `_clip_score_update`, `CLIPScore.update` a batch of 8, and `compute`."""
    score, n_samples = torch.tensor(0.0), torch.tensor(0)
    for source, target in zip(torch.from_numpy(images).split(8), torch.from_numpy(texts).split(8), strict=True):
        source = source / source.norm(p=2, dim=-1, keepdim=True)
        target = target / target.norm(p=2, dim=-1, keepdim=True)
        score += (100 * (source * target).sum(axis=-1)).sum(0)
        n_samples += len(source)
    return float(torch.max(score / n_samples, torch.zeros_like(score)))


@pytest.mark.parametrize("shared", [0.2, 0.0, -0.2])
def test_the_score_is_torchmetrics_where_pairs_are_below_zero(shared):
    images = cloud(50, 16)
    texts = cloud(50, 16, seed=1) + shared * images
    apart = cosines(images, texts) < 0
    assert apart.any()
    assert not apart.all()
    assert clip_score(images, texts) == pytest.approx(torchmetrics_clip_score(images, texts), abs=1e-4)


def test_pictures_that_have_nothing_to_do_with_their_captions_score_near_zero():
    images, texts = cloud(2000, 8), cloud(2000, 8, seed=1)
    assert clip_score(images, texts) < 3  # four standard errors of the mean of 2,000 cosines in 8 dimensions: 3.2
    assert 100 * cosines(images, texts).clip(0).mean() > 12  # a mean of clipped pairs would be an artefact of clipping


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: frechet(cloud(8, 8), cloud(9, 8)), r"x: .* needs 9 samples or more, found 8; .* \(kid\)"),
        (lambda: frechet(cloud(9, 3), cloud(9, 4)), r"of one width|found \(9, 3\) and \(9, 4\)"),
        (lambda: frechet(np.full((9, 3), np.nan), cloud(9, 3)), "x: row 0 isn't finite"),
        (lambda: kid(cloud(20, 3), cloud(20, 3)), "2 to 20 rows, found 100 of 1000; set subset_size"),
        (lambda: clip_score(cloud(3, 2), cloud(4, 2)), "as many images as texts"),
        (lambda: clip_s(np.zeros((1, 2)), cloud(1, 2)), "pair 0: expected finite features that aren't zero"),
        (lambda: frechet_of_moments(np.zeros(2), -np.eye(2), np.zeros(2), np.eye(2)), "x: expected a covariance"),
    ],
)
def test_what_can_not_be_measured_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()
