"""The reader of VQA v2's questions and annotations, on files small enough to read."""

import gzip
import json

import pytest

from ngw import data
from ngw.errors import InputError


def write_vqa(folder, subset="train2014", image_id=9, answers=10, annotated=(90,), packed=False, first_id=1):
    """Question 90 about image 9 and its annotation, where asked with a flaw."""
    asked = {"questions": [{"image_id": 9, "question": "What is it?", "question_id": 90}]}
    label = {"question_type": "what is", "answer_type": "other", "multiple_choice_answer": "dog", "image_id": image_id}
    said = [{"answer": "dog", "answer_confidence": "yes", "answer_id": k + 1} for k in range(answers)]
    said[0]["answer_id"] = first_id
    answered = {"annotations": [label | {"question_id": i, "answers": said} for i in annotated]}
    opening = gzip.open if packed else open
    for name, value in (("OpenEnded_mscoco_{}_questions", asked), ("mscoco_{}_annotations", answered)):
        with opening(folder / f"v2_{name.format(subset)}.json{'.gz' * packed}", "wt") as file:
            json.dump(value, file)


def test_vqa2_reads_questions_with_ten_answers(tmp_path):
    write_vqa(tmp_path)
    dataset = data.load("vqa2", root=tmp_path, subsets={"train": "train2014"}, check_images=False)
    assert dataset.images["path"] == [str(tmp_path / "train2014" / "COCO_train2014_000000000009.jpg")]
    row = {name: values[0] for name, values in dataset.questions.items()}
    assert row == {
        "question_id": 90,
        "image_id": 9,
        "split": "train",
        "text": "What is it?",
        "question_type": "what is",
        "answer_type": "other",
        "multiple_choice_answer": "dog",
        "answers": ["dog"] * 10,
    }
    assert dataset.record == {"unlabelled_splits": [], "numbering": "COCO", "repeated": {}}


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"answers": 9}, ["question_id 90", "10 answers", "found 9"]),
        ({"first_id": 7}, ["question_id 90", "answer_id 7", "once, found 2 times"]),
        ({"image_id": 8}, ["question_id 90", "image 9", "found 8"]),
        ({"annotated": ()}, ["question_id 90", "expected an annotation", "none"]),
        ({"annotated": (90, 91)}, ["question_id 91", "expected a question", "none"]),
        ({"annotated": (90, 90)}, ["question_id 90", "2 times"]),
    ],
)
def test_vqa2_files_that_do_not_match_are_refused(tmp_path, flaw, words):
    write_vqa(tmp_path, **flaw)
    with pytest.raises(InputError) as error:
        data.load("vqa2", root=tmp_path, subsets={"train": "train2014"}, check_images=False)
    assert all(word in str(error.value) for word in [*words, "v2_mscoco_train2014_annotations.json"]), error.value


@pytest.mark.parametrize(
    ("option", "form", "words"),
    [
        ("image_name", "{subset}/{id}.jpg", ["{subset} and {image_id}", "the field 'id'"]),
        ("image_name", "{image_id:s}.jpg", ["format code 's'"]),
        ("questions", "{split}.json", ["with {subset} for", "the field 'split'"]),
        ("questions", "{}.json", ["'{}.json'"]),
        ("questions", "{subset.year}.json", ["year"]),
        ("annotations", "{subset", ["expected '}'"]),
        ("annotations", "{subset[year]}", ["'{subset[year]}'"]),
    ],
)
def test_a_form_with_other_fields_is_refused_before_anything_is_read(option, form, words):
    with pytest.raises(InputError) as error:
        data.check({"kind": "vqa2", "root": "nowhere", option: form})
    assert all(word in str(error.value) for word in [f"vqa2 {option}: expected a file's name", *words]), error.value


def test_only_the_test_split_may_lack_its_annotations(tmp_path):
    write_vqa(tmp_path, "test-dev2015")
    (tmp_path / "v2_mscoco_test-dev2015_annotations.json").unlink()
    dataset = data.load("vqa2", root=tmp_path, subsets={"test": "test-dev2015"}, check_images=False)
    assert dataset.questions["answers"] == [[]]
    assert dataset.record["unlabelled_splits"] == ["test"]
    assert dataset.images["path"][0].endswith("test2015/COCO_test2015_000000000009.jpg")  # where test-dev's images are
    with pytest.raises(InputError, match=r"annotations\.json: no such file"):
        data.load("vqa2", root=tmp_path, subsets={"val": "test-dev2015"}, check_images=False)


