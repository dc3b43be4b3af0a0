"""Features of other programs, in and out: npy, safetensors, parquet, folders of `datasets`; embeddings of a method."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from commands import training

import ngw
from ngw import encoders, features, io
from ngw.cli import main
from ngw.errors import InputError
from ngw.io import arrays

FORMS = ["x.npy", "x.safetensors", "x.parquet", "x"]  # the last one is a folder of `datasets`
IDS, OWNERS = np.array([7, 3, 5]), np.array([1, 1, 2])
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
NUMBERS = {f"f{k}": X[:, k] for k in range(4)}


def library():
    """The package `datasets`, an extra."""
    return pytest.importorskip("datasets", reason="the package datasets isn't installed: pip install 'ngw[datasets]'")


def wanted(form: str) -> None:
    """Skip a form that wants a package which isn't there."""
    if "." not in form:
        library()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_again_with_ids_and_card(form, tmp_path):
    wanted(form)
    files = arrays.write(tmp_path / form, arrays.Rows(X, IDS, OWNERS, {"ngw": "1", "licence": "MIT"}))
    found = arrays.read(tmp_path / form)
    np.testing.assert_array_equal(found.x, X)
    if form == "x.npy":
        assert [file.name for file in files] == ["x.npy", "x.ids.npy", "x.image_ids.npy"]
        found = arrays.Rows(found.x, *(np.load(file) for file in files[1:]))
    np.testing.assert_array_equal(found.ids, IDS)
    np.testing.assert_array_equal(found.image_ids, OWNERS)
    assert "." not in form or form == "x.npy" or found.metadata["licence"] == "MIT"
    spec = {"kind": "precomputed", "file": str(files[0]), "width": 4}
    spec |= {"ids": str(files[1])} if form == "x.npy" else {}
    np.testing.assert_array_equal(encoders.build(spec).encode([5, 7]).pooled, X[[2, 0]])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in files)  # nothing else


def test_other_programs_read_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    rows = arrays.Rows(X, IDS, None, {"licence": "MIT"})
    for form in FORMS[:3]:
        arrays.write(tmp_path / form, rows)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), X)
    assert {name: value.tolist() for name, value in load_file(tmp_path / "x.safetensors").items()} == {
        "features": X.tolist(),
        "ids": IDS.tolist(),
    }
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32(), 4)
    assert table.schema.metadata[b"licence"] == b"MIT"
    assert table.to_pydict() == {"id": IDS.tolist(), "features": X.tolist()}


def test_a_folder_is_a_dataset_with_its_licence(tmp_path):
    datasets = library()
    arrays.write(tmp_path / "x", arrays.Rows(X, IDS, None, {"licence": "MIT", "encoder": "mine"}))
    found = datasets.load_from_disk(str(tmp_path / "x"))
    assert found.column_names == ["id", "features"]
    assert found.info.license == "MIT"
    assert "encoder: mine" in found.info.description
    arrays.write(tmp_path / "x", arrays.Rows(X[:2]))  # in place of a Dataset
    assert arrays.read(tmp_path / "x").x.shape == (2, 4)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="mine: expected a new folder, or a Dataset's, found other files"):
        arrays.write(tmp_path / "mine", arrays.Rows(X))
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_a_dataset_is_read_in_the_order_of_its_rows_and_of_one_split(tmp_path):
    datasets = library()
    own = datasets.Dataset.from_dict({"id": IDS, "text": list("abc"), "vector": X.tolist()})
    own.select([2, 0]).save_to_disk(tmp_path / "some")
    found = arrays.read(tmp_path / "some")
    np.testing.assert_array_equal(found.x, X[[2, 0]])
    assert found.ids.tolist() == [5, 7]
    datasets.DatasetDict(train=own, test=own).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match="splits: expected one Dataset, found the splits test, train; name the folder"):
        arrays.read(tmp_path / "splits")
    np.testing.assert_array_equal(arrays.read(tmp_path / "splits" / "test").x, X)
    (tmp_path / "some" / "state.json").write_text("{")
    with pytest.raises(InputError, match=r"some: expected a Dataset, found .*; save it again"):
        arrays.read(tmp_path / "some")


def test_columns_of_a_dataset_are_arrays_to_every_method():
    datasets = library()
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((40, 4)), draw.standard_normal((40, 3))
    both = datasets.Dataset.from_dict({"image": x.tolist(), "text": y.tolist()})
    pairs = np.stack([np.arange(20)] * 2, 1)
    found = ngw.methods.build({"kind": "ridge"}).fit(both["image"], both["text"], pairs)
    plain = ngw.methods.build({"kind": "ridge"}).fit(x, y, pairs)
    np.testing.assert_allclose(found.transform(both["image"]), plain.transform(x), rtol=1e-5)


