"""Many runs in one job: finished runs are kept, changed ones are computed again, and a failure loses no other run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import WARP

from ngw import features
from ngw.cli import main
from ngw.methods import load
from ngw.tasks import batch


class Job:
    """A `fit` of ridge with some budgets, in a folder."""

    def __init__(self, folder: Path, pair) -> None:
        self.folder, self.pair, self.done = folder, pair, folder / "runs.fit.json"

    def model(self, pairs: int) -> Path:
        return self.folder / str(pairs) / "model.safetensors"

    def words(self, *budgets: int, stage: str = "fit", **spec) -> list[str]:
        who = {"method": "ridge", "spec": {"kind": "ridge", **spec}, "seed": 0}
        runs = [{"folder": str(pairs), "options": {**who, "pairs": str(pairs)}, "reads": {}} for pairs in budgets]
        group = {"parts": ["ngw.methods.ridge"], "folder": str(self.folder), "reads": {}, "runs": runs}
        job = {"groups": [group | {"makes": {"output": "model.safetensors"}}]}
        clouds = [str(path) for path in self.pair]
        common = ["--inputs", *clouds, "--done", str(self.done)]
        return ["batch", stage, "--runs", json.dumps(job), *common, "--", "--vision", clouds[0], "--text", clouds[1]]


@pytest.fixture
def job(tmp_path, pair) -> Job:
    return Job(tmp_path / "runs", pair)


def made(capsys) -> list[str]:
    """The budgets of the runs that were made just now."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    return [line.split("/")[-2] for line in lines if not line.endswith("already")]


def test_runs_of_one_job_are_those_of_jobs_of_their_own(job, pair, tmp_path, capsys):
    assert main(job.words(4, 6)) == 0
    assert made(capsys) == ["4", "6"]
    noted = json.loads(job.done.read_text())
    assert list(noted) == [str(job.model(4)), str(job.model(6))]
    for pairs in (4, 6):
        alone = tmp_path / "alone.safetensors"
        line = ["fit", "--method", "ridge", "--spec", '{"kind": "ridge"}', "--pairs", str(pairs), "--seed", "0"]
        assert main([*line, "--vision", str(pair[0]), "--text", str(pair[1]), "--output", str(alone)]) == 0
        x = features.read(pair[0]).x
        np.testing.assert_array_equal(load(job.model(pairs)).transform(x), load(alone).transform(x))


def test_what_is_done_is_kept_and_what_is_new_is_added(job, capsys):
    assert main(job.words(4)) == 0
    before = job.model(4).stat().st_mtime_ns
    job.done.unlink()  # as Snakemake does before a job
    capsys.readouterr()
    assert main(job.words(4, 6)) == 0
    assert made(capsys) == ["6"]
    assert job.model(4).stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["an option", "a cloud", "the file", "no file"])
def test_what_has_changed_is_made_anew(job, pair, rewrite, capsys, change):
    assert main(job.words(4, 6)) == 0
    capsys.readouterr()
    spec: dict = {}
    if change == "an option":
        spec = {"hubness": True}
    elif change == "a cloud":
        rewrite(pair[0], pooled=2 * features.read(pair[0]).x + 1)
    elif change == "the file":
        content = bytearray(job.model(6).read_bytes())
        content[-1] ^= 1
        job.model(6).write_bytes(content)
    else:
        job.model(6).unlink()
    assert main(job.words(4, 6, **spec)) == 0
    assert made(capsys) == (["4", "6"] if change in ("an option", "a cloud") else ["6"])
    assert load(job.model(6))


def test_of_methods_that_share_a_job_the_edited_one_alone_is_made_anew(tmp_path, pair, capsys, monkeypatch):
    def words() -> list[str]:
        groups = []
        for name in ("ridge", "cca"):
            options = {"method": name, "spec": {"kind": name}, "pairs": "6", "seed": 0}
            run = {"folder": "pairs6", "options": options, "reads": {}}
            group = {"parts": [f"ngw.methods.{name}"], "folder": str(tmp_path / name), "reads": {}, "runs": [run]}
            groups.append(group | {"makes": {"output": "model.safetensors"}})
        common = ["--inputs", *map(str, pair), "--done", str(tmp_path / "runs.fit.json")]
        files = ["--vision", str(pair[0]), "--text", str(pair[1])]
        return ["batch", "fit", "--runs", json.dumps({"groups": groups}), *common, "--", *files]

    assert main(words()) == 0
    capsys.readouterr()
    real = batch.fingerprint
    monkeypatch.setattr(batch, "fingerprint", lambda *parts: real(*parts) + " edited" * ("ngw.methods.cca" in parts))
    assert main(words()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("/")[-3] for line in lines if not line.endswith("already")] == ["cca"]


