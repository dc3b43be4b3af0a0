"""What is done and what is left: counted from records on disk, for a config over another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ngw.__main__ import main
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
    before, page = told(capsys, root, "--configfile", str(ROOT / "tests" / "config.yaml"))
    assert page.endswith("index.html is not there yet")
    assert list(before) == ["retrieval", "identifiability", "ablations", "vqa", "captions", "images"]
    done, total, first = before["retrieval"]
    assert (done, int(total) > 10) == ("0", True)
    (root / first).parent.mkdir(parents=True)
    (root / first).write_text("{}")
    after, _ = told(capsys, root, "--configfile", str(ROOT / "tests" / "config.yaml"))
    assert after["retrieval"][:2] == ["1", total]
    assert after["retrieval"][2] != first
    assert after["vqa"] == before["vqa"]


def test_a_config_lies_over_another_key_by_key():
    base = {"run": {"seeds": [0, 1], "pairs": [30]}, "tables": {"vqa": {"labels": [1]}}}
    assert merged(base, {"run": {"seeds": [2]}, "tables": {"vqa": None}}) == {
        "run": {"seeds": [2], "pairs": [30]}, "tables": {"vqa": None},
    }  # fmt: skip


def test_a_missing_config_is_told(root, refused):
    refused(["status", "--root", str(root), "--configfile", "gone.yaml"], "gone.yaml: no such config file")
