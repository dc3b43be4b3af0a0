"""Figures of alignment: planes in which true pairs meet, examples by hand, and the same bytes from the same data."""

from __future__ import annotations

import numpy as np
import pytest

from ngw.report import alignment, examples, style


def pairs(n=60, noise=0.1, seed=0):
    draw = np.random.default_rng(seed)
    u = draw.standard_normal((n, 8)) * [4, 3, 1, 1, 1, 1, 1, 1]
    return u, u + noise * draw.standard_normal(u.shape)


def test_in_the_shared_plane_true_pairs_lie_together():
    u, v = pairs()
    one, other = alignment.shared_plane(u, v)
    assert one.shape == other.shape == (60, 2)
    apart = np.linalg.norm(one - other, axis=1).mean()
    assert apart < 0.2 < 1 < np.linalg.norm(one - np.roll(other, 1, 0), axis=1).mean()


def test_what_disagrees_is_left_out_of_the_shared_plane():
    """A direction of large spread in which both sides disagree isn't shown."""
    u, v = pairs()
    u[:, 7], v[:, 7] = 9 * np.sign(np.arange(60) % 2 - 0.5), -9 * np.sign(np.arange(60) % 2 - 0.5)
    one, other = alignment.shared_plane(u, v)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_each_clouds_own_plane_has_unit_spread():
    z = alignment.plane(pairs()[0] * 50 + 7)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-9)
    assert np.sqrt((z**2).mean()) == pytest.approx(1)


def test_the_nearest_by_hand():
    u, v = np.eye(3), np.array([[0.9, 0.2, 0], [0.1, 0.8, 0.3], [1.0, 0, 0], [0, 0.1, 0.7]])
    owner = np.array([0, 1, 1, 2])
    to_text = examples.nearest(u[:2], v, np.arange(2)[:, None] == owner, 2)
    to_image = examples.nearest(v[2:], u, owner[2:, None] == np.arange(3), 2)
    assert to_text == [[(2, False), (0, True)], [(1, True), (0, False)]]
    assert to_image == [[(0, False), (1, True)], [(2, True), (1, False)]]
    assert examples.ranked("a", to_text[0], ["a", "b", "c", "d"]) == ("a", [("c", False), ("a", True)])


def test_both_figures_draw_and_say_what_is_right():
    u, v = pairs()
    seen = alignment.Seen(u, v[:, :5], u, v, np.eye(12) / 12)
    figure = alignment.clouds_figure(seen, "ngw, 300 pairs")
    *panels, scale = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "before: each in its own plane", "after: ngw, 300 pairs", "a new plan between 12 pairs",
    ]  # fmt: skip
    assert scale.get_ylabel() == "share of a row's mass"
    assert style.encode(figure, "png") == style.encode(alignment.clouds_figure(seen, "ngw, 300 pairs"), "png")
    picture = np.zeros((4, 4, 3), np.uint8)
    to_text = [examples.Ranked(picture, [("a dog", True), ("a cat", False)])]
    to_image = [examples.Ranked("a cow", [(picture, False), (picture, True)])]
    figure = examples.retrieval_sheet(to_text, to_image, "ngw")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["✓ a dog", "– a cat", "a cow"]
    framed = [axes for axes in figure.axes if axes.axison]
    assert len(framed) == 1
    assert figure.axes.index(framed[0]) == 4
    assert style.encode(figure, "pdf").startswith(b"%PDF")


@pytest.mark.parametrize(("n", "d"), [(1, 4), (5, 1), (1, 1)])
def test_one_image_or_one_feature_has_a_plane_too(n, d):
    z = np.random.default_rng(0).standard_normal((n, d))
    seen = alignment.Seen(z, z, z, z, np.eye(n) / n)
    assert alignment.plane(z).shape == alignment.shared_plane(z, z)[0].shape == (n, 2)
    assert style.encode(alignment.clouds_figure(seen, "m"), "png").startswith(b"\x89PNG")
