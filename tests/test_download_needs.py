"""A config's downloads: models by their revision, then read offline; all of the paper's by one command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loopback import hub
from official_archives import OFFICIAL, ROOT, coco, official, others
from tiny_encoders import sentence_folder
from tiny_repository import run, tiny_repository

from ngw import config, data, encoders, io
from ngw.config import Config
from ngw.download import items, needs
from ngw.project import SCHEMA
from ngw.tools.status import merged

AT_ONCE = ["--max-jobs-per-timespan", "1000/1s"]  # else Snakemake looks for further jobs for a minute
COMMIT = "0123456789abcdef0123456789abcdef01234567"


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


def test_a_model_of_sentence_transformers_comes_with_its_modules_and_is_then_read_offline(server, project, tmp_path):
    folder = sentence_folder(tmp_path)
    (project / "workflow/scorers/scenes-clip").mkdir(parents=True)
    whole = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub(server, "sentence-transformers/tiny", COMMIT, {**whole, "pytorch_model.bin": b"a pickle", "code.py": b"harm"})
    official(server, project, {})
    spec = {"kind": "sentence-transformers", "model": "tiny", "revision": COMMIT, "width": 6}
    io.write_json(project / "more.yaml", {"encoders": {"minilm-l6": spec}})  # JSON is YAML
    environment = {**os.environ, "HF_HOME": str(project / "cache"), "HF_ENDPOINT": server.at("/", b"").rstrip("/")}
    command = [sys.executable, "-m", "ngw", "download", str(project / "more.yaml"), "--root", str(project)]
    command += ["--table", str(project / "table.yaml"), "--accept-licences"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [path for verb, path, _ in server.asked if verb == "GET" and COMMIT in path]
    assert not [path for path in asked if path.endswith((".bin", ".py"))]
    code = f"from ngw import encoders; print(*encoders.build({spec}).encode(['a cat']).pooled[0])"
    offline = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=offline, capture_output=True, text=True)
    wanted = encoders.build(spec | {"model": str(folder), "revision": None}).encode(["a cat"]).pooled[0]
    np.testing.assert_allclose(np.array(found.stdout.split(), float), wanted, atol=1e-6, err_msg=found.stderr)


def test_two_loaders_of_one_model_want_the_files_of_both():
    values = merged(config.read(ROOT / "config.yaml"), {
        "encoders": {
            "images": {"kind": "clip", "model": "org/clip", "revision": COMMIT},
            "texts": {"kind": "open-clip", "side": "text", "model": "org/clip", "revision": COMMIT},
        },
        "run": {"encoder_pairs": [["images", "texts"]]},
        "tables": {"classification": None, "vqa": None, "generation": None, "ablations": None},
    })  # fmt: skip
    wanted = needs.of_config(Config(values, ROOT / SCHEMA), OFFICIAL, Path())
    assert {item.name for item in wanted} == {f"org/clip@{COMMIT[:12]}"}
    assert {"open_clip_config.json", "preprocessor_config.json"} <= {name for item in wanted for name in item.patterns}


def of(*files: str) -> list[items.Item]:
    values = config.read(ROOT / "config.yaml")
    for file in files:
        values = merged(values, config.read(ROOT / file))
    return needs.of_config(Config(values, SCHEMA), OFFICIAL, Path())


@pytest.mark.workflow
@pytest.mark.long
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
    wanted = needs.of_config(Config(values, SCHEMA), OFFICIAL, tmp_path)
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
    """The official files as docs/how-to/download.md shows them."""
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
    text = (ROOT / "docs/how-to/download.md").read_text(encoding="utf-8")
    table = text.split("<!-- files -->\n")[1].split("<!-- /files -->")[0]
    assert table.splitlines() == shown()
