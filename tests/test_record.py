"""A record's order on disk, and its provenance: from the workflow's environment, else from the sources."""

import json
import subprocess
from pathlib import Path

import pytest

from ngw import io
from ngw.errors import InputError
from ngw.record import Record, fusion_run, origin, run, spaces, status

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fresh(monkeypatch):
    """A stamp that isn't there yet, without a workflow around it."""
    monkeypatch.delenv(origin.COMMIT, raising=False)
    monkeypatch.delenv(origin.CONFIG, raising=False)
    origin.stamp.cache_clear()
    yield monkeypatch
    origin.stamp.cache_clear()


def test_the_workflow_says_commit_and_config_once_for_all_jobs(fresh):
    fresh.setenv(origin.COMMIT, "(abc)")
    fresh.setenv(origin.CONFIG, "123")
    fresh.setattr(origin, "commit", lambda: pytest.fail("asked again"))
    found = origin.stamp()
    assert (found["commit"], found["config"]) == ("(abc)", "123")
    assert {"torch", "numpy", "pot"} <= found["libraries"].keys()
    assert "cores" in found["machine"]


def test_alone_a_stage_asks_the_sources(fresh):
    assert origin.stamp()["commit"] == origin.commit()
    assert origin.stamp()["config"] == ""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the sources are no repository here")
def test_the_commit_is_that_of_the_sources():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git tells nothing here: {done.stderr}")
    assert origin.commit().strip("()").split(",")[0] == done.stdout[:12]


def test_a_digest_knows_values_not_their_order():
    one, other = {"a": 1, "b": {"c": [2], "d": 3}}, {"b": {"d": 3, "c": [2]}, "a": 1}
    assert origin.digest(one) == origin.digest(other)
    assert origin.digest(one) != origin.digest({**one, "a": 2})


HEAD = {
    "ngw": "0.1",
    "seed": "3",
    "kind": "ridge",
    "text": "t",
    "dataset": "d",
    "vision": "v",
    "method": "m",
    "pairs": "30",
    "unpaired": "shared",
}
STAMP = ["version", "commit", "config", "libraries", "machine"]


def test_a_record_keeps_its_order_identity_status_stamp_results(tmp_path):
    who = run(HEAD, "baseline") | status("retrieval", 1, 4, 8)
    Record.of(who, metrics={"a": 0.5}, cost={}).write(tmp_path / "r.json")
    assert list(json.loads((tmp_path / "r.json").read_text())) == [
        "dataset", "vision", "text", "method", "pairs", "unpaired", "seed", "kind", "role", "task", "task_version",
        "n_images", "n_captions", "converged", "note", *STAMP, "metrics", "cost", io.digests.KEY,
    ]  # fmt: skip
    found = Record.read(tmp_path / "r.json")
    assert found == Record.of(who, metrics={"a": 0.5}, cost={})
    assert (found["seed"], found["role"], found["converged"], found["note"]) == (3, "baseline", True, "")


def test_a_task_adds_its_scores_behind_what_the_run_says_of_itself():
    who = fusion_run(spaces({"dataset": "d", "encoder": "v"}, {"encoder": "t"}), "gated", {}, "10", 0)
    scored = Record.of(who, vocabulary={"val": 1}, cost={}).scored("vqa", 2, metrics={}, vocabulary=1)
    assert list(scored) == [
        "dataset", "vision", "text", "fusion", "aligner", "pairs", "unpaired", "labels", "seed", *STAMP, "vocabulary",
        "cost", "task", "task_version", "metrics",
    ]  # fmt: skip
    assert (scored["aligner"], scored["pairs"], scored["vocabulary"]) == (None, "0", 1)


def test_a_record_that_is_not_there_or_not_whole_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"r\.json: .*no such record; run the stage that writes it"):
        Record.read(tmp_path / "r.json")
    Record.of({"table": "t"}).write(tmp_path / "r.json")
    (tmp_path / "r.json").write_text((tmp_path / "r.json").read_text().replace('"t"', '"u"'))
    with pytest.raises(InputError, match=r"r\.json: "):
        Record.read(tmp_path / "r.json")
