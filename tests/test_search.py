"""An index of images and the search in it: what is encoded when, what is found, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from miniatures import picture
from photograph_albums import N, album, fitted
from PIL import Image

from ngw.cli import main
from ngw.dual import index as indices
from ngw.dual.encoder import DualEncoder
from ngw.dual.index import Index
from ngw.encoders.efficientnet_lite import EfficientNetLite


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an album, a model and an index of it."""
    folder = tmp_path_factory.mktemp("search")
    photos = album(folder / "photos")
    fitted(photos).save(folder / "my-model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NGW_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        assert main(["index", "photos", "--model", "my-model", "--output", "photos.index"]) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it, to change, as the current folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.setenv("NGW_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "here")
    index = Index.read("photos.index")
    index.folder, index.model = str(Path("photos").absolute()), str(Path("my-model").absolute())
    index.write("photos.index")
    return Path()


@pytest.fixture
def encoded(monkeypatch):
    """The images that go through the network from now on."""
    seen = []
    encode = EfficientNetLite.encode

    def counted(self, items, **more):
        seen.extend(items)
        return encode(self, items, **more)

    monkeypatch.setattr(EfficientNetLite, "encode", counted)
    return seen


INDEX = ["index", "photos", "--model", "my-model", "--output", "photos.index"]


def rows() -> dict[str, np.ndarray]:
    index = Index.read("photos.index")
    return dict(zip(index.names, index.vectors, strict=True))


def test_an_index_knows_files_sizes_times_and_the_model(here):
    index = Index.read("photos.index")
    assert index.names == sorted(f"{'ab'[k % 2]}/{k:03}.png" for k in range(N))
    for row in (0, N - 1):
        state = index.path(row).stat()
        assert (index.sizes[row], index.times[row]) == (state.st_size, state.st_mtime_ns)
    model = DualEncoder.load("my-model")
    assert index.digest == model.digest
    np.testing.assert_allclose(index.vectors, model.encode_image("photos"), atol=1e-4)


def test_a_second_index_encodes_what_is_new_or_changed_and_drops_what_is_gone(here, encoded, capsys):
    assert main(INDEX) == 0
    before = rows()
    encoded.clear()
    stamp = os.stat("photos.index").st_mtime_ns
    capsys.readouterr()
    assert main(INDEX) == 0
    assert capsys.readouterr().out == "photos.index: 24 images; 0 new, 24 known, 0 gone, 0 unread\n"
    assert not encoded
    assert os.stat("photos.index").st_mtime_ns == stamp  # nothing was written
    picture(here / "photos/c/new.png", 7)
    picture(here / "photos/a/000.png", 9)
    os.utime("photos/a/000.png", ns=(1, 1))
    os.remove("photos/b/001.png")
    assert main(INDEX) == 0
    assert capsys.readouterr().out == "photos.index: 24 images; 2 new, 22 known, 1 gone, 0 unread\n"
    assert sorted(Path(path).name for path in encoded) == ["000.png", "new.png"]
    after = rows()
    assert set(after) == set(before) - {"b/001.png"} | {"c/new.png"}
    for name in set(before) & set(after) - {"a/000.png"}:
        np.testing.assert_array_equal(before[name], after[name])
    os.remove("photos/c/new.png")
    assert main(INDEX) == 0
    assert "c/new.png" not in rows()


def test_what_is_done_stays_where_an_index_is_stopped(here, encoded, monkeypatch):
    os.remove("photos.index")
    monkeypatch.setattr(indices, "PORTION", 8)
    (here / "photos/b/021.png").write_bytes(b"no picture")  # of the last portion
    assert main(INDEX) == 2
    assert len(rows()) == 16
    shutil.copy("photos/b/023.png", "photos/b/021.png")
    encoded.clear()
    assert main(INDEX) == 0
    assert len(encoded) == 8
    assert len(rows()) == N


def test_what_cannot_be_read(here, refused, capsys):
    (here / "photos/a/000.png").write_bytes(b"no picture")
    before = Path("photos.index").read_bytes()
    refused(INDEX, "a/000.png: expected a readable image")
    assert Path("photos.index").read_bytes() == before
    assert main([*INDEX, "--on-error", "skip"]) == 0
    said = capsys.readouterr()
    assert "1 of 1 images left out" in said.err
    assert said.out.endswith("1 unread\n")
    assert "a/000.png" not in rows()
    for path in list((here / "photos").rglob("*.png")):
        path.write_bytes(b"no picture")
    refused([*INDEX[:-1], "other.index", "--on-error", "skip"], "expected images that can be read, found none in 24")
    assert not Path("other.index").exists()


