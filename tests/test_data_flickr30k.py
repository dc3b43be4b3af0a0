"""Flickr30k from its token file and split lists: what is read, what is left out on record, what is refused."""

from __future__ import annotations

import pytest
from PIL import Image

from ngw import data
from ngw.errors import InputError

NAMES = ("1000092795", "36979", "65567", "7")  # the last stands in no list


@pytest.fixture
def root(tmp_path):
    (tmp_path / "flickr30k-images").mkdir()
    for name in NAMES[:3]:
        Image.new("RGB", (8, 8)).save(tmp_path / "flickr30k-images" / f"{name}.jpg")
    lines = [f"{name}.jpg#{k}\tCaption {k} of {name} ." for name in NAMES for k in range(5)]
    (tmp_path / "results_20130124.token").write_text("\n".join(lines) + "\n")
    (tmp_path / "train.txt").write_text("1000092795\n36979.jpg\n\n")
    (tmp_path / "test.txt").write_text("65567\n")
    return tmp_path


def load(root, **options):
    lists = {"train": "train.txt", "test": "test.txt"}
    return data.load("flickr30k", root=root, token="results_20130124.token", **{"splits": lists, **options})


def test_images_and_captions_by_number_in_the_lists_splits(root):
    found = load(root)
    assert dict(zip(found.images["image_id"], found.images["split"], strict=True)) == {
        1000092795: "train", 36979: "train", 65567: "test",
    }  # fmt: skip
    assert found.images["path"][0] == str(root / "flickr30k-images" / "1000092795.jpg")
    assert found.captions["text"].count("Caption 3 of 36979 .") == 1
    assert found.captions["caption_id"][found.captions["text"].index("Caption 3 of 36979 .")] == 369793
    assert found.sizes()["captions"] == {"train": 10, "test": 5}
    assert found.record["images_in_no_list"] == 1


def test_a_line_that_says_it_again_is_left_out_and_counted(root):
    with (root / "results_20130124.token").open("a") as file:
        file.write("36979.jpg#2\tCaption 2 of 36979 .\n")
    found = load(root)
    assert found.record["repeated_lines"] == 1
    assert found.sizes()["captions"]["train"] == 10


def test_fewer_captions_an_image_are_the_first(root):
    found = load(root, captions_per_image=2)
    assert found.captions["text"][:2] == ["Caption 0 of 1000092795 .", "Caption 1 of 1000092795 ."]
    assert found.record["captions_left_out"] == {"train": 6, "test": 3}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("36979.jpg#2\tSomething else .", "line 21: expected caption 2 of 36979 once, found another text"),
        ("36979.jpg 2 A dog .", r"line 21: expected NUMBER.jpg#PLACE, a tab and a caption, found '36979.jpg 2 A dog"),
        ("dog.jpg#2\tA dog .", "line 21: expected NUMBER.jpg#PLACE"),
        ("36979.jpg#x\tA dog .", "line 21: expected NUMBER.jpg#PLACE"),
    ],
)
def test_an_odd_line_is_named(root, line, words):
    with (root / "results_20130124.token").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=words):
        load(root)


def test_bytes_that_are_not_utf8_are_named_by_their_line(root):
    with (root / "results_20130124.token").open("ab") as file:
        file.write(b"36979.jpg#2\tCaf\xe9 .\n")
    with pytest.raises(InputError, match=r"line 21: expected UTF-8, found byte 0xe9; convert the file"):
        load(root)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (
            {"train": "1\n2\n", "test": "2\n"},
            "test.txt: line 1: expected image 2 in one list, once, found it in 'train'",
        ),
        ({"train": "a dog\n"}, "train.txt: line 1: expected an image's number, found 'a dog'"),
        ({"trian": "1\n"}, "split 'trian' is unknown. Did you mean 'train'"),
    ],
)
def test_lists_that_cannot_be(root, lists, words):
    for split, text in lists.items():
        (root / f"{split}.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        load(root, splits={split: f"{split}.txt" for split in lists})


def test_what_is_missing_is_told(root):
    with pytest.raises(InputError, match="expected splits, a list of images for each, found none"):
        load(root, splits=None)
    (root / "test.txt").write_text("65567\n99\n")
    with pytest.raises(InputError, match="image 99: expected a caption, found none"):
        load(root)
    with pytest.raises(InputError, match=r"gone.txt: no such file"):
        load(root, splits={"train": "gone.txt"})
