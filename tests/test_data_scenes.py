"""The embedded data set's files: the official layouts, the same bytes for the same seed, all or nothing."""

import hashlib
import json

import pytest
from PIL import Image

from ngw import data
from ngw.data import scenes
from ngw.data._scenes_art import ART, nouns
from ngw.errors import InputError

SIZES = {"train": 7, "val": 3, "test": 4}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "scenes"
    scenes.write(root, SIZES, seed=3)
    return root


def digest(root):
    """Every file's hash by its path below root."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_bytes_for_the_same_seed_in_another_folder(written, tmp_path):
    scenes.write(tmp_path / "again", SIZES, seed=3, workers=1)
    assert digest(tmp_path / "again") == digest(written)
    scenes.write(tmp_path / "other", SIZES, seed=4)
    changed, first = digest(tmp_path / "other"), digest(written)
    assert changed.keys() == first.keys()
    assert [name for name in first if changed[name] == first[name]] == ["LICENSE.txt"]


def test_another_size_leaves_the_scenes_as_they_are(written, tmp_path):
    scenes.write(tmp_path / "small", {"train": 2, "val": 1, "test": 1}, seed=3)
    small, large = scenes.load(tmp_path / "small"), scenes.load(written)
    pictures = [path for path in digest(tmp_path / "small") if path.startswith("images")]
    assert len(pictures) == 4
    assert all(digest(written)[path] == digest(tmp_path / "small")[path] for path in pictures)
    for name in ("captions", "questions"):
        few = set(zip(getattr(small, name)["image_id"], getattr(small, name)["text"], strict=True))
        assert few <= set(zip(getattr(large, name)["image_id"], getattr(large, name)["text"], strict=True))


def test_things_of_some_categories_and_no_others(written, tmp_path):
    scenes.write(tmp_path / "all", SIZES, seed=3, categories=list(ART))
    assert digest(tmp_path / "all") == digest(written)
    scenes.write(tmp_path / "some", SIZES, seed=3, categories=["fruit", "drink"])
    counted = scenes.load(tmp_path / "some").questions
    said = {a for a, t in zip(counted["multiple_choice_answer"], counted["text"], strict=True) if "animal" in t}
    texts = " ".join(scenes.load(tmp_path / "some").captions["text"])
    assert not [noun.name for noun in nouns() if noun.category == "animal" and f" {noun.name} " in texts]
    assert said <= {"0", "no"}


@pytest.mark.parametrize("categories", [["fruits"], [], "fruit", [1], [[]], 2, True, {}])
def test_categories_that_there_are_none_of(categories):
    with pytest.raises(InputError, match="categories"):
        data.check({"kind": "scenes", "categories": categories})


def test_the_official_readers_read_it_alike(written):
    dataset = scenes.load(written)
    assert dataset.sizes()["images"] == SIZES
    assert dataset.sizes()["captions"] == {split: 5 * n for split, n in SIZES.items()}
    assert set(dataset.questions["split"]) == set(SIZES)
    coco = data.load("coco", root=written, images="images", subsets={split: split for split in SIZES})
    assert (coco.images, coco.captions) == (dataset.images, dataset.captions)
    vqa = data.load(
        "vqa2",
        root=written,
        subsets={split: split for split in SIZES},
        questions="v2_OpenEnded_scenes_{subset}_questions.json",
        annotations="v2_scenes_{subset}_annotations.json",
        images="images",
        image_name="{subset}/scene_{image_id}.png",
    )
    assert vqa.questions == dataset.questions
    assert vqa.images == dataset.images


def test_the_files_have_the_official_fields(written):
    coco = json.loads((written / "annotations" / "captions_val.json").read_text())
    assert set(coco) == {"info", "licenses", "images", "annotations"}
    assert set(coco["annotations"][0]) == {"id", "image_id", "caption"}
    asked = json.loads((written / "v2_OpenEnded_scenes_val_questions.json").read_text())
    assert set(asked) == {"info", "license", "data_type", "data_subtype", "task_type", "questions"}
    assert asked["task_type"] == "Open-Ended"
    assert set(asked["questions"][0]) == {"image_id", "question", "question_id"}
    answered = json.loads((written / "v2_scenes_val_annotations.json").read_text())["annotations"][0]
    assert set(answered) == {
        *("question_type", "multiple_choice_answer", "answers", "image_id", "answer_type", "question_id")
    }
    entry = json.loads((written / "dataset_scenes.json").read_text())["images"][0]
    assert {"filepath", "filename", "imgid", "split", "sentids", "sentences", "cocoid"} == set(entry)
    assert [s["sentid"] for s in entry["sentences"]] == entry["sentids"]
    assert "CC BY-SA 4.0" in (written / "LICENSE.txt").read_text()


def test_the_pictures_are_160_pixels_and_differ(written):
    pictures = [Image.open(path) for path in sorted(written.rglob("*.png"))]
    assert {(p.size, p.mode) for p in pictures} == {((160, 160), "RGB")}
    assert len({p.tobytes() for p in pictures}) == sum(SIZES.values())


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    root, sizes = tmp_path / "s", {"train": 1, "val": 1, "test": 1}
    half = tmp_path / ".s.partial"
    (half / "images").mkdir(parents=True)  # a killed run's
    scenes.write(root, sizes, seed=1)
    before = digest(root)
    assert not half.exists()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(scenes, "vqa_files", fail)
    with pytest.raises(OSError, match="no space"):
        scenes.write(root, sizes, seed=2)
    assert digest(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_an_earlier_data_set_is_replaced_and_other_folders_are_refused(tmp_path):
    sizes = {"train": 1, "val": 1, "test": 1}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="mine: expected no folder or an earlier scenes data set, found other files"):
        scenes.write(tmp_path / "mine", sizes)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    scenes.write(tmp_path / "s", sizes, seed=1)
    before = digest(tmp_path / "s")
    scenes.write(tmp_path / "s", sizes, seed=2)
    assert digest(tmp_path / "s") != before