def test_links_are_followed_and_dead_ones_are_unreadable_pictures(here, refused, capsys):
    picture(here / "elsewhere/new.png", 7)
    (here / "photos/linked").symlink_to((here / "elsewhere").absolute())
    assert main(INDEX) == 0
    assert "linked/new.png" in rows()
    for name, to in (("circle.jpg", "circle.jpg"), ("nowhere.png", "gone.png")):
        (here / "photos" / name).symlink_to(to)
        refused(INDEX, f"photos/{name}: expected a readable image, found")
        capsys.readouterr()
        assert main([*INDEX, "--on-error", "skip"]) == 0
        assert capsys.readouterr().out.endswith("25 images; 0 new, 25 known, 0 gone, 1 unread\n")
        (here / "photos" / name).unlink()
    (here / "photos/linked/back").symlink_to((here / "photos").absolute())
    refused(INDEX, "photos/linked/back: expected other files, found a folder that it lies in, by a link")


def test_files_of_other_kinds_are_counted_and_other_names_of_jpeg_are_read(here, refused, capsys):
    (here / "photos/a/phone.HEIC").write_bytes(b"not read")
    os.mkfifo(here / "photos/pipe.png")
    Image.new("RGB", (9, 9)).save(here / "photos/one.jfif", "JPEG")
    Image.new("RGB", (9, 9)).save(here / "photos/two.JPE", "JPEG")
    capsys.readouterr()
    assert main(INDEX) == 0
    assert capsys.readouterr().out.splitlines() == [
        "photos.index: 26 images; 2 new, 24 known, 0 gone, 0 unread",
        "photos: 2 files of other kinds (.heic, .png) left out",
    ]
    (here / "raw").mkdir()
    for suffix in "abcdef":
        (here / f"raw/1.{suffix}").touch()
    refused(["index", "raw", *INDEX[2:-1], "raw.index"], "found 6 files of other kinds (.a, .b, .c, .d, .e, ...) in it")


