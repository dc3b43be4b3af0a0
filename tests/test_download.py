"""`ngw download` on a real server: what a config needs is told, accepted, fetched and unpacked, once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import miniatures
import pytest
import yaml
from loopback import hub, serving
from tiny_repository import run, tiny_repository

from ngw import config, data
from ngw.cli import main
from ngw.config import Config
from ngw.download import items, needs
from ngw.tools.status import SCHEMA, merged

ROOT = Path(__file__).parents[1]
OFFICIAL = items.table()
AT_ONCE = ["--max-jobs-per-timespan", "1000/1s"]  # else Snakemake looks for further jobs for a minute
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def server():
    with serving() as one:
        yield one


@pytest.fixture
def project(tmp_path) -> Path:
    """A project's folder: its config and its schema."""
    folder = tmp_path / "my project"
    (folder / SCHEMA).parent.mkdir(parents=True)
    shutil.copy(ROOT / "config.yaml", folder)
    shutil.copy(ROOT / SCHEMA, folder / SCHEMA)
    return folder


def zipped(folder: Path, *names: str) -> bytes:
    """Files and folders below a folder as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            place = folder / name
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def official(server, project, archives: dict[str, bytes], **weights) -> None:
    """The project's table, the official one with these archives in place of its own, served on loopback."""
    table = json.loads(json.dumps({**OFFICIAL, "weights": weights}))
    for entry in table["sets"].values():
        for file in entry["files"]:
            if file["name"] in archives:
                content = archives[file["name"]]
                file["url"] = server.at(f"/{file['name']}", content)
                file["size"], file["digest"] = len(content), f"sha256:{hashlib.sha256(content).hexdigest()}"
    (project / "table.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")


def coco(server, project, tmp_path) -> dict[str, bytes]:
    """COCO, Flickr30k and VQA v2 in miniature, in archives of the official names, served by the project's table."""
    miniatures.data(tmp_path / "data")
    source = tmp_path / "data/coco"
    shutil.copy(tmp_path / "data/flickr30k/dataset_flickr30k.json", source)
    archives = {f"{name}.zip": zipped(source, name) for name in ("train2014", "val2014", "test2015")}
    archives["caption_datasets.zip"] = zipped(source, "dataset_coco.json", "dataset_flickr30k.json")
    for split, subset in (("Train", "train2014"), ("Val", "val2014"), ("Test", "test-dev2015")):
        questions = f"v2_OpenEnded_mscoco_{subset}_questions.json"
        archives[f"v2_Questions_{split}_mscoco.zip"] = zipped(source, questions)
        if split != "Test":
            archives[f"v2_Annotations_{split}_mscoco.zip"] = zipped(source, f"v2_mscoco_{subset}_annotations.json")
    official(server, project, archives)
    return archives


def download(project, *words) -> int:
    return main(["download", *map(str, words), "--root", str(project), "--table", str(project / "table.yaml")])


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
    assert "flickr30k-images: https://shannon.cs.illinois.edu/DenotationGraph: put it below" in told.err
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
    assert "at most 7 bytes are wanted while archives are unpacked" in out
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
    assert "delete that to take another" in told.out
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
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    part = project / "data/mine/.downloads/numbers.bin.part"
    while started.poll() is None and not (part.is_file() and part.stat().st_size > 50_000):
        time.sleep(0.02)
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "another process fetches it now; wait until it ends" in other.stderr
    started.send_signal(how)
    assert started.wait(20) != 0
    kept = part.stat().st_size
    assert 50_000 < kept < len(content)
    assert download(project, "mine") == 0
    assert server.asked[-1] == ("GET", "/numbers.bin", f"bytes={kept}-")
    assert (project / "data/mine/numbers.bin").read_bytes() == content


