"""Hostile data: names that lead outside, values that no table holds, files that can't be read; and repeated items."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ngw import data
from ngw.cli import main
from ngw.errors import InputError

VALUES = {
    "null": None,
    "a list": [1],
    "a huge number": 10**30,
    "a fraction": 1.5,
    "half of a pair": "\ud800",
    "true": True,
}


def karpathy(folder, name="0.jpg", **change):
    """A split file of two images, the second one as asked; a key of its sentence too."""
    entries = [
        {"filename": n, "imgid": k, "split": "train", "sentences": [{"raw": "A dog.", "sentid": k}]}
        for k, n in enumerate(("first.jpg", name))
    ]
    for key, value in change.items():
        (entries[1]["sentences"][0] if key in ("raw", "sentid") else entries[1])[key] = value
    (folder / "dataset.json").write_text(json.dumps({"images": entries}))
    return {"kind": "karpathy", "root": str(folder), "check_images": False}


def coco(folder, name="0.jpg", **change):
    """An official caption file of one image and its caption."""
    image, said = {"id": 7, "file_name": name}, {"id": 1, "image_id": 7, "caption": "A dog."}
    for key, value in change.items():
        (image if key in image else said)[key] = value
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "captions_val2017.json").write_text(
        json.dumps({"images": [image], "annotations": [said]})
    )
    return {"kind": "coco", "root": str(folder), "subsets": {"val": "val2017"}, "check_images": False}


def vqa2(folder, **change):
    """A question with its annotation; `said`: of the second annotator."""
    asked = {"image_id": 9, "question": "What is it?", "question_id": 90}
    label = {"question_type": "what is", "answer_type": "other", "multiple_choice_answer": "dog"}
    label |= {"image_id": 9, "question_id": 90, "answers": [{"answer": "dog", "answer_id": k} for k in range(10)]}
    if "said" in change:
        label["answers"][1]["answer"] = change.pop("said")
    for key, value in change.items():
        (asked if key in asked else label)[key] = value
    (folder / "v2_OpenEnded_mscoco_a_questions.json").write_text(json.dumps({"questions": [asked]}))
    (folder / "v2_mscoco_a_annotations.json").write_text(json.dumps({"annotations": [label]}))
    return {"kind": "vqa2", "root": str(folder), "subsets": {"train": "a"}, "check_images": False}


def told(spec, tmp_path, capsys):
    """What the data stage says of a data set that it refuses: one line."""
    assert main(["data", "--spec", json.dumps(spec), "--output", str(tmp_path / "tables")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line and "image/s" not in line]
    assert len(lines) == 1, lines
    return lines[0]


PLACES = [
    *((karpathy, key, "image 1") for key in ("imgid", "sentid", "raw", "filename", "filepath", "sentences")),
    *((coco, key, "image 0") for key in ("file_name",)),
    *((coco, key, "annotation 0") for key in ("image_id", "caption")),
    *((vqa2, key, "question 0") for key in ("question",)),
    *((vqa2, key, "question_id 90") for key in ("multiple_choice_answer", "answer_type", "answers")),
    (vqa2, "said", "question_id 90: answer 1: answer"),
]


@pytest.mark.parametrize(("write", "key", "place"), PLACES)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_no_table_holds_is_named_by_its_place(write, key, place, value, tmp_path, capsys):
    if key in ("sentences", "answers") and value == "a list":
        pytest.skip("a list is what stands there")
    said = told(write(tmp_path, **{key: VALUES[value]}), tmp_path, capsys)
    assert f"{place}:" in said
    assert ".json" in said


@pytest.mark.parametrize("content", ["null", "3", '{"images": null}', "[" * 5000, "9" * 5000, '{"images": [null]}'])
def test_json_of_another_shape(content, tmp_path, capsys):
    (tmp_path / "dataset.json").write_text(content)
    assert "dataset.json" in told({"kind": "karpathy", "root": str(tmp_path)}, tmp_path, capsys)


@pytest.mark.parametrize("content", ["null", '{"a": 1}', '[["Is it?", null, 0]]', '[["\\ud800", "yes", 0]]'])
def test_easy_vqa_of_another_shape(content, tmp_path, capsys):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "questions.json").write_text(content)
    assert "questions.json: " in told({"kind": "easy-vqa", "root": str(tmp_path)}, tmp_path, capsys)


@pytest.mark.parametrize("write", [karpathy, coco])
@pytest.mark.parametrize("name", ["../secret.jpg", "a/../../secret.jpg", "/etc/secret.jpg", "..", ".", "", "a\0.jpg"])
def test_names_that_lead_outside_are_refused(write, name, tmp_path, capsys):
    assert f"image {name!r}: expected a path below {tmp_path}" in told(write(tmp_path, name), tmp_path, capsys)


def test_a_folder_in_the_name_leads_nowhere_either(tmp_path, capsys):
    for change in ({"filepath": "../elsewhere"}, {"filepath": "/etc"}, {"filepath": "in", "filename": "/etc/0.jpg"}):
        assert "found one outside" in told(karpathy(tmp_path, **change), tmp_path, capsys)


@pytest.mark.parametrize("name", ["./first.jpg", "sub/../first.jpg", "first.jpg"])
def test_one_file_is_one_image_whatever_it_is_called(name, tmp_path, capsys):
    said = told(karpathy(tmp_path, name), tmp_path, capsys)
    assert f"image 1: expected a file of its own, found {tmp_path / 'first.jpg'}, which is image 0's" in said


def test_a_folders_image_by_two_names_has_both_captions(tmp_path):
    lines = "image,caption,split\na.png,one,train\n./a.png,two,train\nsub/../a.png,three,train\nb.png,four,test"
    (tmp_path / "captions.csv").write_text(lines)
    found = data.load("folder", root=tmp_path, check_images=False)
    assert found.images["path"] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert found.captions["image_id"] == [0, 0, 0, 1]
    (tmp_path / "captions.csv").write_text(lines.replace("three,train", "three,test"))
    with pytest.raises(InputError, match=r"line 4: image 'sub/../a.png': expected split 'train', as before"):
        data.load("folder", root=tmp_path, check_images=False)


def test_a_csv_is_named_by_the_line_that_an_editor_shows(tmp_path):
    (tmp_path / "captions.csv").write_text('image,caption\na.png,"two\nlines"\n\nb.png,\n')
    with pytest.raises(InputError, match=r"captions.csv: line 5: expected 2 fields and an image with its caption"):
        data.load("folder", root=tmp_path, check_images=False)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ('image,caption\na.png,"open\nb.png,x\n', 2, 3),
        ('image,caption\n"a\n.png",c\n\n\nb.png,d\n\n\nc.png,"x"y\n', 9, 9),
        ('image,"caption\na.png,x\n', 1, 2),
    ],
)
def test_a_quote_is_named_by_the_line_that_opens_it(text, begin, end, tmp_path):
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(InputError, match=rf"captions.csv: line {begin}: expected csv, found .* in line {end}; mend"):
        data.load("folder", root=tmp_path, check_images=False)


@pytest.mark.parametrize("name", ["Split", " split", "splits", "SPLIT ", "spilt"])
def test_a_column_that_is_nearly_split_is_not_ignored(name, tmp_path):
    (tmp_path / "captions.csv").write_text(f"image,caption,{name}\na.png,one,train\nb.png,two,test\n")
    with pytest.raises(InputError, match=rf"captions.csv: .* found {name!r}. Did you mean 'split'\?"):
        data.load("folder", root=tmp_path, check_images=False)


def test_drawn_splits_are_on_record(tmp_path):
    for header in ("image,caption,title", "image,caption,split"):
        lines = [f"{k}.png,{k},train" for k in range(9)]
        (tmp_path / "captions.csv").write_text("\n".join([header, *lines]))
        found = data.load("folder", root=tmp_path, seed=3, check_images=False)
        assert found.record.get("splits_drawn_by_seed") == (3 if "title" in header else None)


# Files that can't be read.


def test_links_in_a_circle_and_a_root_that_is_a_file(tmp_path, capsys):
    (tmp_path / "dataset.json").symlink_to("dataset.json")
    assert "dataset.json: too many levels of symbolic links" in told(
        {"kind": "karpathy", "root": str(tmp_path)}, tmp_path, capsys
    )
    (tmp_path / "captions.csv").symlink_to("captions.csv")
    assert "Too many levels of symbolic links" in told({"kind": "folder", "root": str(tmp_path)}, tmp_path, capsys)
    (tmp_path / "file").write_text("")
    for kind in ("karpathy", "coco", "flickr30k", "vqa2", "folder", "easy-vqa"):
        assert "no such file" in told({"kind": kind, "root": str(tmp_path / "file")}, tmp_path, capsys)
        with pytest.raises(InputError, match="\0"):
            data.prepare({"kind": kind, "root": f"{tmp_path}/\0"}, tmp_path / "none")
    (tmp_path / "first.jpg").symlink_to("first.jpg")
    spec = karpathy_file(tmp_path) | {"check_images": True}
    assert "first.jpg: expected an image, found a file that can't be read (Too many levels" in told(
        spec, tmp_path, capsys
    )


def karpathy_file(folder):
    """A split file anew, where a link was."""
    (folder / "dataset.json").unlink()
    return karpathy(folder)


READ = """
import json, os, sys
from PIL import Image
from ngw.data import image_folder, karpathy  # all imports, since root's own Python may be closed to others
Image.init(), "".encode("utf-8-sig")
os.setgid(65534), os.setuid(65534)
try:
    globals()[sys.argv[2]].load(**json.loads(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="drops root's rights to be without them")
def test_files_without_permission_to_read():
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, above which pytest lets nobody else in
        os.chmod(folder, 0o755)
        check_permissions(Path(folder))


def check_permissions(tmp_path):
    """What is said of files that only root may read."""

    def said(spec):
        options = json.dumps({name: value for name, value in spec.items() if name != "kind"})
        command = [sys.executable, "-c", READ, options, spec["kind"]]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout

    spec = karpathy(tmp_path)
    os.chmod(tmp_path / "dataset.json", 0)
    assert "dataset.json: expected a file that can be read, found: Permission denied" in said(spec)
    (tmp_path / "closed").mkdir()
    closed = karpathy(tmp_path / "closed")
    os.chmod(tmp_path / "closed", 0)
    assert "dataset.json: permission denied" in said(closed)
    os.chmod(tmp_path / "dataset.json", 0o644)
    Image.new("RGB", (8, 8)).save(tmp_path / "first.jpg")
    os.chmod(tmp_path / "first.jpg", 0)
    assert "first.jpg: expected an image, found a file that can't be read (Permission denied)" in said(
        spec | {"check_images": True}
    )
    (tmp_path / "test/cat").mkdir(parents=True)
    os.chmod(tmp_path / "test/cat", 0)
    closed = {"kind": "image_folder", "root": str(tmp_path)}
    assert "test/cat: expected a folder that can be read, found: Permission denied; mend its" in said(closed)


# Repeated items.


def test_images_of_the_same_bytes_across_splits_are_counted_and_told(tmp_path, capsys):
    draw = np.random.default_rng(0)
    lines = ["image,caption,split"]
    for k, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 3):
        lines.append(f"{k}.png,What {k} shows.,{split}")
        Image.fromarray(draw.integers(0, 255, (9, 9, 3), np.uint8)).save(tmp_path / f"{k}.png")
    for copy, of in ((7, 0), (8, 0), (6, 1), (2, 1)):  # two of test and one of val are train's; one is within train
        (tmp_path / f"{copy}.png").write_bytes((tmp_path / f"{of}.png").read_bytes())
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    spec = {"kind": "folder", "root": str(tmp_path)}
    assert main(["data", "--spec", json.dumps(spec), "--output", str(tmp_path / "tables")]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "earlier split" in line]
    assert len(said) == 1
    assert "images with the bytes of an image of an earlier split: 2 of 3 (train/test), 1 of 2 (train/val)" in said[0]
    assert data.Dataset.read(tmp_path / "tables").record["repeated"] == {
        "captions": {},
        "images": {"train/test": 2, "train/val": 1},
    }


