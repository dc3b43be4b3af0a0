"""Many jobs at once on the real thing: none is lost. `python tests/slurm/load.py` does it with a thousand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = 25


@pytest.mark.usefixtures("slurm")
def test_no_job_of_a_full_queue_is_lost():
    command = [sys.executable, str(Path(__file__).with_name("load.py")), "--jobs", str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{COUNT} results, {COUNT} jobs accounted for: {{'COMPLETED': {COUNT}}}", done.stdout)
