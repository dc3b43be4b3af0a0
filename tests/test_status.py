"""What is done and what is left, from records on disk; what a config will ask for, from a dry run and constants."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ngw.__main__ import main
from ngw.report import plan
from ngw.report.status import merged

ROOT = Path(__file__).parents[1]


@pytest.fixture
def root(tmp_path):
    """A folder with the project's config and schema, and nothing made."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    shutil.copytree(ROOT / "workflow" / "schemas", tmp_path / "workflow" / "schemas")
    return tmp_path


def told(capsys, root, *options):
    assert main(["status", "--root", str(root), *options]) == 0
    out = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in out[1:-1]}, out[-1]


def test_done_and_left_are_counted_by_table(root, capsys):
    before, page = told(capsys, root, str(ROOT / "tests" / "config.yaml"))
    assert page.endswith("index.html is not there yet")
    assert list(before) == ["retrieval", "identifiability", "ablations", "vqa", "captions", "images"]
    done, total, first = before["retrieval"]
    assert (done, int(total) > 10) == ("0", True)
    (root / first).parent.mkdir(parents=True)
    (root / first).write_text("{}")
    after, _ = told(capsys, root, str(ROOT / "tests" / "config.yaml"))
    assert after["retrieval"][:2] == ["1", total]
    assert after["retrieval"][2] != first
    assert after["vqa"] == before["vqa"]


def test_a_config_lies_over_another_key_by_key():
    base = {"run": {"seeds": [0, 1], "pairs": [30]}, "tables": {"vqa": {"labels": [1]}}}
    assert merged(base, {"run": {"seeds": [2]}, "tables": {"vqa": None}}) == {
        "run": {"seeds": [2], "pairs": [30]}, "tables": {"vqa": None},
    }  # fmt: skip


def test_a_missing_config_is_told(root, refused):
    refused(["status", "--root", str(root), "gone.yaml"], "gone.yaml: no such config file")


DRY = """
rule encode:
    input: a
    wildcards: dataset=coco, split=test, encoder=v

rule transport:
    wildcards: dataset=coco, vision=v
localrule tables:
    output: t

rule transport:
    wildcards: dataset=small, vision=v
"""


def test_jobs_are_counted_by_rule_and_data_set():
    found = plan.counted(DRY)
    assert found == {("encode", "coco"): 1, ("transport", "coco"): 1, ("transport", "small"): 1, ("tables", ""): 1}


def test_hours_follow_the_training_images_as_the_rule_does():
    small = {"kind": "scenes", "sizes": {"train": plan.COCO // 2}}
    text = plan.lines(plan.counted(DRY), {"coco": {"kind": "coco"}, "small": small})
    (line,) = [line.split() for line in text if line.startswith("transport")]
    assert line[1] == "2"
    assert float(line[3]) == pytest.approx(1.25 * plan.JOBS["transport"].cpu, abs=0.06)  # half the images: a quarter
    assert text[-1].split()[:2] == ["all", "4"]


@pytest.mark.workflow
def test_the_tiny_config_is_planned_from_a_real_dry_run(capsys):
    assert main(["plan", "--root", str(ROOT), str(ROOT / "tests" / "config.yaml")]) == 0
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:-1]}
    assert int(table["transport"][0]) > 3
    assert int(table["all"][0]) > 90


def test_a_config_that_snakemake_refuses_is_told(tmp_path, root, refused):
    refused(["plan", "--root", str(root)], "snakemake --dry-run: expected a plan")
