"""easy-VQA: its questions as ten equal answers, validation by image id, and the package where it is installed."""

from __future__ import annotations

import importlib.util
import json

import pytest
from PIL import Image

from ngw import data
from ngw.data import easy_vqa
from ngw.errors import InputError
from ngw.metrics.vqa import accuracies

TRAIN = [[f"is there a {thing}?", "yes", number] for number in range(8) for thing in ("circle", "red shape")]
TEST = [["what shape is in the image?", "circle", 0], ["how many shapes?", "1", 0]]


def write(folder, train=TRAIN, test=TEST):
    """A data set in the package's layout."""
    for split, entries in (("train", train), ("test", test)):
        (folder / split / "images").mkdir(parents=True)
        (folder / split / "questions.json").write_text(json.dumps(entries))
        for number in {entry[2] for entry in entries if len(entry) == 3}:
            Image.new("RGB", (4, 4)).save(folder / split / "images" / f"{number}.png")
    return folder


def test_questions_get_ids_of_their_own_and_ten_equal_answers(tmp_path):
    dataset = data.load("easy-vqa", root=write(tmp_path), val_share=0.25)
    assert dataset.sizes() == {
        "images": {"train": 6, "val": 2, "test": 1},
        "captions": {},
        "questions": {"train": 12, "val": 4, "test": 2},
        "labels": {},
    }
    assert dataset.images["path"][-1] == str(tmp_path / "test" / "images" / "0.png")
    last = {name: values[-1] for name, values in dataset.questions.items()}
    assert last == {
        "question_id": 1_000_000_001,
        "image_id": 1_000_000,
        "split": "test",
        "text": "how many shapes?",
        "question_type": "how many",
        "answer_type": "number",
        "multiple_choice_answer": "1",
        "answers": ["1"] * 10,
    }
    right = accuracies(dataset.questions["multiple_choice_answer"], dataset.questions["answers"])
    assert (right == 1).all()


def test_validation_is_a_seeded_share_of_the_training_images(tmp_path):
    write(tmp_path)

    def val(seed):
        images = data.load("easy-vqa", root=tmp_path, val_share=0.5, seed=seed).images
        return {i for i, split in zip(images["image_id"], images["split"], strict=True) if split == "val"}

    assert val(0) == val(0)
    assert len({frozenset(val(seed)) for seed in range(5)}) > 1
    assert all(len(val(seed)) == 4 and val(seed) < set(range(8)) for seed in range(5))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("is there not a circle in the image?", "is there not"),
        ("is there a circle?", "is there"),
        ("what is the color of the shape?", "what is the color"),
        ("what is the red shape?", "what is the"),
        ("why so red?", "why so"),
    ],
)
def test_question_types_are_the_longest_known_beginning(text, kind):
    assert easy_vqa.question_type(text) == kind


def test_a_data_set_without_captions_is_saved_and_read(tmp_path):
    dataset = data.prepare({"kind": "easy-vqa", "root": str(write(tmp_path / "raw"))}, tmp_path / "unused")
    dataset.save(tmp_path / "tables")
    assert (tmp_path / "tables" / "captions.parquet").is_file()  # an output of the data rule, be it empty
    assert data.Dataset.read(tmp_path / "tables") == dataset


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (["what?", "circle"], "question 1: expected .text, answer, image id., found .'what.', 'circle'."),
        (["what?", "circle", "0"], "question 1: expected .text"),
        (["what?", "circle", -1], "question 1: expected an image id from 0 to 999999, found -1"),
        ([" ", "circle", 0], "question_id 1000000001: expected a text"),
    ],
)
def test_bad_questions_are_named(tmp_path, entry, words):
    write(tmp_path, test=[TEST[0], entry])
    with pytest.raises(InputError, match=words):
        data.load("easy-vqa", root=tmp_path)


@pytest.mark.parametrize(
    ("share", "words"), [(0, "between 0 and 1, found 0"), ("1", "found '1'"), (0.99, "found 8 of 8 held out")]
)
def test_bad_shares_are_named(tmp_path, share, words):
    with pytest.raises(InputError, match=f"val_share.*{words}"):
        data.load("easy-vqa", root=write(tmp_path), val_share=share)


def test_a_missing_package_or_folder_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"questions\.json: no such file"):
        data.load("easy-vqa", root=tmp_path)
    monkeypatch.setattr(easy_vqa, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="expected the package easy-vqa, found none; run `pip install easy-vqa`"):
        data.load("easy-vqa")


@pytest.mark.skipif(importlib.util.find_spec("easy_vqa") is None, reason="the package easy-vqa isn't installed")
def test_the_real_package():
    dataset = data.load("easy-vqa")
    assert dataset.sizes()["images"] == {"train": 3600, "val": 400, "test": 1000}
    assert len(dataset.questions["text"]) == 38_575 + 9_673  # as its README says
    test = [i for i, split in enumerate(dataset.questions["split"]) if split == "test"]
    assert sum(dataset.questions["answer_type"][i] == "yes/no" for i in test) == 7_136
    assert set(dataset.questions["question_type"]) == set(easy_vqa.QUESTION_TYPES)
    assert len(set(dataset.questions["multiple_choice_answer"])) == 13
    assert dataset.record["skipped_images"] == []
