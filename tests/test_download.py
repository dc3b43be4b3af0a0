"""`ngw download` on a real server: a config's needs are listed, accepted, fetched and unpacked, once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial

import pytest
import yaml
from official_archives import ROOT, coco, download, zipped

from ngw import data
from ngw.cli import main


def one(server, project, content=b"numbers", digest=None, size=None, name="numbers.bin", **more) -> str:
    """A table of one set of one file; returns its address."""
    url = server.at(f"/{name}", content)
    file = {"name": name, "url": url, "size": size, "digest": digest, "licence": "CC0", "gives": [name], **more}
    table = {"sets": {"mine": {"root": "data/mine", "files": [file]}}, "weights": {}}
    (project / "table.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    return url


def test_data_sets_by_name_are_fetched_as_their_readers_want_them(server, project, tmp_path, capsys):
    coco(server, project, tmp_path)
    assert download(project, "coco", "vqa2", "--accept-licences") == 0
    place = project / "data/coco"
    names = {path.name for path in place.iterdir()}
    assert names == {
        ".downloads", "dataset_coco.json", "train2014", "val2014",
        *(f"v2_OpenEnded_mscoco_{subset}_questions.json" for subset in ("train2014", "val2014")),
        *(f"v2_mscoco_{subset}_annotations.json" for subset in ("train2014", "val2014")),
    }  # fmt: skip
    assert not [path for path in (place / ".downloads").iterdir() if path.suffix not in (".json", ".lock")]
    assert len(data.load("coco", root=str(place)).images["image_id"]) == 56
    assert len(data.load("vqa2", root=str(place)).questions["question_id"]) == 64
    asked = len(server.asked)
    capsys.readouterr()
    assert download(project, "coco", "vqa2") == 0  # and nobody is asked for licences again
    assert len(server.asked) == asked
    assert capsys.readouterr().out.endswith("nothing to fetch\n")


def test_what_a_form_stands_before_is_told_with_its_address_once_the_rest_is_there(server, project, tmp_path, capsys):
    coco(server, project, tmp_path)
    assert download(project, "coco", "vqa2", "flickr30k", "--accept-licences") == 2
    told = capsys.readouterr()
    assert "flickr30k-images: expected it below" in told.err
    assert "put it there (https://shannon.cs.illinois.edu/DenotationGraph)" in told.err
    assert (project / "data/flickr30k/dataset_flickr30k.json").is_file()
    shutil.copytree(tmp_path / "data/flickr30k/flickr30k-images", project / "data/flickr30k/flickr30k-images")
    assert download(project, "flickr30k") == 0
    assert len(data.load("flickr30k", root=str(project / "data/flickr30k")).images["image_id"]) == 56


def test_a_dry_run_tells_sizes_and_room_and_fetches_nothing(server, project, capsys):
    one(server, project, size=7)
    before = sorted(project.rglob("*"))
    assert download(project, "mine", "--dry-run") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "numbers.bin 7 bytes to fetch" in out
    assert "at most 7 bytes are needed while archives are unpacked" in out
    assert "GB are free" in out
    assert "numbers.bin: CC0" in out
    assert (sorted(project.rglob("*")), server.asked) == (before, [])


def test_licences_are_told_and_accepted_once(server, project, capsys):
    one(server, project)
    assert download(project, "mine") == 2
    told = capsys.readouterr()
    assert "numbers.bin: CC0" in told.out
    assert "expected 1 licences to be accepted; read them, and add --accept-licences" in told.err
    assert server.asked == []
    assert download(project, "mine", "--accept-licences") == 0
    (project / "data/mine/numbers.bin").unlink()
    assert download(project, "mine") == 0
    one(server, project, licence="another")
    (project / "data/mine/numbers.bin").unlink()
    assert download(project, "mine") == 2


def test_more_than_the_disk_holds_is_refused_before_anything_is_fetched(server, project, capsys):
    one(server, project, size=10**18)
    assert download(project, "mine", "--accept-licences") == 2
    assert "expected 1000000000.0 GB, found" in capsys.readouterr().err
    assert server.asked == []


def test_without_a_published_digest_that_of_the_first_download_counts(server, project, capsys):
    one(server, project, b"numbers")
    assert download(project, "mine", "--accept-licences") == 0
    kept = json.loads((project / "data/mine/.downloads/numbers.bin.json").read_text())
    assert kept["sha256"] == hashlib.sha256(b"numbers").hexdigest()
    assert f"sha256 {kept['sha256']}, not published, kept in" in capsys.readouterr().out
    (project / "data/mine/numbers.bin").unlink()
    one(server, project, b"nUmbers")
    assert download(project, "mine") == 2
    told = capsys.readouterr()
    assert "delete it to accept another" in told.out
    assert f"of sha256:{kept['sha256']}, found sha256" in told.err
    assert not (project / "data/mine/numbers.bin").exists()


def test_one_that_fails_does_not_keep_the_others(server, project, tmp_path, capsys):
    coco(server, project, tmp_path)
    server.faults["/val2014.zip"] = ["404"]
    server.faults["/train2014.zip"] = ["wrong"]
    assert download(project, "coco", "--accept-licences") == 2
    told = capsys.readouterr()
    assert "(and 1 more, above)" in told.err
    assert "status 404" in told.out + told.err
    assert {path.name for path in (project / "data/coco").iterdir()} == {".downloads", "dataset_coco.json"}
    assert download(project, "coco") == 0
    assert len(data.load("coco", root=str(project / "data/coco")).images["image_id"]) == 56


def test_an_archive_that_means_harm_leaves_nothing_and_no_digest_to_trust(server, project, capsys):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("numbers", "fine")
        archive.writestr("../../../harm", "harm")
    one(server, project, content.getvalue(), name="numbers.zip", gives=["numbers"])
    assert download(project, "mine", "--accept-licences") == 2
    assert "found '../../../harm', which leads elsewhere; don't use it" in capsys.readouterr().err
    assert [path.name for path in (project / "data/mine").rglob("*")] == [".downloads", "numbers.zip.lock"]
    assert not list(project.parent.rglob("harm"))


def test_an_archive_that_a_person_puts_there_is_checked_and_unpacked(server, project):
    (project / "numbers").write_text("by hand")
    content = zipped(project, "numbers")
    digest = f"md5:{hashlib.md5(content).hexdigest()}"
    one(server, project, content, digest=digest, name="numbers.zip", gives=["numbers"])
    place = project / "data/mine/.downloads"
    place.mkdir(parents=True)
    (place / "numbers.zip").write_bytes(b"another")
    assert download(project, "mine", "--accept-licences") == 2
    (place / "numbers.zip").write_bytes(content)
    assert download(project, "mine") == 0
    assert server.asked == []
    assert (project / "data/mine/numbers").read_text() == "by hand"


def test_what_is_there_already_stays_as_it_is(server, project):
    (project / "a").write_text("new")
    (project / "b").write_text("new")
    one(server, project, zipped(project, "a", "b"), name="numbers.zip", gives=["a", "b"])
    (project / "data/mine").mkdir(parents=True)
    (project / "data/mine/a").write_text("mine")
    assert download(project, "mine", "--accept-licences") == 0
    assert [(project / "data/mine" / name).read_text() for name in "ab"] == ["mine", "new"]


@pytest.mark.parametrize("word", ["cocoo", "no.yaml"])
def test_an_unknown_name_or_file_is_refused(word, project, capsys):
    assert main(["download", word, "--root", str(project)]) == 2
    told = capsys.readouterr().err
    assert "'cocoo' is no data set. Did you mean 'coco'?" in told or "no.yaml: no such config file" in told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_is_gone_on_from(how, server, project):
    content = os.urandom(2_000_000)
    one(server, project, content, size=len(content))
    server.faults["/numbers.bin"], server.pause = ["slow"], 3.0  # a minute in all
    command = [sys.executable, "-m", "ngw", "download", "mine", "--root", str(project)]
    command += ["--table", str(project / "table.yaml"), "--accept-licences"]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a suite in the background ignores it
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=heeding)
    part = project / "data/mine/.downloads/numbers.bin.part"
    while started.poll() is None and not (part.is_file() and part.stat().st_size > 50_000):
        time.sleep(0.02)
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "another process is fetching it; wait until it ends" in other.stderr
    started.send_signal(how)
    assert started.wait(20) != 0
    kept = part.stat().st_size
    assert 50_000 < kept < len(content)
    assert download(project, "mine") == 0
    assert server.asked[-1] == ("GET", "/numbers.bin", f"bytes={kept}-")
    assert (project / "data/mine/numbers.bin").read_bytes() == content


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run: {}", "top level: expected the key 'sets'"),
        ("{sets: {coco: 5}, weights: {}}", "sets.coco: expected a value of type object, found 5"),
        ("{sets: {coco: {root: a, files: [{name: x}]}}, weights: {}}", "sets.coco.files[0]: expected the key 'gives'"),
        ("{sets: {}, weights: {x: {size: big}}}", "weights.x.size: expected a value of type ['integer', 'null']"),
    ],
)
def test_a_table_of_another_form_is_told_by_its_place(text, words, tmp_path, refused):
    (tmp_path / "table.yaml").write_text(text)
    refused(
        ["download", "coco", "--root", str(tmp_path), "--table", str(tmp_path / "table.yaml")], f"table.yaml: {words}"
    )