def test_models_of_a_config_come_by_their_revision_and_are_then_read_offline(server, project):
    weights = {"config.json": b"{}", "model.safetensors": os.urandom(300_000), "README.md": b"licence"}
    (project / "workflow/scorers/scenes-clip").mkdir(parents=True)
    hub(server, "org/bert", COMMIT, {**weights, "pytorch_model.bin": b"a pickle", "onnx/model.onnx": b"another"})
    hub(server, "org/vae", COMMIT, {"config.json": b"{}", "vae.safetensors": b"weights", "vae.bin": b"a pickle"})
    vae = {"model": "org/vae", "revision": COMMIT, "licence": "MIT"}
    fid = {"url": server.at("/fid.pth", b"FID's"), "size": 5, "digest": None, "licence": "Apache-2.0"}
    official(server, project, {}, **{"my-vae": vae, "fid.pth": fid})
    (project / "more.yaml").write_text(f"""
encoders:
  minilm-l6: {{kind: transformers-text, model: org/bert, revision: {COMMIT}}}
  fid: {{kind: inception, weights: models/fid.pth}}
tables: {{generation: {{images: {{network: fid}}, imager: {{vae: models/my-vae}}}}}}
""")
    environment = {**os.environ, "HF_HOME": str(project / "cache"), "HF_ENDPOINT": server.at("/", b"").rstrip("/")}
    command = [sys.executable, "-m", "ngw", "download", str(project / "more.yaml"), "--root", str(project)]
    command += ["--table", str(project / "table.yaml")]

    def ran(*words, **told):
        started = {"cwd": ROOT, "env": {**environment, **told}, "capture_output": True, "text": True, "check": False}
        return subprocess.run([*command, *words], **started)

    dry = ran("--dry-run")
    assert f"org/bert@{COMMIT[:12]} 300.0 kB to fetch" in " ".join(dry.stdout.split()), dry.stderr
    assert not (project / "cache").exists() or not list((project / "cache").rglob("*.safetensors"))
    done = ran("--accept-licences")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (project / "models/my-vae").iterdir()} == {".cache", "config.json", "vae.safetensors"}
    assert (project / "models/fid.pth").read_bytes() == b"FID's"
    listed_or_fetched = [path for verb, path, _ in server.asked if verb == "GET" and COMMIT in path]
    assert not [path for path in listed_or_fetched if path.endswith((".bin", ".onnx"))]
    again = ran()
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith("nothing to fetch\n")
    assert [path for verb, path, _ in server.asked if verb == "GET" and COMMIT in path] == listed_or_fetched
    code = "from ngw.encoders._huggingface import folder; "
    code += f"print(*sorted(path.name for path in folder('org/bert', '{COMMIT}').iterdir()))"
    offline = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=offline, capture_output=True, text=True)
    assert found.stdout.split() == sorted(weights), found.stderr
    assert ran(HF_HUB_OFFLINE="1").stdout.endswith("nothing to fetch\n")


def others(folder: Path) -> dict[str, bytes]:
    """The paper's classified sets in archives, as far as names go."""
    eurosat = OFFICIAL["sets"]["eurosat"]["files"][0]["gives"]
    names = ["sketch/n01440764/a.jpg", *(f"EuroSAT_RGB/{name}/a.jpg" for name in eurosat)]
    names += [f"cifar-100-python/{name}" for name in ("train", "test", "meta")]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        archive.add(folder / "cifar-100-python", "cifar-100-python")
    zips = {"ImageNet-Sketch.zip": zipped(folder, "sketch"), "EuroSAT_RGB.zip": zipped(folder, "EuroSAT_RGB")}
    return {**zips, "cifar-100-python.tar.gz": tar.getvalue()}


@pytest.mark.workflow
def test_all_that_the_paper_needs_comes_by_one_command_and_the_rule_then_finds_it_offline(server, tmp_path):
    folder = tiny_repository(tmp_path / "ngw repository")
    (folder / "slurm").symlink_to("profiles/slurm")
    archives = {**coco(server, folder, tmp_path), **others(tmp_path / "others")}
    fid, vae = "pt_inception-2015-12-05-6726825d.pth", OFFICIAL["weights"]["sd-vae-ft-mse"]
    weights = {**OFFICIAL["weights"][fid], "url": server.at("/fid", b"FID's"), "size": 5, "digest": None}
    official(server, folder, archives, **{fid: weights, "sd-vae-ft-mse": vae})
    for item in of("paper.yaml"):
        if isinstance(item, items.Model):
            hub(server, item.model, item.revision, {"config.json": b"{}", "model.safetensors": item.model.encode()})
    told = {"HF_HOME": str(tmp_path / "cache"), "HF_ENDPOINT": server.at("/", b"").rstrip("/")}
    command = ["python", "-m", "ngw", "download", "paper.yaml", "--accept-licences"]
    first = run(folder, *command, "--table", "table.yaml", **told)
    assert first.returncode == 2
    assert "https://image-net.org/download.php" in first.stdout + first.stderr
    for name in ("imagenet/train", "imagenet/val"):
        (folder / "data" / name).mkdir(parents=True)
    shutil.copytree(tmp_path / "data/flickr30k/flickr30k-images", folder / "data/flickr30k/flickr30k-images")
    server.files.clear()
    offline = {**told, "HF_HUB_OFFLINE": "1"}
    done = run(folder, "snakemake", "--profile", "slurm", "download", *AT_ONCE, **offline)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (folder / "results/logs/download.log").read_text().splitlines()
    assert log[-1] == "nothing to fetch"
    assert len(log) > 20
    subsets = {"train": "train2014", "val": "val2014", "test": "test-dev2015"}
    assert len(data.load("vqa2", root=str(folder / "data/coco"), subsets=subsets).questions["question_id"]) == 72
    shutil.rmtree(folder / "data/eurosat")
    (folder / ".ngw-licences").unlink()
    undone = run(folder, "snakemake", "--cores", "1", "--configfile", "paper.yaml", "--", "download", **offline)
    assert undone.returncode == 1
    assert "expected 1 licences to be accepted" in undone.stderr


