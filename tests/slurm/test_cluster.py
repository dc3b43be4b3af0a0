"""The workflow on a real SLURM: the same table, GPUs asked for, and nothing lost when things are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from cluster import Cluster, until
from runs import TABLE, Run

ENCODED = "results/features/scenes/test/minilm-l6.safetensors"  # by the rule encode
TRAINED = "results/features/scenes/train/effnet-lite0.safetensors"


def jobs(cluster: Cluster, run: Run) -> list[tuple[str, str, str, str]]:
    """(job, state, what it asked for, rule and wildcards) of a run's jobs, as the accounting has them."""
    name = re.search(r"SLURM run ID: (\S+)", run.text)[1]
    lines = cluster.output("sacct", "-XnP", "--name", name, "-o", "JobID,State,ReqTRES,Comment").splitlines()
    return [tuple(line.split("|")) for line in lines]


def processes(folder: Path, stage: str) -> list[int]:
    """The processes that run a stage in that folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words, where = (entry / "cmdline").read_bytes().split(b"\0"), (entry / "cwd").resolve()
        except OSError:  # it has ended meanwhile
            continue
        if where == folder and words[1:4] == [b"-m", b"ngw", stage.encode()]:
            found.append(int(entry.name))
    return found


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
    victims = until(lambda: processes(copy, "encode"), "an encoding job", 120)
    os.kill(victims[0], signal.SIGKILL)
    until(lambda: "rule fit:" in run.text, "a job that reads both training clouds", 300)
    run.kill()  # and the workflow itself
    name = re.search(r"SLURM run ID: (\S+)", run.text)[1]
    subprocess.run(["scancel", "--name", name], check=True)
    until(lambda: not cluster.output("squeue", "-h").strip(), "an empty queue", 60)
    done = {path: path.stat().st_mtime_ns for path in (copy / "results/features").rglob("*.safetensors")}
    assert run.text.count("Error in rule encode") == 1  # then it was tried again
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
        text.replace("  effnet-lite0: {kind: efficientnet-lite, variant: lite0}\n", "")
        .replace("encoders:\n", "encoders:\n  slow: {kind: python, call: 'slow:encode', width: 4}\n")
        .replace("effnet-lite0", "slow")
        .replace("keep_tokens: true", "keep_tokens: false")  # a function gives none
    )
    slow = ENCODED.replace("minilm-l6", "slow")
    other = "results/data/scenes-unseen/images.parquet"
    run = Run(copy, "--retries", "0", "--set-resources", "encode:runtime=1", "--", slow, other)
    assert run.wait() == 1
    assert (copy / other).is_file()
    assert not (copy / slow).exists()
    assert "Error in rule encode" in run.text
    states = {state for _, state, _, _ in until(lambda: jobs(cluster, run), "accounting")}
    assert "TIMEOUT" in states


def test_a_node_whose_daemon_dies_goes_on_with_its_jobs(cluster, local, copy):
    run = Run(copy, TABLE)
    (worker, *_) = until(lambda: processes(copy, "encode"), "an encoding job", 120)
    cluster.stop("slurmd", signal.SIGKILL)
    assert worker in processes(copy, "encode")  # the job has a keeper of its own
    time.sleep(5)
    cluster.start("slurmd")
    assert run.wait() == 0, run.text[-5000:]
    assert (copy / TABLE).read_bytes() == (local / TABLE).read_bytes()
    states = {state for _, state, _, _ in until(lambda: jobs(cluster, run), "accounting")}
    assert states == {"COMPLETED"}  # nothing was done twice


def test_a_training_that_is_preempted_goes_on_from_its_checkpoint(cluster, copy):
    text = (copy / "tests/config.yaml").read_text()
    short = "joint: {kind: joint, size: 16, dims: 16, layers: 1, heads: 2, steps: 4, batch: 8, looks: 2}"
    assert short in text
    long = short.replace("steps: 4", "steps: 6000").replace("looks: 2}", "looks: 300}")
    (copy / "tests/config.yaml").write_text(text.replace(short, long))
    folder = "results/joint/scenes/joint/pairsall/seed0"
    run = Run(copy, "--", folder)
    checkpoint = copy / f"{folder}.checkpoint.safetensors"
    until(checkpoint.is_file, "a checkpoint", 240)
    first = checkpoint.stat().st_mtime_ns  # of step 0
    until(lambda: checkpoint.stat().st_mtime_ns > first, "a second checkpoint", 120)
    urgent = ["sbatch", "--wait", "--partition", "urgent", "--exclusive", "--output", "/dev/null", "--wrap", "sleep 5"]
    subprocess.run(urgent, check=True, capture_output=True, timeout=120)  # it has the node to itself
    assert run.wait() == 0, run.text[-5000:]
    (log,) = (copy / "results/logs/joint").rglob("*.log")
    assert re.search(r"going on from step [1-9]\d*", log.read_text())
    assert not checkpoint.exists()
    weights = copy / folder / "model.safetensors"
    broken = weights.read_bytes()
    weights.unlink()
    again = Run(copy, "--forcerun", "joint", "--", folder, log="again.log")  # as many threads, undisturbed
    assert again.wait() == 0, again.text[-5000:]
    assert weights.read_bytes() == broken


def test_a_disk_that_fills_up_stops_the_run_and_a_larger_one_lets_it_go_on(cluster, local, copy):
    results = copy / "results"
    results.mkdir()
    size = sum(path.stat().st_size for path in (local / "results").rglob("*") if path.is_file())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size // 2}", "tmpfs", str(results)], check=True)
    try:
        run = Run(copy, TABLE, "--retries", "0")
        assert run.wait() != 0
        logs = [path.read_text() for path in (results / "logs").rglob("*.log")]
        assert any("expected room for the file" in text for text in logs), run.text[-3000:]
        done = {path: path.stat().st_mtime_ns for path in results.rglob("*.safetensors")}
        assert not list(results.rglob("*.tmp*"))
        subprocess.run(["mount", "-o", "remount,size=1g", str(results)], check=True)
        again = Run(copy, TABLE, log="again.log")
        assert again.wait() == 0, again.text[-5000:]
        assert (copy / TABLE).read_bytes() == (local / TABLE).read_bytes()
        assert {path: path.stat().st_mtime_ns for path in done} == done  # nothing finished was made again
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)