def test_a_run_that_fails_is_told_and_the_others_are_kept(job, capsys):
    assert main(job.words(4, 99, 6)) == 2  # of twelve pairs
    told = capsys.readouterr().err.splitlines()
    assert "99" in told[-1]
    assert told[-1].startswith("ngw batch: fit: 1 of 3 runs failed, the first of them ")
    assert told[-1].endswith("the others are kept. Mend it and run again.")
    assert not job.done.exists()
    assert not job.model(99).exists()
    assert main(job.words(4, 6)) == 0
    assert made(capsys) == []
    assert job.done.exists()


def test_a_broken_input_loses_no_finished_file_and_none_passes_for_a_new_one(job, pair, capsys):
    assert main(job.words(4)) == 0
    whole, model = pair[0].read_bytes(), job.model(4).read_bytes()
    pair[0].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    job.done.unlink()  # as Snakemake does before a job
    assert main(job.words(4)) == 2
    assert not job.done.exists()
    assert not job.model(4).exists()  # the old file waits under another name
    pair[0].write_bytes(whole)
    capsys.readouterr()
    assert main(job.words(4)) == 0
    assert made(capsys) == []
    assert job.model(4).read_bytes() == model
    assert main(job.words(4, hubness=True)) == 0
    assert [path.name for path in job.model(4).parent.iterdir()] == ["model.safetensors"]


def test_a_run_that_moves_to_another_job_leaves_its_old_one(job, tmp_path):
    other = job.folder / "ridge~" / "runs.fit.json"
    job.done = job.folder / "ridge" / "pairs4.fit.json"
    assert main(job.words(4)) == 0
    first, job.done = job.done, other
    assert main(job.words(4, 6, hubness=True)) == 0
    assert not first.exists()  # so going back to the first config makes its run anew
    assert main(job.words(6, hubness=True)) == 0
    job.done = first
    assert main(job.words(4)) == 0
    assert other.exists()  # its runs are others now
    assert load(job.model(4)).hubness is None


def test_a_lost_input_is_told_with_its_remedy(job, pair, refused):
    pair[1].unlink()
    refused(job.words(4), "text.safetensors: no such file", "--forcerun")


def test_a_stage_for_plans_is_refused_for_other_methods(job, capsys):
    line = job.words(4, stage="transport")
    assert main(line) == 2
    assert "expected a method with a plan, found 'ridge'" in capsys.readouterr().err


def test_a_run_reads_what_another_stage_has_made_in_its_folder(tmp_path, pair, capsys):
    clouds = [str(path) for path in pair]
    one = {"folder": "run", "options": {"method": "ngw", "spec": WARP, "pairs": "6", "seed": 0}, "reads": {}}

    def words(stage: str, reads: dict, made: str) -> list[str]:
        group = {"parts": ["ngw.methods.warp"], "folder": str(tmp_path), "reads": reads, "runs": [one]}
        job = {"groups": [group | {"makes": {"output": made}}]}
        common = ["--inputs", *clouds, "--done", str(tmp_path / f"{stage}.json")]
        return ["batch", stage, "--runs", json.dumps(job), *common, "--", "--vision", clouds[0], "--text", clouds[1]]

    maps = words("maps", {"plan": "plan.safetensors"}, "model.safetensors")
    assert main(words("transport", {}, "plan.safetensors")) == 0
    assert main(maps) == 0
    capsys.readouterr()
    assert main(maps) == 0
    assert "is there already" in capsys.readouterr().out
    (tmp_path / "run/plan.safetensors").unlink()
    assert main(maps) == 2
