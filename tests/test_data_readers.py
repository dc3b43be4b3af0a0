"""The readers of COCO, Karpathy's split files, Flickr30k and VQA v2, on files small enough to read and on real ones."""

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image
from pycocotools.coco import COCO

from ngw import data
from ngw.errors import InputError

SHARED = Path(__file__).parents[2] / "shared" / "data"


def entry(number, split, n_captions=5, **more):
    """An image of a Karpathy file with sentences number * 10 + 0, 1, ..."""
    ids = [10 * number + k for k in range(n_captions)]
    sentences = [{"raw": f"Caption {i}.", "sentid": i, "imgid": number, "tokens": []} for i in ids]
    return {"filename": f"{number}.png", "imgid": number, "split": split, "sentids": ids, "sentences": sentences} | more


def write_karpathy(folder, entries, name="dataset.json", images="images"):
    """A Karpathy data set on disk, pictures included."""
    (folder / name).write_text(json.dumps({"dataset": "hand", "images": entries}))
    for e in entries:
        path = folder / images / e.get("filepath", "") / e["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)


def test_karpathy_splits_ids_and_the_first_five_captions(tmp_path):
    write_karpathy(tmp_path, [entry(0, "train"), entry(1, "restval"), entry(2, "val", 4), entry(3, "test", 7)])
    dataset = data.load("karpathy", root=tmp_path, images="images")
    assert dataset.images["split"] == ["train", "train", "val", "test"]
    assert dataset.images["path"][3] == str(tmp_path / "images" / "3.png")
    assert [i for i in dataset.captions["caption_id"] if i >= 20] == [20, 21, 22, 23, 30, 31, 32, 33, 34]
    assert dataset.record["captions_left_out"] == {"test": 2}
    assert dataset.record["images_with_fewer"] == 1
    every = data.load("karpathy", root=tmp_path, images="images", captions_per_image=None)
    assert every.sizes()["captions"] == {"train": 10, "val": 4, "test": 7}


def test_restval_can_be_left_out_and_is_counted(tmp_path):
    write_karpathy(tmp_path, [entry(0, "train"), entry(1, "restval")])
    dataset = data.load("karpathy", root=tmp_path, images="images", restval="drop")
    assert dataset.images["image_id"] == [0]
    assert dataset.record["restval_images_left_out"] == 1
    with pytest.raises(InputError, match="expected 'train' or 'drop', found 'val'"):
        data.load("karpathy", root=tmp_path, images="images", restval="val")


def test_coco_by_karpathy_uses_cocoid_and_filepath(tmp_path):
    write_karpathy(tmp_path, [entry(0, "test", cocoid=391895, filepath="val2014")], "dataset_coco.json", "")
    dataset = data.load("coco", root=tmp_path)
    assert dataset.images["image_id"] == dataset.captions["image_id"][:1] == [391895]
    assert dataset.images["path"] == [str(tmp_path / "val2014" / "0.png")]


def test_flickr30k_has_its_own_names(tmp_path):
    write_karpathy(tmp_path, [entry(4, "train")], "dataset_flickr30k.json", "flickr30k-images")
    assert data.load("flickr30k", root=tmp_path).images["path"] == [str(tmp_path / "flickr30k-images" / "4.png")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "tset"}, ["image 1", "'tset'", "Did you mean 'test'"]),
        ({"imgid": 0}, ["image_id 0", "2 times"]),
        ({"sentences": []}, ["image 1", "expected a caption"]),
        ({"sentences": [{"raw": "x"}]}, ["image 1", "'sentid'", "['raw']"]),
        ({"filename": "gone.png"}, ["gone.png", "no file", "1 of 2 images"]),
    ],
)
def test_bad_karpathy_files_are_named(tmp_path, change, words):
    write_karpathy(tmp_path, [entry(0, "train"), entry(1, "train")])
    bad = {"images": [entry(0, "train"), entry(1, "train") | change]}
    (tmp_path / "dataset.json").write_text(json.dumps(bad))
    with pytest.raises(InputError) as error:
        data.load("karpathy", root=tmp_path, images="images")
    assert all(word in str(error.value) for word in words), error.value


def write_coco(folder, annotations):
    """An official caption file for the images 7 and 8."""
    (folder / "annotations").mkdir()
    images = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (7, 8)]
    said = [{"id": i, "image_id": image_id, "caption": text} for i, image_id, text in annotations]
    content = {"images": images, "annotations": said}
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content))


def test_coco_official_files(tmp_path):
    write_coco(tmp_path, [(31, 8, "A cat."), (30, 7, "A dog."), (32, 8, "Two cats.")])
    options = {"root": tmp_path, "subsets": {"val": "val2017"}, "check_images": False}
    dataset = data.load("coco", **options)
    assert dataset.images["path"] == [str(tmp_path / "val2017" / f"{i:012d}.jpg") for i in (7, 8)]
    assert dataset.captions["text"] == ["A cat.", "A dog.", "Two cats."]
    assert data.load("coco", captions_per_image=1, **options).captions["caption_id"] == [31, 30]
    with pytest.raises(InputError, match="Did you mean 'val'"):
        data.load("coco", root=tmp_path, subsets={"vall": "val2017"})
    with pytest.raises(InputError, match="found 0"):
        data.load("coco", captions_per_image=0, **options)


def test_coco_is_read_as_pycocotools_reads_it(tmp_path):
    write_coco(tmp_path, [(31, 8, "A cat."), (30, 7, "A dog.")])
    dataset = data.load("coco", root=tmp_path, subsets={"val": "val2017"}, check_images=False)
    index = COCO(tmp_path / "annotations" / "captions_val2017.json")
    assert dataset.images["image_id"] == list(index.imgs)
    for name, field in (("caption_id", "id"), ("image_id", "image_id"), ("text", "caption")):
        assert dataset.captions[name] == [entry[field] for entry in index.anns.values()]


