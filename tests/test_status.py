"""Finished and missing results, from records on disk; the resources a config needs, from a dry run and constants."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from tiny_repository import tiny_repository

from ngw import io
from ngw.cli import main
from ngw.tools import status
from ngw.tools.status import merged

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The project at tiny sizes, and nothing made."""
    return tiny_repository(tmp_path_factory.mktemp("status") / "repository")


def told(capsys, root):
    assert main(["status", "--root", str(root)]) == 0
    out = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in out[1:-1]}, out[-1]


def test_done_stale_and_left_are_counted_by_table(root, capsys):
    before, page = told(capsys, root)
    assert page.endswith("index.html is not there yet")
    assert list(before) == ["retrieval", "classification", "identifiability", "ablations", "vqa", "captions", "images"]
    done, stale, left, total, first = before["retrieval"]
    assert (done, stale, left, int(total) > 10) == ("0", "0", total, True)
    (root / first).parent.mkdir(parents=True)
    (root / first).write_text("{}")  # which nothing that is there has made
    after, _ = told(capsys, root)
    assert after["retrieval"] == ["0", "1", str(int(total) - 1), total, first]
    assert after["vqa"] == before["vqa"]


def test_of_runs_that_share_a_job_those_are_stale_whose_method_is_fitted_anew(tmp_path):
    records, fits = {"retrieval": {"a": "scored", "b": "scored"}}, {"a": "fit-a", "b": "fit-b"}
    for name in "ab":
        (tmp_path / name).touch()

    def stale(*outputs: str) -> str:
        todo = [status.Job("rule", [output], "") for output in outputs]
        return status.lines(records, todo, tmp_path, fits)[1].split()[2]

    assert [stale(), stale("fit-b", "scored"), stale("scored")] == ["0", "1", "2"]


PARAMS = "Params have changed since last execution: Union of exclusive params before and now across all output: "
CODE = "'io.py:0123456789 methods/cca.py:{}'"


@pytest.mark.parametrize(
    ("reason", "causes"),
    [
        ("Missing output files: a; Input files updated by another job: b", []),
        ("Updated input files: a", ["an input is newer"]),
        ("Code has changed since last execution", ["the rule's command has changed"]),
        (
            f"{PARAMS}before: {CODE.format('abcdef0123')} now: {CODE.format('abcdef0124')} ; Code has changed since",
            ["methods/cca.py has changed", "the rule's command has changed"],
        ),
        (
            f"{PARAMS}before: 'my%20data:0123456789','{{\"kind\": 1}}' now: 'my%20data:missing','{{\"kind\": 2}}' ",
            ["an option has changed", "my data has changed"],
        ),
        (f"{PARAMS}before: <nothing exclusive> now: 'data/a.npy:0123456789' ", ["data/a.npy has changed"]),
    ],
)
def test_snakemakes_reasons_are_told_by_what_has_changed(reason, causes):
    assert sorted(status.causes(reason)) == causes


def test_a_job_is_told_with_its_outputs():
    text = "rule fit:\n    input: a\n    output: results/m, results/n\n    reason: Updated input files: a\n"
    assert status.jobs("Building\n" + text) == [status.Job("fit", ["results/m", "results/n"], "Updated input files: a")]


def test_a_config_lies_over_another_key_by_key():
    base = {"run": {"seeds": [0, 1], "pairs": [30]}, "tables": {"vqa": {"labels": [1]}}}
    assert merged(base, {"run": {"seeds": [2]}, "tables": {"vqa": None}}) == {
        "run": {"seeds": [2], "pairs": [30]}, "tables": {"vqa": None},
    }  # fmt: skip


def test_a_missing_config_is_told(root, refused):
    refused(["status", "--root", str(root), "gone.yaml"], "gone.yaml: no such config file")


@pytest.mark.workflow
def test_the_tiny_config_is_planned_from_a_real_dry_run(capsys):
    assert main(["plan", "--root", str(ROOT), str(ROOT / "tests" / "config.yaml")]) == 0
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:-1]}
    assert int(table["transport"][0]) > 3
    assert int(table["all"][0]) > 80


def test_a_config_that_snakemake_refuses_is_told(tmp_path, refused):
    shutil.copy(ROOT / "config.yaml", tmp_path)  # and no Snakefile
    refused(["plan", "--root", str(tmp_path)], "snakemake --dry-run: expected a plan")


def test_a_file_s_origin_is_found_however_its_path_is_written(tmp_path, monkeypatch, capsys, refused):
    monkeypatch.chdir(tmp_path)
    note = {"rule": "tables", "shellcmd": "make it", "input": [], "starttime": 0, "endtime": 1}
    name = base64.urlsafe_b64encode(b"results/a.csv").decode()
    io.write_json(tmp_path / ".snakemake/metadata" / name, note)
    for path in ("results/a.csv", "./results//a.csv", str(tmp_path / "results/a.csv")):
        assert main(["provenance", path]) == 0
        assert capsys.readouterr().out.startswith("results/a.csv: rule tables, ")
    for path in ("", "/elsewhere"):
        refused(["provenance", path], "expected a file that Snakemake has made in ., found no note of it")
