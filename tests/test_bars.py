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
def plugin():
    """The plugin, loaded from where Snakemake finds it."""
    path = bars.FOLDER / "snakemake_logger_plugin_ngw/__init__.py"
    spec = util.spec_from_file_location("plugin", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def left(plugin):
    """left(elapsed, fit=jobs done of 2, others=of 10): the words behind a bar, a fit being 20 seconds, others 1."""
    counts = {"fit": {"total": 2, "completed": 0}, "others": {"total": 10, "completed": 0}}
    column, now = plugin.TimeLeft(lambda: counts, {"fit": 20.0}), [0.0]
    progress = Progress(get_time=lambda: now[0], disable=True)
    task = progress.add_task("Total Progress", total=12)

    def words(elapsed: float, fit: int, others: int, name: str = "Total Progress") -> str:
        now[0], counts["fit"]["completed"], counts["others"]["completed"] = elapsed, fit, others
        progress.update(task, completed=fit + others, description=name)
        return str(column.render(progress.tasks[0]))

    return words


def test_the_time_left_follows_from_what_jobs_of_each_rule_take(left):
    assert left(5, 0, 0) == ""
    assert left(40, 1, 0) == "about 60 s left"  # a third of the work took 40 seconds: half its pace
    assert left(70, 1, 0) == "about 30 s left"  # and it runs on
    assert left(105, 1, 0) == "about 15 s left"  # a quarter of what the remaining jobs would take, at least
    assert left(400, 2, 0) == "about 2 min left"  # a slower pace: 400 seconds for 40 of 50
    assert left(400, 2, 0, name="fit") == ""
    assert left(500, 2, 10) == ""


def test_times_of_the_own_folder_come_before_the_published_ones(plugin, tmp_path):
    for name, lines in (("published", "encode,2,10\nfit-all,1,7\n"), ("own", "encode,4,4\n")):
        (tmp_path / name).write_text("rule,jobs,seconds\n" + lines)
    times = plugin.seconds((tmp_path / "published", tmp_path / "own", tmp_path / "none"))
    assert times == {"encode": 1.0, "fit_all": 7.0}
    column = plugin.TimeLeft(dict, times)
    assert [column.time(rule) for rule in ("encode_keeping_tokens", "fit_all", "fit")] == [1.0, 7.0, plugin.OTHER]


def test_the_published_times_have_the_rules_that_take_long(plugin):
    assert {"encode", "fit", "transport", "fuse", "train_captioner"} <= set(plugin.seconds(plugin.TIMES[:1]))


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
    assert re.search(r"about \d+ s left", shown)
    assert len(list(tmp_path.glob("*.txt"))) == 3
