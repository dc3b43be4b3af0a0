"""Distances between images' features, and CLIP's scores: closed forms, second implementations, and refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.multimodal import CLIPScore

from ngw.metrics.image import clip_score, clip_score_of_mean, cosines, frechet, mmd

ROOT = Path(__file__).parents[1]


def cloud(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def test_identical_sets_have_no_distance():
    x = cloud(200, 8)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x[::-1]) == pytest.approx(0, abs=1e-9)


def gaussian(n, mean, spread, seed=0):
    """n rows whose sample mean and covariance are exact: uncorrelated axes of these spreads."""
    x = cloud(n, len(mean), seed)
    left, _, right = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return np.sqrt(n - 1) * (left @ right) * spread + mean


def test_gaussians_have_the_closed_form():
    spread_x, spread_y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    expected = 9.0 + ((spread_x - spread_y) ** 2).sum()  # axes in common: means 3 apart, and each axis's spreads
    x, y = gaussian(40, np.zeros(3), spread_x), gaussian(50, [3.0, 0, 0], spread_y, seed=1)
    turn = np.linalg.qr(cloud(3, 3))[0]
    assert frechet(x, y) == pytest.approx(expected)
    assert frechet(x @ turn, y @ turn) == pytest.approx(expected)


def frechet_by_numpy(x, y):
    """|m_x - m_y|^2 + tr(C_x + C_y) - 2 sum of the singular values of C_x^1/2 C_y^1/2, roots by eigenvalues."""
    roots, total = [], ((x.mean(0) - y.mean(0)) ** 2).sum()
    for covariance in (np.cov(z, rowvar=False) for z in (x, y)):
        values, vectors = np.linalg.eigh(covariance)
        roots.append((vectors * np.sqrt(values.clip(0))) @ vectors.T)
        total += np.trace(covariance)
    return total - 2 * np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()


def mmd_by_numpy(x, y):
    """The mean of the kernel (x'y / d + 1)^3 over the pairs i != j within each set, less twice that between them."""
    within_x, within_y, between = ((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    other = ~np.eye(len(x), dtype=bool)
    return within_x[other].mean() + within_y[other].mean() - 2 * between.mean()


@pytest.mark.parametrize("offset", [0.0, 1e3])  # raw sums of squares would lose the digits that an offset takes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_distances_are_those_of_a_second_implementation(dtype, offset):
    decay = np.geomspace(1, 1e-3, 64)  # as features' variances do
    x, y = ((cloud(80, 64, seed) * decay + 0.02 * seed + offset).astype(dtype) for seed in (0, 1))
    a, b = x.astype(np.float64), y.astype(np.float64)
    assert frechet(x, y) == pytest.approx(frechet_by_numpy(a, b), rel=1e-6)
    assert mmd(x, y) == pytest.approx(mmd_by_numpy(a, b), rel=1e-6)


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


def test_the_score_clips_the_mean_of_the_pairs():
    images = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    texts = np.array([[2.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
    np.testing.assert_allclose(cosines(images, texts), [1, np.sqrt(0.5), -0.6])
    assert clip_score(images, texts) == pytest.approx(100 * (1 + np.sqrt(0.5) - 0.6) / 3)
    assert clip_score(images[1:2], -texts[1:2]) == 0
    np.testing.assert_allclose(clip_score_of_mean(np.array([0.5, -0.5])), [50, 0])


class Given(torch.nn.Module):
    """A CLIP and its processor with given features: a picture [1, 1, d] is its own, a caption is a row's number."""

    config = SimpleNamespace()

    def __init__(self, texts):
        super().__init__()
        self.texts = torch.from_numpy(texts)

    def __call__(self, images=None, text=None, **_):
        if text is None:
            return {"pixel_values": torch.stack(images)}
        return {"input_ids": torch.tensor([int(t) for t in text]), "attention_mask": torch.ones(len(text))}

    def get_image_features(self, pixels):
        return pixels.flatten(1)

    def get_text_features(self, ids, mask):
        return self.texts[ids]


def torchmetrics_clip_score(images, texts):
    """torchmetrics' own of given features, a batch of 8 at a time."""
    given = Given(texts)
    score = CLIPScore(lambda: (given, given))
    for rows in np.split(np.arange(len(images)), range(8, len(images), 8)):
        score.update(list(torch.from_numpy(images[rows])[:, None, None]), [str(k) for k in rows])
    return float(score.compute())


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
        (lambda: frechet(cloud(8, 8), cloud(9, 8)), r"x: .* needs 9 samples or more, found 8; .* \(mmd\)"),
        (lambda: frechet(cloud(9, 3), cloud(9, 4)), r"of one width|found \(9, 3\) and \(9, 4\)"),
        (lambda: frechet(np.full((9, 3), np.nan), cloud(9, 3)), "x: row 0 isn't finite"),
        (lambda: mmd(cloud(20, 3), cloud(21, 3)), "sets of one size, found 20 and 21 rows"),
        (lambda: clip_score(cloud(3, 2), cloud(4, 2)), "as many images as texts"),
        (lambda: cosines(np.zeros((1, 2)), cloud(1, 2)), "pair 0: expected finite features that aren't zero"),
    ],
)
def test_what_can_not_be_measured_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_distances_want_no_torchvision_no_torch_fidelity_and_no_network():
    code = (
        "import socket, sys\n"
        "sys.modules |= {'torchvision': None, 'torch_fidelity': None}\n"
        "socket.socket.connect = None\n"
        "import numpy as np\nfrom ngw.metrics import image\n"
        "assert 'torchmetrics' not in sys.modules\n"
        "x = np.random.default_rng(0).standard_normal((20, 3))\n"
        "print(image.frechet(x, x + 1), image.mmd(x, x + 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) == pytest.approx(3)