def test_a_question_that_stands_twice_is_told_as_that(tmp_path):
    write_vqa(tmp_path)
    path = tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json"
    (question,) = json.loads(path.read_text())["questions"]
    path.write_text(json.dumps({"questions": [question, question]}))
    with pytest.raises(InputError, match=r"_questions\.json: question_id 90: expected once, found 2 times; remove"):
        data.load("vqa2", root=tmp_path, subsets={"train": "train2014"}, check_images=False)


def test_one_image_in_two_splits_is_refused(tmp_path):
    write_vqa(tmp_path, "a")
    write_vqa(tmp_path, "b", annotated=())
    asked = {"questions": [{"image_id": 9, "question": "Why?", "question_id": 91}]}
    (tmp_path / "v2_OpenEnded_mscoco_b_questions.json").write_text(json.dumps(asked))
    (tmp_path / "v2_mscoco_b_annotations.json").unlink()
    with pytest.raises(InputError, match="question_id 90: expected split 'test', as its image 9 has, found 'train'"):
        data.load("vqa2", root=tmp_path, subsets={"train": "a", "test": "b"}, check_images=False)


def share_images(folder):
    """Training asks about the images 9 and 8, the test about 9 alone."""
    for subset, asked in (("a", {90: 9, 80: 8}), ("b", {91: 9})):
        questions = [{"image_id": i, "question": "Why?", "question_id": q} for q, i in asked.items()]
        label = {"question_type": "why", "answer_type": "other", "multiple_choice_answer": "fun"}
        said = {"answers": [{"answer": "fun", "answer_id": k} for k in range(1, 11)]}
        labels = [label | said | {"question_id": q, "image_id": i} for q, i in asked.items()]
        for name, value in (("OpenEnded_mscoco_{}_questions", "questions"), ("mscoco_{}_annotations", "annotations")):
            content = {value: questions if value == "questions" else labels}
            (folder / f"v2_{name.format(subset)}.json").write_text(json.dumps(content))
    return {"root": folder, "subsets": {"test": "b", "train": "a"}, "check_images": False}


def test_images_that_official_splits_share_are_dropped_from_training_or_kept_and_counted(tmp_path, capsys):
    options = share_images(tmp_path)
    with pytest.raises(InputError, match="found 'train'; give both the same split, or set shared_images"):
        data.load("vqa2", **options)
    dropped = data.load("vqa2", **options, shared_images="drop")
    assert dict(zip(dropped.questions["question_id"], dropped.questions["split"], strict=True)) == {
        91: "test",
        80: "train",
    }
    assert dropped.record["questions_left_out"] == {"train": 1}
    assert "earlier split" not in capsys.readouterr().err
    kept = data.load("vqa2", **options, shared_images="keep")
    assert kept.sizes()["questions"] == {"test": 1, "train": 2}
    assert dict(zip(kept.images["image_id"], kept.images["split"], strict=True)) == {9: "test", 8: "train"}
    assert (kept.record["shared_images"], kept.record["repeated"]) == ("keep", {"questions": {"train/test": 1}})
    assert "questions with the image of a question of an earlier split: 1 of 1 (train/test)" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected 'stop' or 'drop' or 'keep', found 'yes'"):
        data.load("vqa2", **options, shared_images="yes")


def test_dropping_shared_images_must_leave_something_to_train_on(tmp_path):
    write_vqa(tmp_path, "a")
    write_vqa(tmp_path, "b")
    text = (tmp_path / "v2_OpenEnded_mscoco_b_questions.json").read_text().replace("90", "91")
    (tmp_path / "v2_OpenEnded_mscoco_b_questions.json").write_text(text)
    text = (tmp_path / "v2_mscoco_b_annotations.json").read_text().replace('"question_id": 90', '"question_id": 91')
    (tmp_path / "v2_mscoco_b_annotations.json").write_text(text)
    options = {"root": tmp_path, "subsets": {"train": "a", "test": "b"}, "check_images": False}
    with pytest.raises(InputError, match="expected questions of split 'train' about images that no later split shares"):
        data.load("vqa2", **options, shared_images="drop")


def test_gzipped_files_are_read_and_cut_ones_refused(tmp_path):
    write_vqa(tmp_path, packed=True)
    names = {
        "questions": "v2_OpenEnded_mscoco_{subset}_questions.json.gz",
        "annotations": "v2_mscoco_{subset}_annotations.json.gz",
    }
    options = {"root": tmp_path, "subsets": {"train": "train2014"}, "check_images": False, **names}
    assert data.load("vqa2", **options).questions["question_id"] == [90]
    path = tmp_path / "v2_mscoco_train2014_annotations.json.gz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(
        InputError,
        match=r"annotations\.json\.gz: expected a gzipped file that can be read, found: Compressed file ended",
    ):
        data.load("vqa2", **options)