def test_search_prints_the_best_first(here, capsys):
    assert main(["search", "photos.index", "A", "red", "ball.", "--top", "5", "--sheet", "found.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert len(lines) == 5
    assert scores == sorted(scores, reverse=True)
    model, index = DualEncoder.load("my-model"), Index.read("photos.index")
    wanted = (model.encode_text(["A red ball."]) @ index.vectors.T)[0].argsort()[::-1][:5]
    assert [line.split(maxsplit=1)[1] for line in lines] == [str(index.path(row)) for row in wanted]
    assert Path(lines[0].split()[1]).name in {f"{k:03}.png" for k in range(0, N, 4)}  # red ones
    with Image.open("found.png") as sheet:
        assert sheet.size == (4 * 252 + 12, 2 * 274 + 12)


def test_search_by_a_picture_finds_itself_first(here, capsys):
    assert main(["search", "photos.index", "--image", "photos/b/003.png", "--top", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"1.000  {Path('photos/b/003.png').absolute()}"
    assert float(second.split()[0]) < 1


def test_a_name_that_is_not_utf_8_is_found_and_printed_as_it_is(here, capfdbinary):
    name = "photos/b/" + os.fsdecode(b"caf\xe9.png")
    os.rename("photos/b/003.png", name)
    assert main(INDEX) == 0
    assert main(["search", "photos.index", "--image", name, "--top", "1", "--sheet", "found.png"]) == 0
    assert b"photos/b/caf\xe9.png\n" in capfdbinary.readouterr().out


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_it_is_encoded(here, encoded, refused):
    name = os.fsdecode(b"caf\xe9")
    os.rename("photos", name)
    refused(["index", name, *INDEX[2:-1], "x.index"], "udce9': expected a folder whose path is UTF-8")
    assert not encoded
    assert not Path("x.index").exists()


def test_a_long_query_is_cut_and_said_to_be(here, capsys):
    assert main(["search", "photos.index", "red ball " * 1111]) == 0
    said = capsys.readouterr()
    assert "1 of 1 texts fill the encoder's 64 tokens" in said.err
    assert len(said.out.splitlines()) == 12


def test_queries_that_say_nothing(here, refused, tmp_path):
    for words in ([], ["  "], ["a", "--image", "photos/a/000.png"]):
        refused(["search", "photos.index", *words], "expected words, or --image and an image, found both or neither")
    refused(["search", "photos.index", "a", "--sheet", "found.gif"], "found.gif: expected a name that ends in .png")
    refused(["search", "photos.index", "--image", "gone.png"], "gone.png: expected a readable image")
    refused(["search", "none.index", "a"], "none.index: expected an index, found no such file")


def test_places_where_nothing_can_be_written_are_told_before_anything_is_computed(here, refused, encoded):
    (here / "folder.png").mkdir()
    for name in ("folder.png", "my-model/config.json/found.png"):
        refused(["search", "photos.index", "a", "--sheet", name], f"{name}: expected a name that can be written")
    for name in ("photos", "my-model/config.json/x.index"):
        refused([*INDEX[:-1], name], f"{name}: expected a name that can be written, found")
    Index.read("photos.index").of([0] * 957).write("long.index")
    words = ["search", "long.index", "--image", "photos/a/000.png", "--top", "1000", "--sheet", "found.jpg"]
    refused(words, "at most 65,500 pixels, where a JPEG ends, found 65,772 for 957 images; name a .png")
    assert not encoded


def test_files_that_are_gone(here, refused, capsys):
    os.rename("photos", "moved")
    refused(["search", "photos.index", "a"], "no such file, nor any other of the 12 best", "index again")
    os.rename("moved", "photos")
    for k in range(0, N, 2):
        os.remove(f"photos/a/{k:03}.png")
    assert main(["search", "photos.index", "--top", "24", "a", "--sheet", "found.png"]) == 0
    said = capsys.readouterr()
    assert "12 of 24 are gone" in said.err
    assert Path("found.png").is_file()


def test_an_index_of_another_model(here, refused, capsys, encoded):
    fitted(Path("photos"), "procrustes").save("other")
    refused(["search", "photos.index", "a", "--model", "other"], "expected an index of the model other", "--model")
    os.rename("my-model", "mine")
    refused(["search", "photos.index", "a"], "my-model, found none there; give its place by --model")
    assert main(["search", "photos.index", "a", "--model", "mine"]) == 0
    assert main(["index", "photos", "--model", "mine", "--output", "photos.index"]) == 0  # which notes where it is
    assert main(["search", "photos.index", "a"]) == 0
    encoded.clear()
    assert main(["index", "photos", "--model", "other", "--output", "photos.index"]) == 0
    assert "made by another model; every image is encoded again" in capsys.readouterr().out
    assert len(encoded) == N
    assert main(["search", "photos.index", "a"]) == 0


def test_an_index_of_another_folder_is_left_alone(here, refused):
    album(here / "elsewhere", 2)
    before = Path("photos.index").read_bytes()
    refused(["index", "elsewhere", *INDEX[2:]], "photos.index: expected an index of", "found one of")
    assert Path("photos.index").read_bytes() == before


def test_a_broken_index(here, refused):
    content = bytearray(Path("photos.index").read_bytes())
    content[-100] ^= 1
    Path("photos.index").write_bytes(content)
    refused(["search", "photos.index", "a"], "photos.index: expected an index of images, found content that differs")
    refused(INDEX, "photos.index: expected an index of images, found content that differs")
    shutil.copy("my-model/warp.safetensors", "photos.index")
    refused(["search", "photos.index", "a"], "photos.index: expected an index of images, found other tensors")


def test_an_empty_folder(here, refused):
    (here / "none").mkdir()
    refused(["index", "none", *INDEX[2:-1], "none.index"], "none: expected images (", "found none in it or below")
    refused(["index", "nowhere", *INDEX[2:-1], "none.index"], "nowhere: expected a folder of images, found none")
    refused(
        ["index", "photos", "--model", "nothing", "--output", "x.index"], "nothing: expected a dual encoder's folder"
    )
    assert not list(here.glob(".*.lock"))


def test_two_at_once_are_told_apart(here, refused):
    with indices.locked("photos.index"):
        refused(INDEX, "photos.index: another `ngw index` is at work on it")
        done = subprocess.run([sys.executable, "-m", "ngw", *INDEX], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "at work on it" in done.stderr
    assert main(INDEX) == 0
    Path(".photos.index.lock").touch()  # of a process that was killed
    assert main(INDEX) == 0
    assert not Path(".photos.index.lock").exists()
