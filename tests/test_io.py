"""Files are whole or absent, and every file is checked when it is read."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ngw import io
from ngw.errors import InputError, did_you_mean


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_write_that_stops_leaves_what_was_there_and_nothing_else(tmp_path, stop):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(stop), io.atomic(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise stop
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_until_the_end_of_a_write_the_old_file_is_there(tmp_path):
    path = tmp_path / "folder that is made" / "a.txt"
    io.write_text(path, "old")
    with io.atomic(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # the same file system, so that the rename is atomic
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("name", ["file/a.txt", "file/below/a.txt", "folder"])
def test_a_path_where_nothing_can_be_written_is_one_sentence(name, tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"{name}: expected a name that can be written, found .*; name another"):
        io.write_text(tmp_path / name, "new")
    with pytest.raises(InputError, match="expected a name that can be written"):
        io.write_table(tmp_path / name, {"a": [1]})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_an_error_about_another_file_stays_what_it_is(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(IsADirectoryError), io.atomic(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
    assert os.listdir(tmp_path) == ["other"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with io.atomic(tmp_path / "a") as one, io.atomic(tmp_path / "a") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a").read_text() == "1"  # the last to end


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda number: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names)))
    io.write_text(tmp_path / "a", "text")
    assert calls == ["fsync", "rename"]


def test_json_comes_back_and_refuses_nan(tmp_path):
    value = {"b": 1, "a": [0.1, None, "é"]}
    io.write_json(tmp_path / "a.json", value)
    assert io.read_json(tmp_path / "a.json") == value
    assert list(io.read_json(tmp_path / "a.json")) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        io.write_json(tmp_path / "b.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(("content", "found"), [(b"", "line 1"), (b'{"a": ', "line 1"), (b"\xff\xfe", "utf-8")])
def test_broken_json_is_named(tmp_path, content, found):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json: expected JSON, found .*{found}.*; delete it"):
        io.read_json(path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        io.read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.parquet: no such table; run the stage"):
        io.read_table(tmp_path / "a.parquet", ["id"])


COLUMNS = {"id": list(range(500)), "text": [f"text {i % 7}" for i in range(500)], "rank": [i / 2 for i in range(500)]}


def test_a_table_comes_back_with_the_columns_asked_for(tmp_path):
    path = tmp_path / "a.parquet"
    io.write_table(path, {**COLUMNS, "rank": np.array(COLUMNS["rank"])})
    assert io.read_table(path, list(COLUMNS)) == COLUMNS
    assert list(io.read_table(path, ["text", "id"])) == ["text", "id"]
    words = r"a\.parquet: expected columns \['id', 'ids'\], found \['id', 'text', 'rank'\]; delete it"
    with pytest.raises(InputError, match=words):
        io.read_table(path, ["id", "ids"])


def test_did_you_mean_names_the_nearest_and_then_all():
    assert did_you_mean("rigde", ["ridge", "cca"]) == " Did you mean 'ridge'? Known: cca, ridge."
    assert did_you_mean("xyz", ["ridge", "cca"]) == " Known: cca, ridge."
    assert did_you_mean("xyz", []) == " Known: none."


def test_tensors_keep_their_shapes(tmp_path):
    given = {"scalar": np.float32(3), "row": np.arange(3.0), "turned": np.arange(6.0).reshape(2, 3).T}
    io.write_tensors(tmp_path / "tensors", given, {"kind": "k"})
    found, _ = io.read_tensors(tmp_path / "tensors", "a k", "kind")
    assert {name: value.shape for name, value in found.items()} == {"scalar": (), "row": (3,), "turned": (3, 2)}
    assert all(np.array_equal(found[name], given[name]) for name in given)


def test_tensors_are_as_readable_as_any_other_file(tmp_path):
    io.write_text(tmp_path / "text", "x")
    io.write_tensors(tmp_path / "tensors", {"a": np.arange(3.0)}, {"kind": "k"})
    assert (tmp_path / "tensors").stat().st_mode == (tmp_path / "text").stat().st_mode
    arrays, metadata = io.read_tensors(tmp_path / "tensors", "a k", "kind")
    assert arrays["a"].tolist() == [0.0, 1.0, 2.0]
    assert metadata == {"kind": "k"}