def test_without_the_library_a_folder_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it weren't installed
    words = r"x: expected the package datasets, which .* needs, found none; pip install 'ngw\[datasets\]'"
    with pytest.raises(InputError, match=words):
        arrays.read(tmp_path / "x")
    with pytest.raises(InputError, match=words.replace("x:", "new:", 1)):
        arrays.write(tmp_path / "new", arrays.Rows(X))
    assert not (tmp_path / "new").exists()


LISTS = pyarrow.array(X.tolist(), pyarrow.list_(pyarrow.float64()))


@pytest.mark.parametrize(
    "columns",
    [
        {"features": LISTS, "id": IDS, "other": LISTS},
        {"embedding": LISTS, "id": IDS, "text": list("abc")},
        {"features": pyarrow.chunked_array([LISTS[:1], LISTS[1:]]), "id": IDS},
        {"features": LISTS.cast(pyarrow.large_list(pyarrow.float32())), "id": IDS},
        {"features": pyarrow.array(X.tolist(), pyarrow.list_(pyarrow.float16(), 4)), "id": IDS},
        {"id": IDS, **NUMBERS, "label": [1, 2, 3], "text": list("abc")},
    ],
    ids=["features", "one column of lists", "chunks", "large lists", "lists of fixed size", "columns of floats"],
)
def test_a_parquet_table_of_anybody_s(columns, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    found = arrays.read(tmp_path / "x.parquet")
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.ids, IDS)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": LISTS, "b": LISTS}, "expected a column 'features' of lists, or one .*, found a, b; rename"),
        ({"id": IDS, "text": list("abc")}, ".* or columns of floats, found id, text; rename"),
        ({"features": [[1.0], [1.0, 2.0], [3.0]]}, r".* found lengths \[1, 2\] in column 'features'; mend"),
        ({"features": [[1.0], None, [3.0]]}, ".* found empty cells in column 'features'; mend"),
        ({"features": [[1.0], [None], [3.0]]}, ".* found empty cells in column 'features'; mend"),
        ({"features": [["a"], ["b"]]}, "expected lists of numbers, found string in column 'features'; mend"),
        ({"f0": [1.0, None], "f1": [1.0, 2.0]}, ".* found empty cells in column 'f0'"),
    ],
)
def test_a_parquet_table_without_features_is_told(columns, words, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=rf"x\.parquet: {words}"):
        arrays.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("names", [["id", "id", "features"], ["id", "features", "features"], ["id", "x", "x"]])
def test_a_column_that_stands_twice_is_told(names, tmp_path):
    columns = [pyarrow.array([1.0] if name == "x" else [[1.0]] if name == "features" else [1]) for name in names]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, names), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=rf"x\.parquet: expected each column once, found '{names[1]}' again; rename"):
        arrays.read(tmp_path / "x.parquet")