@pytest.mark.parametrize(("same", "warned"), [(1, False), (4, True)])
def test_equal_captions_across_splits_are_counted_and_told_where_they_are_many(same, warned, tmp_path, capsys):
    texts = {"train": [f"train {k}" for k in range(20)], "test": [f"test {k}" for k in range(20)]}
    texts["test"][:same] = texts["train"][:same]
    lines = [f"{split}{k}.png,{text},{split}" for split, said in texts.items() for k, text in enumerate(said)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption,split", *lines]))
    found = data.load("folder", root=tmp_path, check_images=False)
    assert found.record["repeated"] == {"captions": {"train/test": same}}
    said = f"captions with the words of a caption of an earlier split: {same} of 20"
    assert (said in capsys.readouterr().err) is warned


def test_few_files_are_read_to_the_end(tmp_path, monkeypatch):
    from ngw.data import _repeats

    # Sizes 1 to 5 alone, two of 20,000 bytes that end differently, two that begin differently, and two that are equal.
    bodies = [b"x" * k for k in range(1, 6)] + [b"a" * 20_000, b"a" * 19_999 + b"b"]
    bodies += [b"c" + b"a" * 21_000, b"d" + b"a" * 21_000, b"e" * 22_000, b"e" * 22_000]
    paths = [str(tmp_path / f"{k}") for k in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        (tmp_path / path).write_bytes(body)
    read = []
    whole = _repeats._digest
    monkeypatch.setattr(_repeats, "_digest", lambda path: read.append(path) or whole(path))
    splits = ["train", "test"] * 5 + ["train"]
    keys = _repeats.contents(paths, splits)
    assert sorted(read) == sorted(paths[7:])
    assert _repeats.repeats(keys, splits) == {"train/test": 1}
    assert keys[9] == keys[10] != keys[7]
    assert keys[7] != keys[8]
