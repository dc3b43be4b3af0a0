"""Your own encoders, features and data: files of features, a function, a folder of images with a csv."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import ngw as command
from PIL import Image
from tiny_repository import run

from ngw import encoders, features, io
from ngw.cli import main
from ngw.data import prepare
from ngw.dual import sides
from ngw.errors import InputError

# Features made elsewhere.


def written(folder: Path, form: str, ids, x) -> dict:
    """The options of an encoder whose features lie in a file of that form."""
    if form == "npy":
        np.save(folder / "x.npy", x)
        np.save(folder / "ids.npy", ids)
        return {"file": str(folder / "x.npy"), "ids": str(folder / "ids.npy")}
    if form == "safetensors":
        from safetensors.numpy import save_file

        save_file({"features": x, "ids": ids}, folder / "x.safetensors")
    else:
        io.write_table(folder / "x.parquet", {"id": ids.tolist(), "features": x.tolist()})
    return {"file": str(folder / f"x.{form}")}


@pytest.mark.parametrize("form", ["npy", "safetensors", "parquet"])
@pytest.mark.parametrize("modality", ["vision", "text"])
def test_precomputed_features_stand_by_id_in_the_cache(form, modality, scenes, tmp_path):
    name, key = ("images", "image_id") if modality == "vision" else ("captions", "caption_id")
    ids = np.array(io.read_table(scenes / f"{name}.parquet", [key])[key])[::-1].copy()  # in another order
    x = np.stack([ids, ids**2 % 17, np.ones(len(ids))], 1).astype(np.float32)
    spec = {"kind": "precomputed", "modality": modality, "width": 3, **written(tmp_path, form, ids, x)}
    options = {"tables": scenes, "split": "train", "dataset": "scenes", "encoder": "mine", "spec": spec}
    assert main(command("encode", **options, output=tmp_path / "cache")) == 0
    found = features.read(tmp_path / "cache", "mine")
    assert len(found.ids) == len(io.read_table(scenes / f"{name}.parquet", [key], "train")[key])
    np.testing.assert_array_equal(found.x[:, 0], found.ids.astype(np.float32))
    np.testing.assert_array_equal(found.x[:, 1], (found.ids**2 % 17).astype(np.float32))


def test_precomputed_files_that_do_not_fit_are_named(tmp_path):
    ids, x = np.arange(4), np.ones((4, 3), np.float32)

    def refused(words, form="npy", ids=ids, x=x, items=(0,), **options):
        spec = {"kind": "precomputed", "width": 3, **written(tmp_path, form, ids, x), **options}
        with pytest.raises(InputError, match=words):
            encoders.build(spec).encode(list(items))

    refused(r"x\.npy: id 9: expected its features, found none \(4 other ids", items=(9,))
    refused(r"x\.npy: expected features \[n, 5\] of floats, found \[4, 3\]", width=5)
    refused(r"expected features .* found \[4, 3\] of int64", x=x.astype(int))
    for bad in (np.nan, np.inf, 1e300):
        changed = np.where(np.arange(4)[:, None] == 2, bad, x.astype(float))
        refused(
            r"x\.npy: id 7 \(row 2\): expected finite float32 .* mend the row", ids=ids + 5, x=changed, items=(5, 7)
        )
    refused(r"ids\.npy: expected 4 whole numbers as ids, found \[3\]", ids=ids[:3])
    refused(r"ids\.npy: id 0: expected once, found 4 times", ids=ids * 0)
    refused(r"ids\.npy: expected 4 whole numbers as ids, found \[4\] of float64", ids=ids * 1.0)
    (tmp_path / "x.npy").unlink()
    with pytest.raises(InputError, match=r"x\.npy: no such file"):
        encoders.build(
            {"kind": "precomputed", "width": 3, "file": str(tmp_path / "x.npy"), "ids": str(tmp_path / "ids.npy")}
        ).encode([0])
    from safetensors.numpy import save_file

    save_file({"x": x, "z": x}, tmp_path / "y.safetensors")
    with pytest.raises(InputError, match=r"y\.safetensors: expected a tensor 'features', or one .* found x, z"):
        encoders.build({"kind": "precomputed", "file": str(tmp_path / "y.safetensors")}).encode([0])
    io.write_table(tmp_path / "z.parquet", {"id": [0, 1], "features": [[1.0], [1.0, 2.0]]})
    with pytest.raises(InputError, match=r"expected features of one length, found lengths \[1, 2\]"):
        encoders.build({"kind": "precomputed", "file": str(tmp_path / "z.parquet")}).encode([0])
    for rows in ([None, [1.0]], [["a"], ["b"]], [None, None]):
        io.write_table(tmp_path / "z.parquet", {"id": [0, 1], "features": rows})
        with pytest.raises(InputError, match=r"z\.parquet: expected .*, found .*; (mend|rename)"):
            encoders.build({"kind": "precomputed", "file": str(tmp_path / "z.parquet"), "width": 1}).encode([0])
    with pytest.raises(InputError, match=r"ids, a file, goes with an .npy file"):
        encoders.build({"kind": "precomputed", "file": "x.npy"})
    with pytest.raises(InputError, match=r"x\.pkl: expected features \(\.npy, .* found the ending \.pkl; name"):
        encoders.build({"kind": "precomputed", "file": "x.pkl"})


# A function.


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """A module on the path whose functions encode."""
    (tmp_path / "my_encoders.py").write_text(
        "import numpy as np\n"
        "def length(items):\n    return np.array([[len(i), i.count('a'), 1.0] for i in items])\n"
        "def wrong(items):\n    return np.ones((1, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_encoders", None)


def test_a_function_encodes(module, scenes):
    spec = {"kind": "python", "call": "my_encoders:length", "modality": "text", "width": 3}
    output = module / "cache"
    options = {"tables": scenes, "split": "train", "dataset": "scenes", "encoder": "mine", "spec": spec}
    assert main(command("encode", **options, output=output)) == 0
    texts = io.read_table(scenes / "captions.parquet", ["text"], "train")["text"]
    np.testing.assert_array_equal(features.read(output).x[:, 0], [len(text) for text in texts])


def test_a_function_that_is_not_there_or_answers_otherwise(module):
    def refused(words, call, **options):
        with pytest.raises(InputError, match=words):
            encoders.build({"kind": "python", "call": call, "width": 3, **options}).encode(["a", "b"])

    refused("expected a module no_such, found none; install it, or add its folder to PYTHONPATH", "no_such:encode")
    refused("expected a function encode, found none in my_encoders", "my_encoders:encode")
    refused(r"expected floats \[2, 3\], found \[1, 3\]", "my_encoders:wrong")
    refused("call is module:function, not 'my_encoders'", "my_encoders")


def test_a_function_in_a_folder_without_an_init_file_is_followed_with_the_files_beside_it(module):
    (module / "loose").mkdir()
    for name in ("code", "helper"):
        (module / "loose" / f"{name}.py").write_text("from my_encoders import length\n")
    encoder = encoders.build({"kind": "python", "call": "loose.code:length", "modality": "text", "width": 3})
    assert encoder.encode(["a"]).pooled.shape == (1, 3)
    assert encoder.sources() == [str(module / "loose")]
    seen = {sides.identity(encoder)}
    for name in ("code", "helper"):
        (module / "loose" / f"{name}.py").write_text("from my_encoders import wrong as length\n")
        seen.add(sides.identity(encoder))
    assert len(seen) == 3


def test_a_copied_study_keeps_the_features_of_its_functions(module, tmp_path):
    code = (
        "from ngw import encoders; from ngw.fingerprints.outside import fingerprint\n"
        "for call in ('my_encoders:length', 'loose.code:length'):\n"
        "    print(fingerprint(encoders.build({'kind': 'python', 'call': call, 'width': 3}).sources()))\n"
    )

    def told(folder):
        path = os.pathsep.join([str(folder), *sys.path[1:]])  # without the fixture's own
        return run(folder, sys.executable, "-c", code, PYTHONPATH=path).stdout.splitlines()

    (module / "loose").mkdir()
    (module / "loose" / "code.py").write_text("from my_encoders import length\n")
    before = told(module)
    assert [line.partition(":")[0] for line in before] == ["my_encoders.py", "loose"]
    another = shutil.copytree(module, tmp_path / "elsewhere" / "study")
    assert told(another) == before
    (another / "my_encoders.py").write_text("length = len\n")
    assert [now == then for now, then in zip(told(another), before, strict=True)] == [False, True]


# A folder.


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten small images, two captions each."""
    (tmp_path / "pictures").mkdir()
    for k in range(10):
        Image.new("RGB", (9, 7), (20 * k, 0, 0)).save(tmp_path / "pictures" / f"{k}.png")
    lines = [f"{k}.png,{said}" for k in range(10) for said in (f"picture number {k}", f'"so, again, {k}"')]
    (tmp_path / "captions.csv").write_text("image,caption\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def load(folder: Path, **options):
    return prepare({"kind": "folder", "root": str(folder), "images": "pictures", **options}, folder / "none")


def test_a_folder_with_a_csv_is_a_data_set(folder):
    found = load(folder)
    assert found.sizes()["images"] == {"test": 1, "val": 1, "train": 8}
    assert found.sizes()["captions"] == {"test": 2, "val": 2, "train": 16}
    assert load(folder).images == found.images
    assert load(folder, seed=3).images != found.images
    assert sum(split == "test" for split in load(folder, shares={"test": 0.5}).images["split"]) == 5


def test_a_folder_takes_the_first_captions_of_each_image(folder):
    found = load(folder, captions_per_image=1)
    assert sorted(found.captions["text"]) == sorted(f"picture number {k}" for k in range(10))
    assert found.record["captions_left_out"] == {"train": 8, "val": 1, "test": 1}
    assert len(load(folder, captions_per_image=None).captions["text"]) == 20


@pytest.mark.parametrize("shares", [0.2, [0.1, 0.1], {"train": 0.5}, {"val": "a"}, {"val": 1}])
def test_shares_that_are_none_are_told_with_their_form(folder, shares):
    with pytest.raises(InputError, match=r"folder: shares: expected .*val.*test"):
        load(folder, shares=shares)


def test_a_column_split_is_taken_as_it_is(folder):
    lines = (folder / "captions.csv").read_text().splitlines()
    splits = ["train", "train", "val", "test"]
    text = [lines[0] + ",split", *(f"{line},{splits[int(line[0]) % 4]}" for line in lines[1:])]
    (folder / "captions.csv").write_text("\n".join(text))
    assert load(folder).sizes()["images"] == {"train": 6, "val": 2, "test": 2}
    (folder / "captions.csv").write_text("\n".join(text).replace("0.png,picture number 0,train", "0.png,p,val"))
    with pytest.raises(InputError, match=r"line 3: image '0.png': expected split 'val', as before, found 'train'"):
        load(folder)
    (folder / "captions.csv").write_text("\n".join(text).replace(",train", ",trian"))
    with pytest.raises(InputError, match=r"split 'trian' is unknown. Did you mean 'train'"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "expected one caption a line, found none"),
        (
            "0.png,a\n1.png,b\n",
            r"in line 1, found 0\.png, a; if that is a caption already, put a line `image,caption` above",
        ),
        ("0.png,a\n", "put a line `image,caption` above"),
        ("picture,caption\n0.png,a\n", "expected a column 'image', found picture, caption"),
        ("image,capton\n0.png,a\n", "expected a column 'caption', found image, capton; .*Did you mean 'capton'"),
        (
            "image,caption,caption\n0.png,a,b\n1.png,c,d\n2.png,e,f\n",
            "expected each column once, found 'caption' again",
        ),
        ("image,caption\n0.png\n", "line 2: expected 2 fields and an image"),
        ("image,caption\n0.png,a,b\n", "line 2: expected 2 fields and an image"),
        ("image,caption\n../secret.png,a\n1.png,b\n2.png,c\n", "expected a path below .*pictures, found one outside"),
        ("image,caption\n0.png,a\n", "expected images left to train on, found 1 in all"),
        ("image,caption\n0.png,\n1.png,b\n2.png,c\n", "line 2: expected 2 fields and an image with its caption"),
        ("image,caption\n0.png,a\n1.png,b\nno.png,c\n", r"no\.png: expected an image, found no file"),
    ],
)
def test_a_csv_that_is_wrong_is_named(folder, content, words):
    (folder / "captions.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        load(folder)


def test_a_csv_in_another_encoding_or_missing(folder):
    (folder / "captions.csv").write_bytes("image,caption\n0.png,caf\xe9\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2: expected UTF-8, found byte 0xe9; convert"):
        load(folder)
    (folder / "captions.csv").unlink()
    with pytest.raises(InputError, match=r"captions\.csv: no such file"):
        load(folder)


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_name(folder):
    text = (folder / "captions.csv").read_text()
    (folder / "captions.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert len(load(folder).images["image_id"]) == 10
    assert json.dumps(load(folder).sizes())