def of(*files: str) -> list[items.Item]:
    values = config.read(ROOT / "config.yaml")
    for file in files:
        values = merged(values, config.read(ROOT / file))
    return needs.of_config(Config(values, ROOT / SCHEMA), OFFICIAL, Path())


def test_the_default_needs_nothing_and_the_paper_all_that_its_jobs_read():
    assert of() == []
    wanted = of("paper.yaml")
    files = {(str(item.root), name) for item in wanted if isinstance(item, items.File) for name in item.gives}
    assert files >= {
        ("data/coco", "dataset_coco.json"), ("data/coco", "train2014"), ("data/coco", "val2014"),
        ("data/coco", "test2015"), ("data/coco", "v2_OpenEnded_mscoco_test-dev2015_questions.json"),
        ("data/coco", "v2_mscoco_train2014_annotations.json"), ("data/flickr30k", "dataset_flickr30k.json"),
        ("data/flickr30k", "flickr30k-images"), ("data", "cifar-100-python"), ("data/eurosat", "River"),
        ("data/imagenet", "train"), ("data/imagenet-sketch", "sketch"),
        ("models", "pt_inception-2015-12-05-6726825d.pth"),
    }  # fmt: skip
    assert ("data/coco", "train2017") not in files
    paper = (ROOT / "paper.yaml").read_text()
    models = {f"{item.model} {item.revision}" for item in wanted if isinstance(item, items.Model)}
    assert len(models) == 11
    assert all(part in paper or "sd-vae" in model for model in models for part in model.split())
    assert [item.pickle for item in wanted if "contriever" in item.name] == [True]
    assert not [item for item in wanted if getattr(item, "form", "") == needs.YOURS]


def test_what_no_table_has_is_told_as_yours(tmp_path):
    values = merged(config.read(ROOT / "config.yaml"), {
        "datasets": {"mine": {"kind": "folder", "root": "data/photographs"}},
        "encoders": {"mine": {"kind": "precomputed", "modality": "text", "file": "t.npy", "ids": "i.npy", "width": 8}},
        "run": {"datasets": ["mine"], "encoder_pairs": [["effnet-lite0", "mine"]]},
        "tables": {"classification": None, "vqa": None, "generation": None, "ablations": None},
    })  # fmt: skip
    wanted = needs.of_config(Config(values, ROOT / SCHEMA), OFFICIAL, tmp_path)
    assert {(item.name, item.form) for item in wanted} == {
        (name, needs.YOURS) for name in ("data/photographs", "t.npy", "i.npy")
    }


def test_every_digest_and_size_of_the_table_can_be_one():
    for entry in [file for one in OFFICIAL["sets"].values() for file in one["files"]]:
        assert ("url" in entry) != ("form" in entry)
        algorithm, _, digest = (entry.get("digest") or "").partition(":")
        assert len(digest) == {"": 0, "md5": 32, "sha256": 64}[algorithm]
        assert entry["licence"]


def shown() -> list[str]:
    """The official files as docs/download.md shows them."""
    rows = ["| set | file | bytes | digest | licence |", "| --- | --- | --- | --- | --- |"]
    weights = [(name, {"name": name, **entry}) for name, entry in OFFICIAL["weights"].items()]
    sets = [(name, file) for name, entry in OFFICIAL["sets"].items() for file in entry["files"]]
    for name, file in [*sets, *weights]:
        url = file.get("url") or file.get("form") or f"https://huggingface.co/{file['model']}"
        algorithm, _, digest = (file.get("digest") or "").partition(":")
        digest = f"{algorithm} {digest[:8]}…" if digest else f"revision {file.get('revision', '')[:8]}…"
        digest = "by a form" if "form" in file else digest if digest != "revision …" else "that of the first download"
        size = f"{file['size']:,}" if file.get("size") else "not stated"
        rows.append(f"| {name} | [{file['name']}]({url}) | {size} | {digest} | {file['licence']} |")
    return rows


def test_the_page_shows_the_table():
    text = (ROOT / "docs/download.md").read_text(encoding="utf-8")
    table = text.split("<!-- files -->\n")[1].split("<!-- /files -->")[0]
    assert table.splitlines() == shown()
