"""Labelled data: folders of classes and scenes; classes that don't fit are refused."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ngw import data
from ngw.data import scenes
from ngw.data._classes import Classes
from ngw.errors import InputError

ROOT = Path(__file__).parents[1]


def folder(root, *names, splits=("train", "test"), images=1):
    """root/{split}/{name}/{k}.png."""
    for k, name in enumerate(names):
        for split in splits:
            for i in range(images):
                (root / split / name).mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 4), (40 * k, i, len(split))).save(root / split / name / f"{i}.png")
    return root


def refused(words, **options):
    with pytest.raises(InputError) as error:
        data.load(**options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_folders_are_classes_in_their_order(tmp_path):
    root = folder(tmp_path, "dog", "cat", images=2)
    (root / "test/cat/.DS_Store").touch()
    dataset = data.load("image-folder", root=root)
    assert dataset.classes == Classes(("cat", "dog"), ("{}",))
    assert dataset.labels["label"] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert dataset.images["split"] == ["train"] * 4 + ["test"] * 4
    assert dataset.images["path"][6] == str(root / "test/dog/0.png")
    assert dataset.captions["text"] == dataset.questions["text"] == []
    dataset.save(tmp_path / "saved")
    assert data.Dataset.read(tmp_path / "saved") == dataset


def test_links_are_followed_and_hidden_folders_are_not(tmp_path):
    root = folder(tmp_path / "set", "cat", "dog", splits=("test",), images=2)
    (root / "test/cat/.ipynb_checkpoints").mkdir()
    (root / "test/cat/0.png").rename(root / "test/cat/.ipynb_checkpoints/0-checkpoint.png")
    folder(tmp_path / "elsewhere", "cow", "hen", splits=("in",))
    (root / "test/dog/more").symlink_to(tmp_path / "elsewhere/in/hen")
    (root / "test/cow").symlink_to(tmp_path / "elsewhere/in/cow")
    dataset = data.load("image-folder", root=root)
    assert [path.removeprefix(f"{root}/test/") for path in dataset.images["path"]] == [
        "cat/1.png", "cow/0.png", "dog/0.png", "dog/1.png", "dog/more/0.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("link", "to", "words"),
    [
        ("test/cat/x.png", "nowhere", ["test/cat/x.png: expected an image, found no file"]),
        ("test/cat/x.png", "x.png", ["test/cat/x.png: expected an image", "Too many levels"]),
        (
            "test/cat/again",
            "..",
            ["test/cat/again/cat: expected other files, found a folder that it lies in, by a link"],
        ),
        ("test/cow", "nowhere", ["test/cow: expected a folder, found a link that leads nowhere"]),
        ("train", "nowhere", ["train: expected the folder of split 'train', found none"]),
    ],
)
def test_no_link_is_left_out_in_silence(tmp_path, link, to, words):
    root = folder(tmp_path, "cat", "dog", splits=("test",))
    (root / link).symlink_to(to)
    refused(words, kind="image-folder", root=root)
    if link.endswith(".png"):
        dataset = data.load("image-folder", root=root, on_error="skip")
        assert [each["path"] for each in dataset.record["skipped_images"]] == [str(root / link)]


def test_a_named_folder_is_a_split(tmp_path):
    root = folder(tmp_path, "a", "b", splits=("val",))
    assert set(data.load("image-folder", root=root, splits={"test": "val"}).labels["split"]) == {"test"}
    assert len(data.load("image-folder", root=root / "val", splits={"test": "."}).images["path"]) == 2
    refused(["expected the folder of split 'train'"], kind="image-folder", root=root, splits={"train": "tarin"})
    refused(["split 'tset' is unknown", "'test'"], kind="image-folder", root=root, splits={"tset": "val"})
    refused(["expected folders train, val or test"], kind="image-folder", root=root / "val")


@pytest.mark.parametrize(
    ("name", "text", "names", "templates"),
    [
        ("classes.txt", "n2\tdog\nn1\tcat\n", ("dog", "cat"), ("{}",)),
        ("classes.txt", "cat\ndog\n", ("cat", "dog"), ("{}",)),  # in the order of the sorted folders
        ("classes.txt", "n2\nn1\n", ("n2", "n1"), ("{}",)),  # the folders' own names, in another order
        ("classes.yaml", "names: {n2: dog, n1: cat}\ntemplates: ['a {}']", ("dog", "cat"), ("a {}",)),
        ("classes.yaml", "names: [cat, dog]", ("cat", "dog"), ("{}",)),
        ("classes.txt", f"{'x' * 300}\ndog", ("x" * 300, "dog"), ("{}",)),
    ],
)  # fmt: skip
def test_a_file_names_the_classes(tmp_path, name, text, names, templates):
    root = folder(tmp_path, "n1", "n2")
    (root / name).write_text(text)
    dataset = data.load("image-folder", root=root)
    assert dataset.classes == Classes(names, templates)
    label = dict(zip(dataset.images["path"], dataset.labels["label"], strict=True))[str(root / "test/n1/0.png")]
    assert names[label] in ("cat", "n1", "x" * 300)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classes.txt", "cat\ndog\nbird", ["a name for each of the 2 folders", "found 3"]),
        ("classes.txt", "", ["a name for each of the 2 folders", "found 0"]),
        ("classes.txt", "n1\tcat\nn3\tdog", ["class folder 'n3'", "no such folder"]),
        ("classes.txt", "n1\tcat\nn2\tdog\nn3\tcow", ["class folder 'n3'", "no such folder"]),
        ("classes.txt", "n1\nn3", ["class folder 'n3'", "no such folder"]),
        ("classes.txt", "n1\tcat", ["class folder 'n2'", "that the file lacks"]),
        ("classes.txt", "n1\tcat\nn2\tcat", ["class 'cat'", "found it 2 times"]),
        ("classes.txt", "n1\tcat\nn1\tdog", ["class 'n1'", "found it again"]),
        ("classes.txt", "cat\ncat", ["class 'cat'", "found it again"]),
        ("classes.txt", "n1\tcat\ndog", ["found both"]),
        ("classes.yaml", "names: {n1: cat, n2: ''}", ["class 1", "expected a name"]),
        ("classes.yaml", "names: {n1: cat, n2: 7}", ["class 1", "expected a text, found 7"]),
        ("classes.yaml", "names: [cat, dog]\ntemplate: [a]", ["expected the keys names and templates"]),
        ("classes.yaml", "names: [cat, dog]\ntemplates: [a photo]", ["template 0", "expected {}", "'a photo'"]),
        ("classes.yaml", "names: [cat, dog]\ntemplates: ['']", ["template 0", "expected {}"]),
        ("classes.yaml", "names: [cat, dog]\ntemplates: ['{}', '{}']", ["template '{}'", "2 times"]),
        ("classes.yaml", "names: [cat", ["expected YAML"]),
        ("classes.yaml", "names:\n- n1: cat\n- n2: dog", ["class 0", "expected a text, found {'n1': 'cat'}"]),
        ("classes.yaml", "names: [cat, [dog]]", ["class 1", "expected a text, found ['dog']"]),
        ("classes.yaml", "names: {n1: cat, 2: dog}", ["folder 1", "expected a text, found 2"]),
        ("classes.yaml", "names: {n1: cat, n2: {a: b}}", ["class 1", "expected a text"]),
        ("classes.yaml", "- cat: a cat", ["expected the keys names and templates"]),
        ("classes.yaml", "names: [cat, dog]\ntemplates: [{a: b}]", ["template 0", "expected a text"]),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, name, text, words):
    root = folder(tmp_path, "n1", "n2")
    (root / name).write_text(text)
    refused([name, *words], kind="image-folder", root=root)


def test_one_class_and_a_class_without_images_are_refused(tmp_path):
    root = folder(tmp_path / "one", "cat")
    refused(["two classes or more, found 1"], kind="image-folder", root=root)
    root = folder(tmp_path / "two", "cat", "dog")
    (root / "test/dog/0.png").unlink()
    refused(["class 'dog'", "expected a test image or more, found none"], kind="image-folder", root=root)
    (root / "test/dog/0.png").write_text("no picture")
    refused(["0.png", "a file that can't be decoded"], kind="image-folder", root=root)
    refused(["class 'dog'", "expected a test image"], kind="image-folder", root=root, on_error="skip")
    refused(["nowhere.txt", "found none"], kind="image-folder", root=root, classes="nowhere.txt")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 2], ["image 1", "a label from 0 to 1", "found 2"]),
        ([0, -1], ["image 1", "found -1"]),
        ([0, "1"], ["image 1", "found '1'"]),
        ([0], ["image 1", "expected a label, found none"]),
    ],
)
def test_labels_beyond_the_classes_are_refused(labels, words):
    images = data.table("images", [(0, "test", "a"), (1, "test", "b")])
    rows = data.table("labels", [(k, "test", label) for k, label in enumerate(labels)])
    with pytest.raises(InputError) as error:
        data.Dataset(images, labels=rows, classes=Classes(("cat", "dog")), source="x").check()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("classes", ["place", "noun"])
def test_scenes_have_as_many_of_each_class(tmp_path, classes):
    options = {"categories": ["fruit", "drink"], "classes": classes}
    n = len(scenes.by_class.names(classes, ["fruit", "drink"]))
    spec = {"kind": "scenes", "sizes": {"train": n, "val": 1, "test": 2 * n}, "seed": 3, "workers": 1, **options}
    dataset = data.prepare(spec, tmp_path / "raw")
    assert data.labelled(spec)
    assert list(dataset.classes.names) == sorted(dataset.classes.names)
    of = {s: [k for t, k in zip(dataset.labels["split"], dataset.labels["label"], strict=True) if t == s] for s in
          ("train", "test")}  # fmt: skip
    assert np.bincount(of["test"]).tolist() == [2] * n
    assert sorted(of["train"]) == list(range(n))
    assert of["train"] != of["test"][:n]  # not one order in all splits
    said: dict[int, str] = collections.defaultdict(str)
    for image_id, text in zip(dataset.captions["image_id"], dataset.captions["text"], strict=True):
        said[image_id] += text.lower()
    if classes == "noun":  # captions tell what is in the picture
        for image_id, label in zip(dataset.labels["image_id"], dataset.labels["label"], strict=True):
            assert dataset.classes.names[label] in said[image_id]
    small = spec | {"sizes": {"train": 1, "val": 1, "test": n - 1}}
    with pytest.raises(InputError, match="expected a test image or more, found none"):
        data.prepare(small, tmp_path / "small")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"classes": "places"}, "expected place or noun, found 'places'"),
        ({"templates": ["a {}"]}, "expected no templates, since it has no classes"),
        ({"classes": "noun", "templates": ["a photo"]}, "template 0: expected {} in place"),
        ({"classes": "noun", "templates": []}, "expected a list such as"),
        ({"classes": "noun", "templates": "a {}"}, "expected a list such as"),
        ({"classes": "noun", "templates": [3]}, "expected a text, found 3"),
    ],
)
def test_an_entry_whose_classes_or_templates_are_wrong(spec, words):
    with pytest.raises(InputError, match=words):
        data.check({"kind": "scenes", **spec})


def test_prompts_are_every_template_of_each_class():
    assert Classes(("cat", "{x}"), ("a {}.", "{} or {}")).prompts() == ["a cat.", "cat or cat", "a {x}.", "{x} or {x}"]


@pytest.mark.parametrize(("name", "n_classes", "n_templates"), [("imagenet", 1000, 80), ("eurosat", 10, 3)])
def test_the_lists_that_come_along(tmp_path, name, n_classes, n_templates):
    from ngw.data._classes import read_classes

    file = ROOT / f"ngw/data/classes/{name}.yaml"
    content = file.read_text()
    assert "MIT licence" in content
    folders = [f"n{k:08d}" for k in range(1000)] if name == "imagenet" else sorted(yaml.safe_load(content)["names"])
    names, templates = read_classes(file, folders)
    assert (len(names), len(templates)) == (n_classes, n_templates)
    Classes(tuple(names.values()), templates).check(name)
    if name == "imagenet":
        assert [list(names.values())[k] for k in (0, 1, 999)] == ["tench", "goldfish", "toilet paper"]


def test_a_record_of_scenes_is_as_before(tmp_path):
    # Without classes the same files as ever: no labels, the questions of pairs of images.
    scenes.write(tmp_path / "s", {"train": 2, "val": 1, "test": 1}, workers=1)
    assert not (tmp_path / "s/labels.json").exists()
    assert json.loads((tmp_path / "s/v2_OpenEnded_scenes_train_questions.json").read_text())["questions"]
    assert data.load("scenes", root=tmp_path / "s").classes == Classes()
