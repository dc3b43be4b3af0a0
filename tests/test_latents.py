"""The latents that reach a decoder: mapped ones, the ceiling's own, or those from a joint model's space."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ngw import features, io
from ngw.errors import InputError
from ngw.methods.ridge import Ridge
from ngw.tasks import latents

WHO = {"method": "joint", "pairs": "all", "unpaired": "none", "seed": "3", "kind": "joint", "role": "baseline"}


@pytest.fixture
def sides(write_cloud, tmp_path):
    """Twelve images and their 24 captions, as features."""
    return [features.read(write_cloud(tmp_path / f"{side}.safetensors", side)) for side in ("vision", "text")]


def bridge(path, a, b, **changes):
    arrays = {
        "images": a.x[:, :2], "captions": b.x[:, :2], "train_images": a.x[:, :2], "train_captions": b.x[:, :2],
        "text": np.ones((len(a.ids), 5)), "vision": np.arange(len(b.ids) * 6.0).reshape(-1, 6),
    }  # fmt: skip
    head = {"dataset": "points", "vision": "v", "text": "t", "bridge": "{}", **WHO}
    head |= {"images_sha256": a.metadata["sha256"], "captions_sha256": b.metadata["sha256"], **changes}
    io.write_tensors(path, {name: value.astype(np.float32) for name, value in arrays.items()}, head)
    return path


def test_the_nearest_is_the_row_with_the_largest_cosine():
    known = np.array([[1.0, 0.0], [0.0, 9.0], [-1.0, -1.0]])
    queries = np.array([[0.1, 0.2], [5.0, 1.0], [-3.0, -2.0]])
    assert latents.nearest(queries, known, block=2).tolist() == [1, 0, 2]


def test_the_items_that_are_drawn_are_the_same_for_all():
    rows = latents.drawn(50, 20, "captioning", "images")
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 20
    np.testing.assert_array_equal(rows, latents.drawn(50, 20, "captioning", "images"))
    assert latents.drawn(5, None, "x").tolist() == latents.drawn(5, 9, "x").tolist() == [0, 1, 2, 3, 4]


def test_a_joint_space_leads_to_latents_within_each_modality():
    """Where an encoder's latents follow from the joint model's features, test items get what their partners say."""
    draw = np.random.default_rng(0)
    u, v = draw.standard_normal((200, 4)), draw.standard_normal((300, 4))
    to_vision, to_text = draw.standard_normal((4, 6)), draw.standard_normal((4, 5))
    shared = draw.standard_normal((10, 4))  # of test pairs, at one place each
    inside = {"images": shared, "captions": shared, "train_images": u, "train_captions": v}
    found, penalties = latents.bridged(inside, u @ to_vision + 3, v @ to_text - 2)
    np.testing.assert_allclose(found["text"], shared @ to_text - 2, atol=0.1)
    np.testing.assert_allclose(found["vision"], shared @ to_vision + 3, atol=0.1)
    assert set(penalties) == {"text_penalty", "vision_penalty"}


def test_a_bridge_carries_images_to_texts_and_first_captions_to_images(sides, tmp_path):
    a, b = sides
    path = bridge(tmp_path / "b", a, b)
    there = latents.to_text(None, path, a, b, b, 0, np.arange(12))
    assert there.who["method"] == "joint"
    assert there.who["seed"] == 3
    assert there.latents.shape == (12, 5)
    back = latents.to_vision(None, path, a, b, a, 0, np.array([1, 4]))
    np.testing.assert_array_equal(back.latents[:, 0], [6 * 2, 6 * 8])  # two captions an image, the first of each
    np.testing.assert_array_equal(back.queries, b.x[[2, 8], :2])


def test_a_bridge_of_other_features_is_refused(sides, tmp_path):
    a, b = sides
    with pytest.raises(InputError, match="expected the images of these features, found others; make the bridge again"):
        latents.to_text(None, bridge(tmp_path / "b", a, b, images_sha256="0"), a, b, b, 0, np.arange(12))


def test_a_fitted_methods_maps_carry_both_ways_and_nothing_is_the_ceiling(sides, tmp_path):
    a, b = sides
    model = Ridge().fit(a.x, b.x, np.stack([np.arange(12), np.arange(0, 24, 2)], 1))
    model.save(
        tmp_path / "m", dataset="points", vision="v", text="t", method="ridge", pairs="all", unpaired="none", seed="1"
    )
    there = latents.to_text(tmp_path / "m", None, a, b, b, 0, np.arange(12))
    np.testing.assert_allclose(there.latents, model.transform(a.x))
    assert there.who["kind"] == "ridge"
    rows = np.array([5, 0])
    back = latents.to_vision(tmp_path / "m", None, a, b, a, 0, rows)
    np.testing.assert_allclose(back.latents, model.inverse_transform(b.x[2 * rows]))
    ceiling = latents.to_vision(None, None, a, b, a, 7, rows)
    np.testing.assert_array_equal(ceiling.latents, a.x[rows])
    assert latents.nearest(ceiling.queries, ceiling.known).tolist() == rows.tolist()
    assert json.dumps(ceiling.who) == json.dumps(latents.to_text(None, None, a, b, b, 7, rows).who)
