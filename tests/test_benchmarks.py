"""The benchmarks run at a tiny size, and write their output."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ngw import features, io

ROOT = Path(__file__).parents[1]


def printed(name: str, *options: str | Path, cwd: Path) -> str:
    """What a benchmark prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *map(str, options)]
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_steps_of_the_maps_are_timed_against_the_plain_one(tmp_path):
    output = tmp_path / "maps.json"
    assert "| times plain |" in printed("maps", "--size", "tiny", "--output", output, cwd=tmp_path)
    times = json.loads(output.read_text())["seconds"]
    assert set(times) == {"mlp", "residual"}
    assert all(value > 0 for variants in times.values() for value in variants.values())


def test_ranking_and_its_peers_find_the_same_recalls(tmp_path):
    output = tmp_path / "ranking.json"
    printed("ranking", "--size", "tiny", "--output", output, cwd=tmp_path)  # fails where they differ
    results = json.loads(output.read_text())["results"]
    assert sum("recalls" in result for result in results) >= 3


def test_searches_and_their_peers_find_the_same_pictures(tmp_path):
    output = tmp_path / "search.json"
    text = printed("search", "--size", "tiny", "--output", output, cwd=tmp_path)
    assert "by the encoder alone (ratio " in " ".join(text.split())
    results = json.loads(output.read_text())["300"]
    assert results[0]["name"] == "ngw, exact"
    exact = [result for result in results if "found" in result and "exact" in result["name"] + "Flat"]
    assert all(result["found"] > 0.95 for result in exact)


@pytest.mark.long
def test_transport_reaches_the_accuracy_of_its_peer(tmp_path):
    text = printed("sinkhorn", "--size", "tiny", "--output", tmp_path / "out", cwd=tmp_path)
    with open(tmp_path / "out" / "sinkhorn.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["solver"] for row in rows} == {"ngw", "ngw, streamed", "POT sinkhorn"}
    assert len(rows) == 3 * 8  # tolerances from 1e-2 to 1e-9
    assert all(float(row["l1"]) <= 1.2 * float(row["tol"]) for row in rows)
    assert all(float(row["projection_error"]) <= 10 * float(row["tol"]) for row in rows)
    assert all(f"| {row['solver']} |" in text for row in rows)
    assert (tmp_path / "out" / "sinkhorn.png").stat().st_size > 0


def test_a_level_is_passed_between_the_runs_on_both_sides_of_it():
    spec = importlib.util.spec_from_file_location("curves", ROOT / "benchmarks/curves.py")
    curves = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(curves)
    runs = [(1.0, 1e-2), (2.0, 1e-4), (5.0, 1e-7)]
    assert curves.crossing(runs, 1e-2) == 1
    assert curves.crossing(runs, 1e-3) == pytest.approx(1.5)
    assert curves.crossing(runs, 1e-6) == pytest.approx(4.0)
    assert curves.crossing(runs, 1e-1) == 1  # no looser run was made
    assert curves.crossing(runs, 1e-8) is None


@pytest.mark.long
def test_the_paper_s_size_runs_on_a_small_one(tmp_path):
    size = ["--images", "300", "--test", "40", "--pairs", "60", "--processes", "2"]
    size += ["--runs", "rounds=1", "rounds=2~early_rows=50"]
    text = printed("scale", tmp_path / "features", *size, cwd=tmp_path)
    found = re.findall(r"^(rounds=[^,\n]+, \w+): .* s, .* CPU s, peak", text, re.MULTILINE)
    assert found == [f"{run}, {stage}" for run in size[-2:] for stage in ("transport", "maps", "retrieval")]
    assert "peak" not in printed("scale", tmp_path / "features", *size, cwd=tmp_path)  # nothing is run again


def test_methods_are_ranked_on_validation_items_and_on_training_items_held_out(tmp_path):
    latents, stream = {"train": 80, "val": 20}, np.random.default_rng(0)
    mixing = stream.standard_normal((2, 12, 16))
    for split, n in latents.items():
        z, ids = stream.standard_normal((n, 12)), np.arange(n) + 1000 * (split == "val")
        arrays = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, 16))}
        for name, mix in zip(("see", "read"), mixing, strict=True):
            with features.writer(tmp_path / split / f"{name}.safetensors", arrays, {}) as out:
                out["ids"][:], out["image_ids"][:], out["pooled"][:] = ids, ids, z @ mix
    options = ["--methods", "cca", "random", "--pairs", "30", "--seeds", "1"]
    for more in ([], ["--draws", "2"]):
        lines = printed("validation", tmp_path, "see", "read", *options, *more, cwd=tmp_path).splitlines()
        assert lines[0] == "| R@1, R@10, seconds | shared, 30 | disjoint, 30 |"
        cells = [[float(cell.split(",")[0]) for cell in line.split("|")[2:4]] for line in lines[2:]]
        assert [line.split("|")[1].strip() for line in lines[2:]] == ["cca", "random"]
        assert min(cells[0]) > 90
        assert max(cells[1]) < 30


def test_the_judge_is_judged_by_real_pairs(tmp_path):
    file, seen = tmp_path / "scenes/lite0/reference.safetensors", np.eye(30, dtype=np.float32)
    file.parent.mkdir(parents=True)
    said = seen[[*range(15), *np.roll(range(15, 30), 1)]]  # half of the captions are told of the next image
    io.write_tensors(file, {"images": seen, "texts": said}, {"reference": "{}"})
    line = printed("judge", file, cwd=tmp_path).splitlines()[1]
    assert line.split() == ["scenes", "lite0,", "30", "images", *["50.0"] * 7]


def test_a_classifier_says_what_the_pictures_show(finished):
    lines = printed("objects", "--size", "16", cwd=finished).split("five\n")[1].splitlines()
    found = {" ".join(line.split()[:-2]): [float(value) for value in line.split()[-2:]] for line in lines}
    assert {"real", "ngw pairs16 shared", "true-latents pairsall none"} <= set(found)
    assert all(0 <= first <= five <= 100 for first, five in found.values())
