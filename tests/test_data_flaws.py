"""Common flaws in copies of COCO, Flickr30k and VQA v2: each gives one sentence that names file and remedy."""

import json

import pytest
from test_data_readers import entry, write_coco, write_karpathy
from test_data_vqa2 import write_vqa

from ngw import data
from ngw.errors import InputError


def coco(tmp_path, **options):
    """The official COCO files below tmp_path."""
    return data.load("coco", root=tmp_path, **{"subsets": {"val": "val2017"}, **options})


def test_annotations_of_another_year_are_named(tmp_path):
    write_coco(tmp_path, [(30, 7, "A dog."), (31, 8, "A cat.")])
    with pytest.raises(InputError, match=r"captions_val2014\.json: no such .* Did you mean 'captions_val2017\.json'\?"):
        coco(tmp_path, subsets={"val": "val2014"})


def test_questions_of_another_year_are_named(tmp_path):
    write_vqa(tmp_path, "train2014")
    with pytest.raises(InputError, match=r"Did you mean 'v2_OpenEnded_mscoco_train2014_questions\.json'\?"):
        data.load("vqa2", root=tmp_path, subsets={"train": "train2015"}, check_images=False)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_none_of_whose_images_was_unpacked_is_an_error_even_where_broken_ones_are_skipped(tmp_path, split):
    write_karpathy(tmp_path, [entry(0, "train"), entry(1, split)])
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(InputError, match=f"no image of split '{split}' can be read; check the images' folder"):
        data.load("karpathy", root=tmp_path, images="images", on_error="skip")


@pytest.mark.parametrize(
    ("file", "load"),
    [
        ("annotations/captions_val2017.json", lambda root: coco(root, check_images=False)),
        ("dataset.json", lambda root: data.load("karpathy", root=root, images="images")),
        (
            "v2_mscoco_train2014_annotations.json",
            lambda root: data.load("vqa2", root=root, subsets={"train": "train2014"}, check_images=False),
        ),
    ],
    ids=["captions", "split-file", "annotations"],
)
def test_a_cut_file_is_named_with_what_to_do(tmp_path, file, load):
    write_coco(tmp_path, [(30, 7, "A dog."), (31, 8, "A cat.")])
    write_karpathy(tmp_path, [entry(0, "train")])
    write_vqa(tmp_path)
    load(tmp_path)  # whole files are read
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[:-20])
    with pytest.raises(InputError, match=rf"{file}: expected JSON, found .*fetch it again"):
        load(tmp_path)


def test_captions_in_another_encoding_are_named(tmp_path):
    write_karpathy(tmp_path, [entry(0, "train")])
    said = json.dumps({"images": [entry(0, "train")]}).replace("Caption 0.", "Un caf\u00e9.")
    (tmp_path / "dataset.json").write_bytes(said.encode("latin-1"))
    with pytest.raises(InputError, match=r"dataset\.json: line 1: expected UTF-8, found byte 0xe9; convert"):
        data.load("karpathy", root=tmp_path, images="images")


def test_a_question_file_in_the_place_of_captions_is_named(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps({"questions": []}))
    with pytest.raises(InputError, match=r"captions_val2017\.json: expected a field 'images', found \['questions'\]"):
        coco(tmp_path)
