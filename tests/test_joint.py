"""Joint training: a CLIP from scratch learns which text goes with which picture, from the pairs the aligners know."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from ngw.encoders.clip import Clip
from ngw.encoders.inception import Inception
from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import clouds
from ngw.methods.joint import Joint
from ngw.tasks.joint import clip
from ngw.tasks.joint.stages import known_pairs

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
TINY = Joint(
    size=16, patch=8, dims=32, layers=1, heads=2, width=16, words=8, steps=140, batch=8, looks=3, learning_rate=5e-3
)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """Pictures of one colour each, and two captions of each."""
    folder, draw = tmp_path_factory.mktemp("things"), np.random.default_rng(0)
    paths, texts = [], []
    for k in range(40):
        name, colour = list(COLOURS.items())[k % 4]
        pixels = np.clip(np.array(colour) + draw.normal(0, 8, (20, 20, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
        texts.append([f"A {name} thing.", f"All of it is {name}"])
    return paths, texts


@pytest.fixture(scope="module")
def folder(things, tmp_path_factory):
    paths, texts = things
    model, words, trained = clip.fit(paths, texts, np.arange(len(paths)), TINY, 0)
    assert trained.curve["held_out"][-1] < trained.curve["held_out"][0]
    out = tmp_path_factory.mktemp("clip") / "model"
    clip.save(out, model, words, TINY.size, {"pairs": "all"})
    return out


def test_a_killed_training_goes_on_to_the_same_weights(things, tmp_path, monkeypatch):
    paths, texts = things
    options = Joint(size=16, patch=8, dims=16, layers=1, heads=2, width=8, words=8, steps=9, batch=8, looks=3)
    asked = (paths, texts, np.arange(len(paths)), options, 0)
    whole, _, _ = clip.fit(*asked)
    cropped, calls = clip.cropped, []

    def dying(*given):
        calls.append(1)
        if len(calls) == 9:
            raise OSError("the disk is gone")
        return cropped(*given)

    monkeypatch.setattr(clip, "cropped", dying)
    with pytest.raises(OSError, match="the disk is gone"):
        clip.fit(*asked, tmp_path / "checkpoint", "x")
    monkeypatch.undo()
    assert (tmp_path / "checkpoint").is_file()
    again, _, _ = clip.fit(*asked, tmp_path / "checkpoint", "x")
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in again.state_dict().items())


def test_the_saved_folder_is_a_clip_whose_sides_agree(folder, things):
    vision, text = (Clip(side, str(folder), width=16) for side in ("vision", "text"))
    images = vision.encode(things[0][:4]).pooled
    captions = text.encode([f"a {name} thing" for name in COLOURS]).pooled
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
    assert ((images @ captions.T).argmax(1) == np.arange(4)).all()
    assert json.loads((folder / "joint.json").read_text())["pairs"] == "all"


def test_a_folder_whose_record_is_gone_is_no_published_model(folder, things, tmp_path):
    shutil.copytree(folder, tmp_path / "clip")
    (tmp_path / "clip" / "joint.json").unlink()
    with pytest.raises(InputError, match=r"joint\.json: no such record; run the stage that writes it"):
        Clip("vision", str(tmp_path / "clip"), width=16).encode(things[0][:1])


def test_texts_have_marks_unknown_words_and_an_end_that_cutting_keeps():
    words = clip.tokenizer(["A red thing, it's here."], 5)
    known = words.get_vocab()
    assert words.encode("Red THING").ids == [known["[START]"], known["red"], known["thing"], known["[END]"]]
    assert words.encode("red elephant").tokens == ["[START]", "red", "[UNK]", "[END]"]
    assert words.encode("a red thing, it's here").tokens == ["[START]", "a", "red", "thing", "[END]"]
    assert "it's" in known


def test_padding_changes_no_feature(folder):
    text = Clip("text", str(folder), width=16)
    alone = text.encode(["a red thing"]).pooled[0]
    beside = text.encode(["a red thing", "all of it is green, all of it"]).pooled[0]
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_crops_are_squares_inside_the_picture():
    import torch

    ramp = torch.arange(20, dtype=torch.uint8)[None, None, None].expand(4, 3, 20, 20)
    whole = clip.cropped(ramp, 20, 1.0, np.random.default_rng(0))
    torch.testing.assert_close(whole, ramp.float() / 127.5 - 1, atol=1e-4, rtol=0)
    part = clip.cropped(ramp, 20, 0.25, np.random.default_rng(0))
    spans = (part.amax((1, 2, 3)) - part.amin((1, 2, 3))) * 127.5
    assert (spans < 19).all()
    assert (spans > 19 * 0.45).all()


def test_the_pairs_are_those_that_the_aligners_know(scenes):
    from ngw import io

    paths, texts, ids = known_pairs(scenes, "3", 2, seed=5)
    pictures = io.read_table(scenes / "images.parquet", ["image_id", "path"], "train")
    said = io.read_table(scenes / "captions.parquet", ["caption_id", "image_id", "text"], "train")
    image_ids = np.array(pictures["image_id"])
    a = Features(image_ids, image_ids, image_ids[:, None].astype(np.float64), {})
    b = Features(
        np.array(said["caption_id"]),
        np.array(said["image_id"]),
        np.array(said["caption_id"])[:, None].astype(float),
        {},
    )
    two = clouds(a, b, "3", seed=5, captions=2)
    text = dict(zip(said["caption_id"], said["text"], strict=True))
    expected = [(int(two.x[i, 0]), text[int(two.y[j, 0])]) for i, j in two.pairs]
    assert sorted((int(i), t) for i, of in zip(ids, texts, strict=True) for t in of) == sorted(expected)
    path = dict(zip(pictures["image_id"], pictures["path"], strict=True))
    assert paths == [path[int(i)] for i in ids]


def test_bad_input_is_told(folder, tmp_path, things):
    with pytest.raises(InputError, match="expected 4 images or more with captions each, found 2"):
        clip.fit(things[0][:2], things[1][:2], np.arange(2), TINY, 0)
    with pytest.raises(InputError, match="expected width 512, found 16"):
        Clip("vision", str(folder)).encode(things[0][:1])
    with pytest.raises(InputError, match=r"config.json: no such file"):
        Clip("text", str(tmp_path)).encode(["a"])
    with pytest.raises(InputError, match="gives pooled features only"):
        Clip("text", str(folder), 16).encode(["a"], tokens=True)
    with pytest.raises(ValueError, match="patch divides size"):
        Joint(size=30)
    with pytest.raises(InputError, match="expected raw images and texts, found features"):
        Joint().fit(np.eye(30), np.eye(30), np.arange(30))


def test_inceptions_weights_are_read_without_pickle(tmp_path):
    if find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity isn't installed: pip install --no-deps torch-fidelity")
    import torch

    from ngw.encoders import inception

    module = inception._module()
    bare = module.FeatureExtractorInceptionV3.__new__(module.FeatureExtractorInceptionV3)
    module.load_state_dict_from_url = lambda *_, **__: {}
    kept = torch.nn.Module.load_state_dict
    try:
        torch.nn.Module.load_state_dict = lambda *_, **__: None
        bare.__init__("inception", ["2048"])
    finally:
        torch.nn.Module.load_state_dict = kept
    torch.save(bare.state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    Image.new("RGB", (256, 256), (200, 20, 20)).save(tmp_path / "p.png")
    found = Inception(str(tmp_path / "w.pth"), digest[:8]).encode([tmp_path / "p.png"])
    assert found.pooled.shape == (1, 2048)
