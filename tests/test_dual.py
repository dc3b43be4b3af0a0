"""A dual encoder: what it encodes and classifies, its folder and card, and what is refused in a sentence."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from miniatures import COLOURS, said
from photograph_albums import N, album, fitted, paths
from PIL import Image

import ngw
from ngw import config, encoders, io, methods
from ngw.dual import sides
from ngw.dual.encoder import DualEncoder
from ngw.dual.files import pictures
from ngw.errors import InputError

COLOUR_NAMES = list(COLOURS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return album(tmp_path_factory.mktemp("album") / "photos")


@pytest.fixture(scope="module")
def model(photos):
    return fitted(photos)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "my-model"
    model.save(folder)
    return folder


def test_both_sides_are_unit_rows_of_one_space(model, photos):
    u, v = model.encode_image(paths(photos)), model.encode_text([said(k)[0] for k in range(N)])
    assert u.shape == v.shape == (N, model.width)
    for rows in (u, v):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    x = model.vision.encode(paths(photos)).pooled
    y = model.text.encode([said(k)[0] for k in range(N)]).pooled
    for found, wanted in zip((u, v), model.warp.embed(x, y), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert ((u @ v.T).argmax(1) % 4 == np.arange(N) % 4).mean() > 0.8  # the right colour at least


def test_a_path_a_picture_and_a_folder_are_the_same(model, photos):
    rows = model.encode_image(photos)
    assert len(rows) == N
    names = list(pictures(photos))
    assert names == sorted(names)
    with Image.open(photos / names[3]) as picture:
        np.testing.assert_allclose(model.encode_image([picture])[0], rows[3], atol=1e-4)
    np.testing.assert_allclose(model.encode_image([photos / names[3]])[0], rows[3], atol=1e-4)


def test_rows_do_not_depend_on_the_batch(model, photos):
    many = model.encode_image(paths(photos) * 2)  # batches of 32
    np.testing.assert_allclose(many[N:], many[:N], atol=1e-4)


def test_what_cannot_be_read_is_refused_or_left_out(model, photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    images = [paths(photos)[0], tmp_path / "broken.png", tmp_path / "gone.png", paths(photos)[1]]
    with pytest.raises(InputError, match=r"broken.png: expected a readable image, found"):
        model.encode_image(images)
    with pytest.warns(UserWarning, match=r"2 of 4 images left out: .*broken.png: expected a readable image"):
        rows = model.encode_image(images, on_error="skip")
    np.testing.assert_array_equal(np.isnan(rows).all(1), [False, True, True, False])
    np.testing.assert_allclose(rows[[0, 3]], model.encode_image([images[0], images[3]]), atol=1e-4)
    with pytest.raises(InputError, match="on_error: expected 'stop' or 'skip', found 'ignore'"):
        model.encode_image(images, on_error="ignore")
    with pytest.warns(UserWarning, match="1 of 2 images left out"):
        labels, scores = model.classify(images[:2], ["red", "blue"], on_error="skip")
    assert labels[1] is None
    assert np.isnan(scores[1]).all()


def test_a_class_is_the_mean_of_its_prompts(model, photos):
    templates = ["A {} cat.", "the dog is {}"]
    found = model.classify(paths(photos), COLOUR_NAMES, templates)
    assert [COLOUR_NAMES.index(label) for label in found.labels] == found.scores.argmax(1).tolist()
    rows = np.stack(
        [model.encode_text([form.replace("{}", name) for form in templates]).mean(0) for name in COLOUR_NAMES]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores, model.encode_image(paths(photos)) @ rows.T, atol=1e-4)
    assert np.mean([label == COLOUR_NAMES[k % 4] for k, label in enumerate(found.labels)]) > 0.6  # chance: 0.25


def test_hundreds_of_classes_with_long_names(model, photos):
    names = [f"{k} {'a very small cat ' * 20}"[:300] for k in range(300)]
    with pytest.warns(UserWarning, match="texts fill the encoder's 64 tokens"):
        found = model.classify(paths(photos)[:1], names)
    assert found.scores.shape == (1, 300)
    assert found.labels[0] in names


REFUSED = {
    "a class twice": ((["cat", "dog", "cat"],), "classify: class 'cat': expected each name once, found it 2 times"),
    "one class": ((["cat"],), "classify: expected two classes or more, found 1"),
    "no class": (([],), "classes: expected one or more, found none"),
    "an empty class": ((["cat", " "],), "classes: expected texts with words, found ' '"),
    "a text as classes": (("cat",), "classes: expected a list of texts, found the text 'cat'"),
    "no place": (
        (["cat", "dog"], ["a photo"]),
        "template 0: expected {} in place of the class's name, found 'a photo'",
    ),
    "no template": ((["cat", "dog"], []), "templates: expected one or more, found none"),
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_classes_that_cannot_be_told_apart(flaw, model, photos):
    given, words = REFUSED[flaw]
    with pytest.raises(InputError, match=re.escape(words)):
        model.classify(paths(photos)[:1], *given)


def test_texts_and_images_that_say_nothing(model, tmp_path):
    for texts, words in (
        ([], "found none"),
        (["a", ""], "found ''"),
        (["a", 3], "found 3"),
        ("a", "put it into a list"),
    ):
        with pytest.raises(InputError, match=words):
            model.encode_text(texts)
    with pytest.raises(InputError, match="images: expected one or more, found none"):
        model.encode_image([])
    with pytest.raises(InputError, match=r"expected images .* found none in it or below"):
        model.encode_image(tmp_path)
    with pytest.raises(InputError, match="expected a folder, or a list of images"):
        model.encode_image(tmp_path / "a.png")


def test_a_long_text_is_cut_and_said_to_be(model):
    with pytest.warns(UserWarning, match="1 of 2 texts fill the encoder's 64 tokens, .* the first is 'dog dog"):
        rows = model.encode_text(["a dog", "dog " * 2500])
    assert np.isfinite(rows).all()


def test_a_saved_model_is_the_same(model, saved, photos):
    again = ngw.DualEncoder.load(saved)
    np.testing.assert_array_equal(again.encode_image(paths(photos)[:2]), model.encode_image(paths(photos)[:2]))
    np.testing.assert_array_equal(again.encode_text(["a cat"]), model.encode_text(["a cat"]))
    assert again.digest == model.digest
    assert again.names == {"vision": "effnet-lite0", "text": "minilm-l6"}


def test_the_folder_is_a_hub_s(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "config.json", "warp.safetensors"]
    card = (saved / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["pipeline_tag"] == "zero-shot-image-classification"
    assert "ImageNet-1k" in card
    assert "pairs: 24" in card
    told = io.read_json(saved / "config.json")
    assert told["vision"]["entry"] == {"kind": "efficientnet-lite"}
    assert methods.load(saved / told_file(told)).params() == told["method"]["options"]


def told_file(told) -> str:
    (name,) = told["files"]
    return name


@pytest.mark.parametrize("file", ["config.json", "warp.safetensors"])
def test_a_changed_file_is_refused(file, saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"{file}: expected"):
        DualEncoder.load(folder)
    (folder / file).unlink()
    with pytest.raises(InputError, match=rf"{file}"):
        DualEncoder.load(folder)


def test_another_method_s_file_is_refused(saved, tmp_path, photos):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    fitted(photos, "cca").warp.save(folder / "warp.safetensors")  # whole, but not the one of this model
    with pytest.raises(InputError, match="content that differs from its digest there"):
        DualEncoder.load(folder)


def test_a_fitted_method_s_file_makes_a_model(model, saved, photos):
    again = DualEncoder("effnet-lite0", "minilm-l6", saved / "warp.safetensors")
    np.testing.assert_array_equal(again.encode_image(paths(photos)[:2]), model.encode_image(paths(photos)[:2]))


def test_another_s_config_is_not_replaced(model, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"found another file there, config.json"):
        model.save(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "bert"}'


def test_an_encoder_whose_weights_differ_is_refused(tmp_path, photos):
    from tiny_encoders import BERT, edit, text_folder

    folder = text_folder(tmp_path / "bert", "BertModel", **BERT)
    vision, text = sides.build("effnet-lite0", "vision"), sides.build(str(folder), "text")
    x, y = vision.encode(paths(photos)).pooled, text.encode(["a cat", "a dog a", "dog", "cat"] * 6).pooled
    method = methods.build({"kind": "ridge"}).fit(x, y, np.arange(N))
    DualEncoder(vision, text, method).save(tmp_path / "model")
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "model", moved)
    DualEncoder.load(moved)
    shutil.copytree(folder, tmp_path / "new place")
    assert DualEncoder.load(moved, text=str(tmp_path / "new place")).text.model == str(tmp_path / "new place")
    edit(folder, lambda weights: {name: value + 1e-3 for name, value in weights.items()})
    with pytest.raises(InputError, match=r"elsewhere: text: expected the \w+ of the fit, .* found another"):
        DualEncoder.load(moved)


def test_an_encoder_of_ones_own_is_used_and_not_saved(count, photos, tmp_path):
    x = sides.build("effnet-lite0", "vision").encode(paths(photos)).pooled
    texts = [f"{k} {'x' * (k % 5)}" for k in range(N)]
    method = methods.build({"kind": "ridge"}).fit(x, count().encode(texts).pooled, np.arange(N))
    model = DualEncoder("effnet-lite0", count(), method)
    assert model.encode_text(["3 xx"]).shape == (1, model.width)
    with pytest.raises(InputError, match="Count: expected an encoder that a config entry can create"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_sides_that_do_not_fit(model, tmp_path):
    with pytest.raises(InputError, match="minilm-l6: expected a vision encoder, found one of texts"):
        DualEncoder("minilm-l6", "minilm-l6", model.warp)
    with pytest.raises(InputError, match=r"found 'efnet-lite0'\. Did you mean 'effnet-lite0'"):
        DualEncoder("efnet-lite0", "minilm-l6", model.warp)
    with pytest.raises(InputError, match=r"expected features of width 384, .* found 50; name the encoder of the fit"):
        DualEncoder("effnet-lite0", {"kind": "glove"}, model.warp)
    with pytest.raises(InputError, match="found features by id"):
        DualEncoder({"kind": "precomputed"}, "minilm-l6", model.warp)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match=r"expected a new folder, or a model's, found another file there, mine.txt"):
        model.save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_named_encoders_are_those_of_the_config():
    defined = config.read("config.yaml")["encoders"]
    assert defined == sides.NAMED
    for entry in defined.values():
        encoder = encoders.build(entry)
        assert encoders.build(sides.entry_of(encoder)) is not encoder
        assert sides.identity(encoders.build(sides.entry_of(encoder))) == sides.identity(encoder)
    assert sides.build(json.dumps(defined["minilm-l6"]), "text").width == 384
