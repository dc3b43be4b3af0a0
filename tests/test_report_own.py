"""A run with one's own features, images that are partly missing and texts that are partly hostile, to its page."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hostile_texts import HOSTILE, Elements
from PIL import Image

from ngw import io
from ngw.cli import main
from ngw.tasks.images import codec

ROOT = Path(__file__).parents[1]
SPLITS = {"train": 20, "val": 1, "test": 14}
OWN = """import numpy as np

def encode(paths):
    return np.array([[len(p), *map(ord, p[-6:-4])] for p in paths], float)
"""
CONFIG = {
    "datasets": {"mine": {"kind": "folder", "root": "data", "check_images": False}},
    "encoders": {
        "made": {"kind": "precomputed", "width": 5, "file": "images.npy", "ids": "ids.npy"},
        "called": {"kind": "python", "call": "own:encode", "width": 3},
        "words": {"kind": "precomputed", "modality": "text", "width": 4, "file": "texts.npy", "ids": "ids.npy"},
    },
    "methods": {"ridge": {"kind": "ridge"}},
    "run": {
        "datasets": ["mine"],
        "encoder_pairs": [["made", "words"], ["called", "words"], ["made", "called"]],
        "seeds": [0],
        "pairs": [8],
    },
    "tables": {"retrieval": {"methods": ["ridge"]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The results of a workflow with features alone; every other image has a file."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("ngw", "workflow", "rules", "envs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "own.py").write_text(OWN)
    (folder / "data").mkdir()
    splits = [split for split, count in SPLITS.items() for _ in range(count)]
    texts = [text for text in HOSTILE if text.strip() and "\0" not in text and "\ud83d" not in text]
    with open(folder / "data/captions.csv", "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["image", "caption", "split"])
        for k, split in enumerate(splits):
            lines.writerow([f"{k:02}.png", texts[k % len(texts)], split])
            if k % 2:
                Image.new("RGB", (40, 30), (7 * k, 80, 160)).save(folder / f"data/{k:02}.png")
    points = np.random.default_rng(0).standard_normal((len(splits), 9)).astype(np.float32)
    np.save(folder / "images.npy", points[:, :5])
    np.save(folder / "texts.npy", points[:, 3:7])
    np.save(folder / "ids.npy", np.arange(len(splits)))
    references = [{"model": t, "source": t, "dataset": "mine", "i2t": 1.0, "t2i": 2.0} for t in texts]
    values = {**CONFIG, "tables": {"retrieval": {**CONFIG["tables"]["retrieval"], "references": references}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    logs = "".join(file.read_text() for file in (folder / "results/logs").glob("alignment*"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return folder / "results"


@pytest.mark.workflow
@pytest.mark.long
def test_features_without_an_encoder_that_shows_its_images_come_to_the_page(folder):
    drawn = {path.name for path in (folder / "figures").glob("*.png")}
    for pair in ("mine.made.words", "mine.called.words"):
        assert {f"alignment.{pair}.png", f"retrieval-examples.{pair}.png"} <= drawn
    assert "alignment.mine.made.called.png" not in drawn  # of two encoders of images
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert all(f'<a href="figures/{name}">' in page for name in drawn)


@pytest.mark.workflow
@pytest.mark.long
def test_no_text_of_its_config_is_markup_there(folder):
    page = Elements((folder / "index.html").read_text(encoding="utf-8"))
    assert page.scripts == 1
    assert {tag for tag, _ in page.kinds} & {"iframe", "script", "img"} == {"script", "img"}
    assert ("img", ("loading", "alt", "src")) in page.kinds
    assert len({kind for kind in page.kinds if kind[0] == "img"}) == 1
    assert not [address for address in page.addresses if address.lstrip().startswith("javascript")]


def test_sheets_need_no_encoder_and_name_the_images_that_have_no_file(tmp_path, write_cloud):
    spec = json.dumps({"kind": "precomputed", "width": 6})
    vision = write_cloud(tmp_path / "vision.safetensors", "vision", encoder="made", spec=spec)
    paths = [str(tmp_path / f"{k}.png") for k in range(12)]
    for path in paths[::2]:
        Image.new("RGB", (40, 30)).save(path)
    ids = list(range(12))
    io.write_table(tmp_path / "images.parquet", {"image_id": ids, "split": ["test"] * 12, "path": paths})
    texts = ["$5 # $6 each"] * 12
    io.write_table(tmp_path / "captions.parquet", {"caption_id": ids, "image_id": ids, "text": texts})
    run, figures = tmp_path / "run", tmp_path / "figures"
    io.write_record(run / "metrics/captioning.json", {"method": "m"})
    io.write_record(run / "images.json", {"method": "m"})
    io.write_table(run / "predictions/captioning.parquet", {"image_id": ids, "caption": texts})
    codec.write(run / "predictions/images.zip", {k: np.zeros((8, 8, 3), np.uint8) for k in ids})
    for stage, record in (("caption-sheet", "metrics/captioning.json"), ("image-sheet", "images.json")):
        words = [stage, "--tables", str(tmp_path), "--vision", str(vision), "--text", "words"]
        assert main([*words, "--records", str(run / record), "--output", str(figures)]) == 0
    assert {path.name for path in figures.glob("*.png")} == {
        f"{k}.points.made.words.png" for k in ("captions", "images")
    }
