"""The readers of COCO, Karpathy's split files and Flickr30k, on files small enough to read and on real ones."""

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
    said = capsys.readouterr().out
    assert "expected the published {'train': 29000" in said
    assert "found {'train': 1}" in said
