"""Load: a thousand tiny jobs, all in the queue of a real SLURM at once, by the profile of the paper. None may be lost.

    python tests/slurm/load.py [--jobs 1000]

As root, where `make test-slurm` runs. Prints the time, and what the accounting says of the jobs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cluster import Cluster, missing
from runs import ROOT, environment

SNAKEFILE = """
rule all:
    input: expand("done/{{n}}", n=range({count}))

rule tiny:
    output: "done/{{n}}"
    resources: mem_mb=300
    shell: "echo {{wildcards.n}} > {{output}}"
"""


def longest_queue(process: subprocess.Popen) -> int:
    """The most jobs that were queued or running at once, looked at until a process ends."""
    most = 0
    while process.poll() is None:
        found = subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True, check=False).stdout
        most = max(most, len(found.split()))
        time.sleep(2)
    return most


def main() -> int:
    """Run them, and say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000, help="how many")
    count = parser.parse_args().jobs
    lacking = missing(accounting=True)
    if lacking or os.geteuid() != 0:
        sys.exit(f"expected SLURM and root, found missing {lacking}, user {os.geteuid()}; see tests/slurm/conftest.py.")
    folder = Path(tempfile.mkdtemp(prefix="load-"))
    shutil.copytree(ROOT / "profiles" / "slurm", folder / "slurm")
    (folder / "paper.yaml").write_text("{}\n")
    (folder / "Snakefile").write_text(SNAKEFILE.format(count=count))
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--jobs", str(count), "--quiet", "rules"]
    with Cluster(accounting=True) as cluster, open(folder / "log", "w") as log:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment(ROOT), stdout=log, stderr=subprocess.STDOUT)
        most = longest_queue(process)
        seconds = time.monotonic() - start
        rows = cluster.output("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-S", "now-1day").split()
    done = {int(path.read_text()) for path in (folder / "done").iterdir()}
    states = Counter(row.split("|")[1] for row in rows)
    print(f"{count:,} jobs in {seconds:,.0f} s, {seconds / count:.2f} s a job; at most {most:,} in the queue at once")
    print(f"exit status {process.returncode}, {len(done):,} results, {len(rows):,} jobs accounted for: {dict(states)}")
    if process.returncode or done != set(range(count)):
        print((folder / "log").read_text()[-2000:])
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
