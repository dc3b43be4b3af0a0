"""The data sets' shared part: tables and their checks, broken images, the registry."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from ngw import data
from ngw.data import Dataset, table
from ngw.errors import InputError
from ngw.registry import kinds


def two_images(**columns):
    """Two images with a caption each."""
    images = table("images", [(1, "train", "a.png"), (2, "test", "b.png")])
    captions = table("captions", [(10, 1, "train", "A dog."), (20, 2, "test", "A cat.")])
    return Dataset(images, captions | columns, source="captions.json")


def photographs(folder, n=3):
    """n small PNG files; their paths."""
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    return [str(path) for path in paths]


def test_a_good_data_set_passes_and_comes_back_from_its_files(tmp_path):
    dataset = two_images()
    dataset.record["captions_per_image"] = 5
    assert dataset.check() is dataset
    dataset.save(tmp_path)
    assert Dataset.read(tmp_path) == dataset
    assert json.loads((tmp_path / "record.json").read_text())["images"] == {"train": 1, "test": 1}


def test_questions_keep_their_ten_answers_on_disk(tmp_path):
    row = (7, 1, "train", "Is it?", "is it", "yes/no", "yes", ["yes"] * 9 + ["no"])
    dataset = replace(two_images(), questions=table("questions", [row])).check()
    dataset.save(tmp_path)
    assert Dataset.read(tmp_path).questions["answers"] == [["yes"] * 9 + ["no"]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"caption_id": [10, 10]}, ["captions.json", "caption_id 10", "once", "2 times", "remove"]),
        ({"caption_id": ["10", 20]}, ["caption_id '10'", "whole number", "str"]),
        ({"caption_id": [True, 20]}, ["caption_id True", "bool"]),
        ({"image_id": [1, 3]}, ["caption_id 20", "image 3", "isn't there"]),
        ({"split": ["train", "val"]}, ["caption_id 20", "'test'", "'val'"]),
        ({"text": ["A dog.", " "]}, ["caption_id 20", "expected a text", "' '"]),
        ({"image_id": [1, 1], "split": ["train", "train"]}, ["image 2", "expected a caption", "none"]),
    ],
)
def test_bad_captions_are_named(columns, words):
    with pytest.raises(InputError) as error:
        two_images(**columns).check()
    assert all(word in str(error.value) for word in words), error.value


def test_an_image_twice_and_no_image_at_all():
    twice = table("images", [(1, "train", "a.png"), (1, "test", "b.png")])
    with pytest.raises(InputError, match="image_id 1: expected once, found 2 times"):
        replace(two_images(), images=twice).check()
    with pytest.raises(InputError, match="at least one image, found none"):
        Dataset(table("images"), source="empty.json").check()


def test_verify_images_tells_zero_bytes_missing_truncated_and_other_files(tmp_path):
    paths = photographs(tmp_path, 5)
    open(paths[1], "wb").close()
    with open(paths[2], "r+b") as file:
        file.truncate(40)
    (tmp_path / "3.png").write_text("not a picture")
    (tmp_path / "4.png").unlink()
    assert data.verify_images(paths[:1]) == {}
    found = data.verify_images(paths, on_error="skip")
    assert list(found) == paths[1:]
    assert found[paths[1]] == "a file of zero bytes"
    assert found[paths[4]] == "no file"
    assert "truncated" in found[paths[2]].lower() or "decoded" in found[paths[2]]
    with pytest.raises(InputError, match=r"1\.png: expected an image, found a file of zero bytes; 4 of 5 images"):
        data.verify_images(paths)
    with pytest.raises(InputError, match="expected 'stop' or 'skip', found 'ignore'"):
        data.verify_images(paths, on_error="ignore")


def test_skip_leaves_the_broken_image_out_with_all_that_is_said_of_it(tmp_path):
    paths = photographs(tmp_path)
    open(paths[1], "wb").close()
    rows = [(i, "train", path) for i, path in enumerate(paths)]
    said = [(10 * i, i, "train", f"Picture {i}.") for i in range(3)]
    asked = [(5 + i, i, "train", "What?", "what", "other", "dog", ["dog"] * 10) for i in range(3)]
    whole = Dataset(table("images", rows), table("captions", said), table("questions", asked), source="x.json")
    with pytest.raises(InputError, match="zero bytes"):
        data.finish(whole)
    rest = data.finish(whole, on_error="skip")
    assert [rest.images["image_id"], rest.captions["caption_id"], rest.questions["question_id"]] == [
        [0, 2],
        [0, 20],
        [5, 7],
    ]
    assert rest.record["skipped_images"] == [{"path": paths[1], "reason": "a file of zero bytes"}]
    assert len(whole.images["image_id"]) == 3  # the caller's table is left as it was


@pytest.mark.parametrize("kind", kinds("ngw.data"))
def test_every_kind_takes_the_options_that_all_have(kind):
    spec = {"kind": kind, "root": "x", **({"source": "x"} if kind == "cifar" else {})}
    data.check(spec | {"on_error": "skip"})
    if kind not in ("cifar", "easy-vqa", "image-folder", "vqa2"):  # which have no captions
        data.check(spec | {"captions_per_image": 2})
