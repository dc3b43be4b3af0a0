"""The workflow as a user runs it: a complete tiny run, its table, and what reruns after which change."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_repository import edit, run, scheduled, snakemake

from ngw.record.origin import stamp

GOLDEN = Path(__file__).parent / "golden" / "retrieval.csv"
pytestmark = pytest.mark.workflow

FOO = '''"""The mean of two closed forms' maps: a baseline in one file."""

from ngw.maps.linear import ridge
from ngw.methods.base import Method


class Foo(Method):
    """Ridge regression with half its answer."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def _fit(self, x, y, pairs, seed):
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]
        self.w_ab_, self.b_ab_, _ = ridge(px, py)
        self.w_ba_, self.b_ba_, _ = ridge(py, px)

    def _to_y(self, x):
        return self.share * (x @ self.w_ab_ + self.b_ab_)

    def _to_x(self, y):
        return self.share * (y @ self.w_ba_ + self.b_ba_)
'''


def table(path: Path, unpaired: str = "shared") -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of one setting, and those of runs that see no unpaired row."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["unpaired"] in (unpaired, "none")]
    return {(row["method"], row["pairs"], row["metric"]): row for row in rows}


@pytest.mark.parametrize("unpaired", ["shared", "disjoint"])
def test_the_tiny_run_gives_the_golden_table(finished, unpaired):
    # Rates move by a query or two between machines, whose matrix products round differently; not by more.
    found, golden = (table(path, unpaired) for path in (finished / "results/tables/retrieval.csv", GOLDEN))
    assert found.keys() == golden.keys()
    for cell, row in golden.items():
        tolerance = 6.0 if "median_rank" in cell[2] else 0.085
        assert abs(float(found[cell]["mean"]) - float(row["mean"])) <= tolerance, cell
        assert found[cell]["n_seeds"] == row["n_seeds"], cell


def test_the_tiny_run_leaves_nothing_half_written(finished):
    results = finished / "results"
    assert not [path for path in results.rglob("*") if ".tmp" in path.name or path.name.endswith(".partial")]
    for name in ("retrieval.csv", "retrieval.md", "retrieval.tex", "retrieval.txt", "efficiency.csv"):
        assert (results / "tables" / name).stat().st_size > 100
    assert "effnet-lite0" in (results / "index.html").read_text(encoding="utf-8")
    figures = sorted(path.name for path in (results / "figures").iterdir())
    assert {f"retrieval.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"vqa.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"vqa-examples.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"captions.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"images.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"ablations.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)
    assert {f"identifiability.scenes.effnet-lite0.minilm-l6.{form}" for form in ("pdf", "png")} <= set(figures)


def test_a_number_leads_back_to_the_data_command_by_command(finished):
    record = "results/runs/scenes/effnet-lite0__minilm-l6/ngw/pairs16/shared/seed0/metrics/retrieval.json"
    done = run(finished, sys.executable, "-m", "ngw", "provenance", record)
    assert done.returncode == 0, done.stderr
    rules = re.findall(r": rule (\w+), 20", done.stdout)
    assert set(rules) == {"retrieval", "encode", "encode_keeping_tokens", "data", "maps", "transport"}
    assert rules[0] == "retrieval"
    shared = "results/runs/scenes/effnet-lite0__minilm-l6/all~/runs.retrieval.json"
    assert done.stdout.startswith(f"{record}: one of the runs of {shared}\n")
    assert done.stdout.count("$ python -m ngw ") == len(rules)
    again = run(finished, sys.executable, "-m", "ngw", "provenance", "nothing")
    assert again.returncode == 2
    assert "nothing: expected a file that Snakemake has made" in again.stderr


def test_a_record_says_what_made_it(finished):
    records = sorted(finished.glob("results/**/metrics/*.json")) + sorted(finished.glob("results/**/training.json"))
    assert len(records) > 20
    stamps = [{name: record[name] for name in stamp()} for record in map(json.loads, map(Path.read_text, records))]
    assert all(re.fullmatch("[0-9a-f]{12}", found["config"]) for found in stamps)  # of the workflow's merged config
    assert all(found["libraries"] == stamp()["libraries"] for found in stamps)


def test_snakemakes_own_report_has_tables_and_figures_and_is_quiet_in_a_browser(finished, tmp_path):
    page = tmp_path / "report.html"
    done = snakemake(finished, "--report", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert all(title in text for title in ("Retrieval", "Visual question answering", "Generation", "Efficiency"))
    assert all(name in text for name in ("retrieval.csv", "alignment.scenes.effnet-lite0.minilm-l6.png"))
    if shutil.which("chromium") is None:
        pytest.skip("chromium isn't installed")
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    shown = subprocess.run(
        [*browser, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Visual question answering" in shown.stdout
    said = re.findall(r"CONSOLE.*", shown.stderr)
    assert all("cdn.tailwindcss.com should not be used" in line for line in said), said  # Snakemake packs it in


def test_every_method_and_the_ceiling_caption_every_image(finished):
    rows = table(finished / "results/tables/generation.csv")
    assert {key[:2] for key in rows} == {
        ("ngw", "16"),
        ("cca", "16"),
        ("weight-averaging", "0"),
        ("true-latents", "all"),
    }
    run = "runs/scenes/effnet-lite0__minilm-l6/ngw/pairs16/shared/seed0"
    results = json.loads((finished / "results" / run / "predictions/captions.json").read_text())
    assert len({entry["image_id"] for entry in results}) == len(results) == 20  # of 24, the config's count
    assert 0 <= float(rows["ngw", "16", "meteor"]["mean"]) < 1


def test_every_method_and_the_ceiling_draw_the_same_images(finished):
    rows = table(finished / "results/tables/generation.csv")
    judged = {key[:2] for key in rows if key[2] == "score[scenes-clip-anew]"}
    assert judged == {("ngw", "16"), ("cca", "16"), ("weight-averaging", "0"), ("true-latents", "all")}
    assert ("ngw", "16", "fd[effnet-lite0-pca8]") in rows
    ids = []
    for place in ("ngw/pairs16/shared", "cca/pairs16/shared", "true-latents/pairsall/none"):
        path = finished / f"results/runs/scenes/effnet-lite0__minilm-l6/{place}/seed0/predictions/images.zip"
        with zipfile.ZipFile(path) as archive:
            ids.append(archive.namelist())
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 20


def test_the_answers_are_official_results_of_every_question(finished):
    rows = table(finished / "results/tables/vqa.csv")
    assert {key[0] for key in rows} == {"ngw-fusion", "ngw-fusion~aligner=cca", "concat", "joint", "prior"}
    run = "fusions/scenes/effnet-lite0__minilm-l6/concat/pairs0/none/labels50/seed0"
    results = json.loads((finished / "results" / run / "predictions/test.json").read_text())
    record = json.loads((finished / "results" / run / "metrics/vqa.json").read_text())
    assert len(results) == record["n_questions"] > 100
    assert record["labels"] == "50"
    assert 0 <= record["metrics"]["accuracy"] <= record["vocabulary"]["ceiling"]


def test_a_new_baseline_is_one_file_and_one_entry(copy):
    (copy / "ngw/methods/foo.py").write_text(FOO)
    edit(copy / "tests/config.yaml", "  ridge: {kind: ridge}", "  ridge: {kind: ridge}\n  foo: {kind: foo}")
    edit(copy / "tests/config.yaml", "cca, ridge,", "cca, ridge, foo,")
    jobs = scheduled(copy)
    assert {job for job in jobs if not job.endswith(("tables", "figures"))} == {"fit", "retrieval"}
    assert {"tables", "figures"} <= jobs.keys()
    assert (jobs["fit"], jobs["retrieval"]) == ({"foo"}, {"all~"})
    done = snakemake(copy, "--show-failed-logs")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = table(copy / "results/tables/retrieval.csv")
    # Cosines don't see a factor, so Foo ranks exactly as ridge does.
    assert rows["foo", "16", "i2t_mrr"]["mean"] == rows["ridge", "16", "i2t_mrr"]["mean"]


def test_a_broken_feature_file_is_named_and_a_rerun_continues(copy):
    features = copy / "results/features/scenes/test/minilm-l6.safetensors"
    whole = features.read_bytes()
    features.write_bytes(whole[:-100])
    edit(copy / "ngw/methods/cca.py", "from dataclasses", "# edited\nfrom dataclasses")
    run = copy / "results/runs/scenes/effnet-lite0__minilm-l6/cca/pairs16/shared/seed0"
    record, model = run / "metrics/identifiability.json", run / "model.safetensors"
    before, target = model.stat().st_mtime_ns, str(run.parents[3].relative_to(copy) / "all~/runs.identifiability.json")
    done = snakemake(copy, "--show-failed-logs", "--", target)
    assert done.returncode != 0
    assert "minilm-l6.safetensors: expected" in done.stdout + done.stderr
    assert not record.exists()  # a stale record doesn't pass for a new one
    fitted = model.stat().st_mtime_ns
    assert fitted > before
    features.write_bytes(whole)
    done = snakemake(copy, "--show-failed-logs", "--rerun-incomplete", "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert record.exists()
    assert model.stat().st_mtime_ns == fitted  # what was done before the error isn't done again


def test_a_misspelled_key_stops_before_any_job(copy):
    edit(copy / "tests/config.yaml", "seeds: [0]", "sedes: [0]")
    done = snakemake(copy, "--dry-run")
    assert done.returncode != 0
    assert "unknown key 'sedes'. Did you mean 'seeds'?" in done.stdout + done.stderr
