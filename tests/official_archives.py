"""COCO, Flickr30k, VQA v2 and the paper's classified sets in archives of the official names, served on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import miniatures
import yaml
from loopback import Server

from ngw.cli import main
from ngw.download import items

ROOT = Path(__file__).parents[1]
OFFICIAL = items.table()


def zipped(folder: Path, *names: str) -> bytes:
    """Files and folders below a folder as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            place = folder / name
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def official(server: Server, project: Path, archives: dict[str, bytes], **weights) -> None:
    """The project's table, the official one with these archives in place of its own, served on loopback."""
    table = json.loads(json.dumps({**OFFICIAL, "weights": weights}))
    for entry in table["sets"].values():
        for file in entry["files"]:
            if file["name"] in archives:
                content = archives[file["name"]]
                file["url"] = server.at(f"/{file['name']}", content)
                file["size"], file["digest"] = len(content), f"sha256:{hashlib.sha256(content).hexdigest()}"
    (project / "table.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")


def coco(server: Server, project: Path, tmp_path: Path) -> dict[str, bytes]:
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


def download(project: Path, *words: str) -> int:
    """The command in a project, by its own table; returns its status."""
    return main(["download", *map(str, words), "--root", str(project), "--table", str(project / "table.yaml")])