def test_pycocotools_drops_one_of_two_captions_of_an_id_and_names_no_entry_without_a_field(tmp_path):
    write_coco(tmp_path, [(30, 7, "A dog."), (30, 8, "A cat.")])
    file = tmp_path / "annotations" / "captions_val2017.json"
    options = {"root": tmp_path, "subsets": {"val": "val2017"}, "check_images": False}
    assert len(COCO(file).anns) == 1
    with pytest.raises(InputError, match="caption_id 30: "):
        data.load("coco", **options)
    file.write_text(file.read_text().replace('"image_id": 8, ', ""))
    with pytest.raises(KeyError, match=r"^'image_id'$"):
        COCO(file)
    with pytest.raises(InputError, match=r"captions_val2017\.json: annotation 1: expected a field 'image_id'"):
        data.load("coco", **options)


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


def test_only_the_test_split_may_lack_its_annotations(tmp_path):
    write_vqa(tmp_path, "test-dev2015")
    (tmp_path / "v2_mscoco_test-dev2015_annotations.json").unlink()
    dataset = data.load("vqa2", root=tmp_path, subsets={"test": "test-dev2015"}, check_images=False)
    assert dataset.questions["answers"] == [[]]
    assert dataset.record["unlabelled_splits"] == ["test"]
    assert dataset.images["path"][0].endswith("test2015/COCO_test2015_000000000009.jpg")  # where test-dev's images are
    with pytest.raises(InputError, match=r"annotations\.json: no such file"):
        data.load("vqa2", root=tmp_path, subsets={"val": "test-dev2015"}, check_images=False)


def test_one_image_in_two_splits_is_refused(tmp_path):
    write_vqa(tmp_path, "a")
    write_vqa(tmp_path, "b", annotated=())
    asked = {"questions": [{"image_id": 9, "question": "Why?", "question_id": 91}]}
    (tmp_path / "v2_OpenEnded_mscoco_b_questions.json").write_text(json.dumps(asked))
    (tmp_path / "v2_mscoco_b_annotations.json").unlink()
    with pytest.raises(InputError, match="question_id 90: expected split 'test', that of its image 9, found 'train'"):
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
    assert "questions that have the image of one of an earlier split: 1 of 1 (train/test)" in capsys.readouterr().err
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


def needs(*names):
    """Skip unless this real file lies beside the checkout."""
    path = SHARED.joinpath(*names)
    return pytest.mark.skipif(not path.exists(), reason=f"{path} isn't there; it is only used to try the loaders")


@needs("ucm-captions", "dataset_ucm.json")
def test_real_photographs_with_a_karpathy_file():
    dataset = data.load("karpathy", root=SHARED / "ucm-captions", file="dataset_ucm.json", images="images")
    assert dataset.sizes()["images"] == {"train": 1680, "val": 210, "test": 210}
    assert len(dataset.captions["text"]) == 5 * 2100
    assert dataset.record["skipped_images"] == []


@needs("coco-val2017", "captions_val2017.json")
def test_the_real_coco_caption_file(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions_val2017.json").symlink_to(SHARED / "coco-val2017" / "captions_val2017.json")
    dataset = data.load("coco", root=tmp_path, subsets={"test": "val2017"}, check_images=False)
    assert dataset.sizes()["captions"] == {"test": 25_000}
    assert dataset.record["captions_left_out"] == {"test": 14}


@needs("vqa2-subset", "valid_questions.json.gz")
def test_real_vqa_questions():
    names = {"questions": "{subset}_questions.json.gz", "annotations": "{subset}_annotations.json.gz"}
    options = {"root": SHARED / "vqa2-subset", "check_images": False, **names}
    sizes = [len(data.load("vqa2", subsets={"val": s}, **options).questions["text"]) for s in ("valid", "test")]
    assert sum(sizes) == 11_939
    # Both are cuts of the official validation split and share images: training on one, testing on the other would leak.
    with pytest.raises(InputError, match="give both the same split"):
        data.load("vqa2", subsets={"val": "valid", "test": "test"}, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"kind": "coco"},
            r"dataset_coco.json: no such file \(1 of 1 are missing\); get Karpathy's split files from https",
        ),
        ({"kind": "flickr30k"}, r"dataset_flickr30k.json: no such file .* get Karpathy's split files"),
        (
            {"kind": "coco", "subsets": {"train": "train2017", "val": "val2017"}},
            r"captions_train2017.json: .*2 of 2 .*unpack it",
        ),
        ({"kind": "vqa2"}, r"train2014_questions.json: no such file \(4 of 4 are missing\); get the questions' and"),
        (
            {"kind": "flickr30k", "token": "t", "splits": {"train": "x"}},
            r"t: no such file \(2 of 2 .*ask for Flickr30k at",
        ),
    ],
    ids=["coco", "flickr30k", "coco-official", "vqa2", "flickr30k-token"],
)
def test_what_is_missing_is_told_with_how_to_get_it(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        data.load(root=tmp_path, **options)


def test_a_split_file_that_is_not_the_published_one_says_so(tmp_path, capsys):
    write_karpathy(tmp_path, [entry(4, "train")], "dataset_flickr30k.json", "flickr30k-images")
    assert data.load("flickr30k", root=tmp_path).record["as_published"] is False
    assert "found {'train': 1} images, published were {'train': 29000" in capsys.readouterr().out
