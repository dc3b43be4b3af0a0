"""What a record says of its making: from the environment that the workflow gives, else from the sources themselves."""

import subprocess
from pathlib import Path

import pytest

from ngw import record

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fresh(monkeypatch):
    """A stamp that isn't there yet, without a workflow around it."""
    monkeypatch.delenv(record.COMMIT, raising=False)
    monkeypatch.delenv(record.CONFIG, raising=False)
    record.stamp.cache_clear()
    yield monkeypatch
    record.stamp.cache_clear()


def test_the_workflow_says_commit_and_config_once_for_all_jobs(fresh):
    fresh.setenv(record.COMMIT, "(abc)")
    fresh.setenv(record.CONFIG, "123")
    fresh.setattr(record, "commit", lambda: pytest.fail("asked again"))
    found = record.stamp()
    assert (found["commit"], found["config"]) == ("(abc)", "123")
    assert {"torch", "numpy", "pot"} <= found["libraries"].keys()
    assert "cores" in found["machine"]


def test_alone_a_stage_asks_the_sources(fresh):
    assert record.stamp()["commit"] == record.commit()
    assert record.stamp()["config"] == ""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the sources are no repository here")
def test_the_commit_is_that_of_the_sources():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git tells nothing here: {done.stderr}")
    assert record.commit().strip("()").split(",")[0] == done.stdout[:12]


def test_a_digest_knows_values_not_their_order():
    one, other = {"a": 1, "b": {"c": [2], "d": 3}}, {"b": {"d": 3, "c": [2]}, "a": 1}
    assert record.digest(one) == record.digest(other)
    assert record.digest(one) != record.digest({**one, "a": 2})
