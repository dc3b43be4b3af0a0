"""Progress in a terminal: the time left behind the bar of all jobs, and that Snakemake takes the plugin there."""

from __future__ import annotations

import os
import pty
import re
import sys
from contextlib import suppress
from importlib import util
from pathlib import Path

import pytest
from rich.progress import Progress

from ngw.tools import bars

SNAKEFILE = """\
rule all:
    input: expand("{k}.txt", k=range(3))

rule one:
    output: "{k}.txt"
    shell: "sleep 1; touch {output}"
"""


@pytest.fixture
def time_left():
    """The column of the plugin, loaded from where Snakemake finds it."""
    path = bars.FOLDER / "snakemake_logger_plugin_ngw/__init__.py"
    spec = util.spec_from_file_location("plugin", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TimeLeft()


@pytest.mark.parametrize(
    ("name", "seconds", "done", "words"),
    [
        ("Total Progress", 60, 0, ""),
        ("Total Progress", 60, 5, "about 60 s left"),
        ("Total Progress", 300, 2, "about 20 min left"),
        ("Total Progress", 300, 10, ""),
        ("fit", 60, 5, ""),
    ],
)
def test_the_time_left_is_that_of_the_jobs_done_for_each_that_is_not(time_left, name, seconds, done, words):
    now = [0.0]
    progress = Progress(get_time=lambda: now[0], disable=True)
    task = progress.add_task(name, total=10)
    now[0] = float(seconds)
    progress.update(task, completed=done)
    assert str(time_left.render(progress.tasks[0])) == words


def test_a_terminal_shows_bars_and_the_time_left(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.environ |= {"COLUMNS": "100", "TERM": "xterm", "PYTHONPATH": str(Path(bars.__file__).parents[3])}
        os.execv(sys.executable, [sys.executable, "-m", "ngw", "run", "--cores", "1"])
    pieces = []
    with suppress(OSError):  # how Linux says that the command has closed its side
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    shown = b"".join(pieces).decode()
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown
    assert "Total Progress" in shown
    assert re.search(r"about \d s left", shown)
    assert len(list(tmp_path.glob("*.txt"))) == 3