def test_what_is_no_file_of_features_is_told(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"features": torch.ones(2, 2, dtype=torch.bfloat16)}, tmp_path / "half.safetensors")
    save_file({"features": torch.ones(2, 2).to(torch.float8_e4m3fn)}, tmp_path / "quarter.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "half.safetensors").read_bytes()[:-1])
    np.save(tmp_path / "header.npy", X)
    broken = (tmp_path / "header.npy").read_bytes().replace(b"}", b"(", 1)
    (tmp_path / "header.npy").write_bytes(broken)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "folder").mkdir()
    for name, words in {
        "half.safetensors": "expected numbers that NumPy has, found .*; save them as float32",
        "quarter.safetensors": "expected numbers that NumPy has, found .*; save them as float32",
        "cut.safetensors": "expected features and ids, found .*; write it again",
        "header.npy": "expected an .npy file of numbers, found .*; write it again",
        "cut.parquet": "expected a whole parquet table, found",
        "folder": r"expected features .*, found a folder without state\.json; name another",
        "x.csv": r"expected features .*, found the ending \.csv; name another",
        "none": "expected features .*, found no such file; check the path",
        "none.npy": "no such file; check the path",
        "none.parquet": "no such file; check the path",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {words}"):
            arrays.read(tmp_path / name)


@pytest.mark.parametrize("form", FORMS)
def test_any_two_forms_are_aligned(form, tmp_path, capsys):
    wanted(form)
    draw = np.random.default_rng(0)
    points = draw.standard_normal((60, 4))
    x, y = (points @ draw.standard_normal((4, d)) for d in (6, 5))
    ids = np.arange(60)
    arrays.write(tmp_path / form, arrays.Rows(x, ids))
    arrays.write(tmp_path / "y.parquet", arrays.Rows(y, ids))
    words = ["align", "--x", str(tmp_path / form), "--y", str(tmp_path / "y.parquet"), "--methods", "cca"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[0] == "cca"
    if form != "x.npy":  # which has no ids
        arrays.write(tmp_path / "y.parquet", arrays.Rows(y, ids[::-1].copy()))
        assert main(words) == 2
        assert "row 0: expected the same item in both, found ids 0 and 59; sort by id." in capsys.readouterr().err


def test_cached_features_are_exported_with_their_card(pair, tmp_path, capsys):
    vision, _ = pair
    cached = features.read(vision)
    assert main(["export-features", str(vision), "--output", str(tmp_path / "x.safetensors")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'x.safetensors'}\n"
    found = arrays.read(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(found.x, cached.x)
    np.testing.assert_array_equal(found.ids, cached.ids)
    assert found.metadata["encoder"] == "vision-encoder"
    assert main(["export-features", str(tmp_path / "x.safetensors"), "--output", str(tmp_path / "x.parquet")]) == 0
    for name, place in (("x.safetensors", -1), ("x.parquet", 40)):
        content = bytearray((tmp_path / name).read_bytes())
        content[place] ^= 1
        (tmp_path / name).write_bytes(content)
        assert main(["export-features", str(tmp_path / name), "--output", str(tmp_path / "x.npy")]) == 2
        assert f"{name}: expected" in capsys.readouterr().err
    assert not (tmp_path / "x.npy").exists()


def test_embeddings_of_a_method_are_exported_side_by_side(pair, tmp_path, capsys):
    model, output = tmp_path / "m.safetensors", tmp_path / "out.parquet"
    assert main(training("fit", pair, model)) == 0
    method = ngw.methods.load(model)
    for file, embed in zip(pair, (method.embed_x, method.embed_y), strict=True):  # the file knows whose they are
        assert main(["export-features", str(file), "--model", str(model), "--output", str(output)]) == 0
        np.testing.assert_allclose(arrays.read(output).x, embed(features.read(file).x), atol=1e-6)
    assert pyarrow.parquet.read_schema(output).metadata[b"embedded_by"] == b"m ridge"
    assert main(["export-features", str(pair[0]), "--output", str(output)]) == 0  # and so does a parquet of them
    again = ["export-features", str(output), "--model", str(model), "--output", str(tmp_path / "again.npy")]
    assert main(again) == 0
    np.testing.assert_allclose(np.load(tmp_path / "again.npy"), method.embed_x(features.read(pair[0]).x), atol=1e-6)
    np.save(tmp_path / "x.npy", features.read(pair[0]).x)
    words = ["export-features", str(tmp_path / "x.npy"), "--model", str(model), "--output", str(output)]
    capsys.readouterr()
    assert main(words) == 2
    assert "set --side to x or y, the side of these features" in capsys.readouterr().err
    assert main([*words, "--side", "x"]) == 0
    assert main([*words, "--side", "y"]) == 2
    assert "x.npy: y: expected rows of 5 features" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "out.csv"), "--side", "x"]) == 2
    assert "out.csv: expected features" in capsys.readouterr().err


def test_what_a_form_cannot_hold_is_told_before_anything_is_written(tmp_path):
    from safetensors.numpy import save_file

    texts = np.array(list("abc"), object)
    arrays.write(tmp_path / "x.parquet", arrays.Rows(X, texts))
    assert arrays.read(tmp_path / "x.parquet").ids.tolist() == list("abc")
    for name in ("x.npy", "x.safetensors"):
        with pytest.raises(InputError, match=f"{name}: expected whole numbers as ids, found others; name a .parquet"):
            arrays.write(tmp_path / name, arrays.Rows(X, texts))
    with pytest.raises(InputError, match=r"y\.parquet: expected features \[n, d\] of numbers to write, found \[3\]"):
        arrays.write(tmp_path / "y.parquet", arrays.Rows(X[:, 0]))
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    save_file({"features": X, "ids": IDS[:2]}, tmp_path / "z.safetensors")
    with pytest.raises(InputError, match=r"z\.safetensors: expected 3 ids, one a row, found \[2\]; write one"):
        arrays.read(tmp_path / "z.safetensors")


def test_a_data_set_of_features_is_encoded_from_a_parquet_of_columns(scenes, tmp_path):
    ids = np.array(io.read_table(scenes / "images.parquet", ["image_id"])["image_id"])
    x = np.random.default_rng(0).standard_normal((len(ids), 3))
    pyarrow.parquet.write_table(
        pyarrow.table({"id": ids, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}), tmp_path / "x.parquet"
    )
    spec = json.dumps({"kind": "precomputed", "width": 3, "file": str(tmp_path / "x.parquet")})
    words = ["--tables", str(scenes), "--split", "test", "--dataset", "scenes", "--encoder", "mine"]
    assert main(["encode", *words, "--spec", spec, "--output", str(tmp_path / "cache")]) == 0
    found = features.read(tmp_path / "cache")
    np.testing.assert_allclose(found.x, x[[ids.tolist().index(i) for i in found.ids]].astype(np.float32))
