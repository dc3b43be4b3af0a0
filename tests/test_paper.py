"""The paper's own config, paper.yaml: its whole graph resolves, and on miniatures of the official files it runs."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import miniatures
import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMMIT = re.compile(r"[0-9a-f]{40}")
pytestmark = pytest.mark.workflow


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a copy of the repository, with that copy's package."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": path, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the repository with the paper's inputs in miniature."""
    folder = tmp_path_factory.mktemp("paper")
    for name in ("config.yaml", "paper.yaml", "ngw", "workflow", "rules", "envs"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    miniatures.data(folder / "data")
    miniatures.models(folder / "models")
    (folder / "miniature.yaml").write_text(miniatures.config(folder / "models"))
    return folder


def test_every_model_of_the_paper_is_pinned_to_a_commit():
    paper = yaml.safe_load((ROOT / "paper.yaml").read_text())
    pinned = {name: spec.get("revision", "") for name, spec in paper["encoders"].items() if "model" in spec}
    assert len(pinned) >= 8
    assert {name for name, revision in pinned.items() if not COMMIT.fullmatch(revision)} == set()
    named = [paper["methods"]["joint-pretrained"]["model"], paper["scorers"]["clip-vit-l14"]["model"]]
    named.append(paper["tables"]["generation"]["captioner"]["model"])
    assert all(COMMIT.fullmatch(model.partition("@")[2]) for model in named)


def test_the_papers_graph_resolves_before_any_data_is_there(copy):
    done = snakemake(copy, "--dry-run", "--quiet", "rules", "--configfile", "paper.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_the_paper_runs_on_miniatures_of_the_official_files(copy):
    done = snakemake(copy, "--configfile", "paper.yaml", "miniature.yaml", "--show-failed-logs")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    tables = copy / "results" / "tables"
    with open(tables / "retrieval.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {"coco"}
    assert {row["method"] for row in rows} == {"ngw", "cca", "random", "joint", "joint-pretrained"}
    published = (tables / "retrieval.md").read_text().split("Published elsewhere")[1]
    assert "SOTAlign, 10k pairs from COCO (SOTAlign, table 2) | 46.7 / 34.8" in published
    record = json.loads((copy / "results/data/coco/record.json").read_text())
    assert record["images"] == {"train": 40, "val": 4, "test": 12}  # restval is training data
    assert record["captions"]["test"] == 60
    answers = json.loads(next((copy / "results/fusions/vqa2").rglob("ngw-fusion/**/test.json")).read_text())
    assert len(answers) == 8  # test-dev, for EvalAI
    text = (tables / "generation.md").read_text()
    assert "clip_score" in text  # the scorer is a published one, so it has that name
    assert "fd[dinov2-large-pca4]" in text
    assert (tables / "stages.md").is_file()
