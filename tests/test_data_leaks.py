"""Images that one task trains on and another holds out: named and refused."""

from __future__ import annotations

import json

import pytest

from ngw import data
from ngw.data import Dataset, table
from ngw.data._leaks import check_tables, leaks, refuse_leaks
from ngw.errors import InputError


def dataset(source, **splits):
    """A data set with a caption and a question for every image."""
    rows = [(i, split) for split, ids in splits.items() for i in ids]
    return Dataset(
        table("images", [(i, split, f"{i}.png") for i, split in rows]),
        table("captions", [(10 * i, i, split, "A dog.") for i, split in rows]),
        table("questions", [(1000 * i, i, split, "Why?", "why", "other", "fun", ["fun"] * 10) for i, split in rows]),
        source,
    )


def test_leaks_by_hand():
    a = dataset("a", train=[1, 2, 3, 9], val=[4, 5], test=[6, 7])
    b = dataset("b", train=[1, 5, 7, 6], val=[2, 4], test=[9, 3, 8])
    # 1 is train in both and 4 val in both: no leak. 8 is only in b.
    assert leaks(a.images, b.images) == {
        ("train", "val"): [2],
        ("train", "test"): [3, 9],
        ("val", "train"): [5],
        ("test", "train"): [6, 7],
    }
    assert leaks(a.captions, b.questions) == leaks(a.images, b.images)
    assert leaks(a.images, a.images) == {}


def test_leaks_are_refused_by_name():
    a, b = dataset("karpathy.json", train=[1, 2, 3]), dataset("vqa.json", train=[1], val=[2, 3])
    with pytest.raises(
        InputError, match=r"karpathy\.json: image 2: .* 'train' here and in 'val' of vqa\.json \(2 such"
    ):
        refuse_leaks(a, b)
    with pytest.raises(InputError, match=r"vqa\.json: image 2: .* 'val' here and in 'train' of karpathy\.json"):
        refuse_leaks(b, a)


def test_tables_of_one_numbering_are_compared_and_others_are_not(tmp_path):
    a, b = dataset("a", train=[1, 2, 3]), dataset("b", train=[1], val=[2, 3])
    for numbers, folder in ((("COCO", "COCO"), "same"), (("COCO", "Flickr"), "other"), ((None, None), "unknown")):
        for one, name, number in zip((a, b), "ab", numbers, strict=True):
            one.record = {} if number is None else {"numbering": number}
            one.save(tmp_path / folder / name)
    with pytest.raises(InputError, match=r"same/a: image 2: .* 'train' here and in 'val' of .*same/b"):
        check_tables(tmp_path / "same" / "a", tmp_path / "same" / "b")
    check_tables(tmp_path / "other" / "a", tmp_path / "other" / "b")
    check_tables(tmp_path / "unknown" / "a", tmp_path / "unknown" / "b")


@pytest.mark.parametrize(("restval", "found"), [("train", {("train", "val"): [391895]}), ("drop", {})])
def test_karpathys_restval_leaks_into_vqa_v2(tmp_path, restval, found):
    sentence = {"raw": "A dog.", "sentid": 1}
    entries = [
        {"cocoid": i, "split": split, "filename": f"{i}.jpg", "sentences": [sentence | {"sentid": i}]}
        for i, split in ((391895, "restval"), (9, "train"))
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": entries}))
    asked = {"questions": [{"image_id": 391895, "question": "Is it?", "question_id": 391895000}]}
    label = {"question_type": "is it", "answer_type": "yes/no", "multiple_choice_answer": "yes"}
    said = {"answers": [{"answer": "yes", "answer_id": k} for k in range(1, 11)]}
    answered = {"annotations": [{"image_id": 391895, "question_id": 391895000} | label | said]}
    (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps(asked))
    (tmp_path / "v2_mscoco_val2014_annotations.json").write_text(json.dumps(answered))
    coco = data.load("coco", root=tmp_path, restval=restval, check_images=False)
    vqa = data.load("vqa2", root=tmp_path, subsets={"val": "val2014"}, check_images=False)
    assert leaks(coco.images, vqa.images) == found
