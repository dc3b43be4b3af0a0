"""The workflow on a real SLURM: the same table, GPUs asked for, and nothing lost when things are killed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cluster import Cluster, until
from conftest import TABLE, Run

ENCODED = "results/features/scenes/test/effnet-lite0.safetensors"
TRAINED = "results/features/scenes/train/effnet-lite0.safetensors"


def jobs(cluster: Cluster, run: Run) -> list[tuple[str, str, str, str]]:
    """(job, state, what it asked for, rule and wildcards) of a run's jobs, as the accounting has them."""
    name = re.search(r"SLURM run ID: (\S+)", run.text)[1]
    lines = cluster.output("sacct", "-XnP", "--name", name, "-o", "JobID,State,ReqTRES,Comment").splitlines()
    return [tuple(line.split("|")) for line in lines]


def running(cluster: Cluster, rule: str) -> list[str]:
    """The ids of jobs of a rule that run now."""
    lines = cluster.output("squeue", "-h", "-t", "RUNNING", "-o", "%i|%k").splitlines()
    return [line.split("|")[0] for line in lines if f"rule_{rule}_" in line or line.split("|")[1].startswith(rule)]


def test_a_run_through_slurm_gives_the_local_table(cluster, local, copy):
    run = Run(copy, TABLE)
    assert run.wait() == 0, run.text[-5000:]
    for name in ("retrieval.csv", "retrieval.md", "retrieval.tex", "retrieval-differences.csv"):
        assert (copy / "results/tables" / name).read_bytes() == (local / "results/tables" / name).read_bytes(), name
    found = until(lambda: (all_ := jobs(cluster, run)) and {j[1] for j in all_} == {"COMPLETED"} and all_, "accounting")
    asked = {rule: want for _, _, want, comment in found for rule in [comment.split("_wildcards_")[0]]}
    assert "gres/gpu=1" in asked["rule_encode"]
    assert "gres/gpu" not in asked["rule_fit"]
    assert "rule_tables" not in asked  # made where Snakemake runs
    assert len(found) > 20


def test_what_was_killed_is_made_again_and_what_was_done_is_not(cluster, local, copy):
    run = Run(copy, TABLE)
    until(lambda: running(cluster, "encode"), "an encoding job", 120)
    victim = running(cluster, "encode")[0]
    subprocess.run(["scancel", "--signal=KILL", "--full", victim], check=True)  # as a node's failure would
    until(lambda: (copy / TRAINED).is_file(), "features", 200)
    run.kill()  # and the workflow itself
    name = re.search(r"SLURM run ID: (\S+)", run.text)[1]
    subprocess.run(["scancel", "--name", name], check=True)
    until(lambda: not cluster.output("squeue", "-h").strip(), "an empty queue", 60)
    done = {path: path.stat().st_mtime_ns for path in (copy / "results/features").rglob("*.safetensors")}
    unlocked = Run(copy, "--unlock", log="unlock.log")
    assert unlocked.wait() == 0, unlocked.text
    again = Run(copy, TABLE, log="again.log")
    assert again.wait() == 0, again.text[-5000:]
    assert (copy / TABLE).read_bytes() == (local / TABLE).read_bytes()
    assert Path(copy / TRAINED).stat().st_mtime_ns == done[copy / TRAINED]
    assert not [path for path in (copy / "results").rglob("*") if ".tmp" in path.name]


def test_a_job_over_its_memory_is_tried_with_more(cluster, copy):
    run = Run(copy, "--set-resources", "encode:mem_mb=150+700*(attempt-1)", "--", ENCODED)
    assert run.wait() == 0, run.text[-5000:]
    states = [state for _, state, _, comment in until(lambda: jobs(cluster, run), "accounting") if "encode" in comment]
    assert len(states) >= 2
    assert states[-1] == "COMPLETED"
    assert "COMPLETED" not in states[:-1]


def test_a_job_over_its_time_fails_by_name_and_the_others_go_on(cluster, copy):
    # SLURM's clock counts minutes, and looks each half minute.
    (copy / "slow.py").write_text("import time\n\n\ndef encode(items):\n    time.sleep(600)\n")
    text = (copy / "tests/config.yaml").read_text()
    (copy / "tests/config.yaml").write_text(
        text.replace("{kind: efficientnet-lite, variant: lite0}", "{kind: python, call: 'slow:encode', width: 4}")
    )
    other = "results/features/scenes/test/minilm-l6.safetensors"
    run = Run(copy, "--retries", "0", "--set-resources", "encode:runtime=1", "--", ENCODED, other)
    assert run.wait() == 1
    assert (copy / other).is_file()
    assert not (copy / ENCODED).exists()
    assert "Error in rule encode" in run.text
    states = {state for _, state, _, _ in until(lambda: jobs(cluster, run), "accounting")}
    assert "TIMEOUT" in states
