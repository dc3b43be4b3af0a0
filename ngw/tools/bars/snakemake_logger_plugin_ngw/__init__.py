"""Progress in a terminal: the bars of snakemake-logger-plugin-rich, and the time left behind the bar of all jobs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.progress import ProgressColumn, Task
from rich.text import Text
from snakemake_logger_plugin_rich import LogHandler as Bars

ALL_JOBS = "Total Progress"  # the plugin's name for the bar of all jobs
TIMES = (
    Path(__file__).with_name("stages.csv"),
    Path("results/tables/stages.csv"),
)  # of the published run; of this folder
OTHER = 1.0  # seconds of a job whose rule is in neither
LATE = 0.25  # a run that is behind its estimate still needs this share of what its remaining jobs would take


def seconds(paths: tuple[Path, ...] = TIMES) -> dict[str, float]:
    """The mean seconds of one job of each rule, from tables of the stages stage; later tables take precedence."""
    times: dict[str, float] = {}
    for path in paths:
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                times |= {
                    row["rule"].replace("-", "_"): float(row["seconds"]) / int(row["jobs"])
                    for row in csv.DictReader(file)
                }
    return times


class TimeLeft(ProgressColumn):
    """The time left for all jobs: a job counts by the mean seconds of its rule, and the pace is that of the jobs done.

    counts: returns {rule: {"total": jobs, "completed": jobs}}.  times: `seconds`; a rule without its own takes those of
    the beginning of its name, such as `encode` for `encode_keeping_tokens`.
    """

    def __init__(self, counts: Callable[[], Mapping[str, Mapping[str, int]]], times: Mapping[str, float]) -> None:
        super().__init__()
        self.counts, self.times = counts, times
        self.done, self.reached = 0.0, 0.0  # seconds by `times`, and when they were reached

    def render(self, task: Task) -> Text:
        """About so many minutes, or seconds; nothing before the first job has ended, nor for a rule's own bar."""
        if task.description != ALL_JOBS or not task.completed or task.elapsed is None or not task.remaining:
            return Text()
        each = {rule: self.time(rule) for rule in self.counts()}
        done = sum(each[rule] * count["completed"] for rule, count in self.counts().items())
        total = sum(each[rule] * count["total"] for rule, count in self.counts().items())
        if done > self.done:
            self.done, self.reached = done, task.elapsed
        pace = self.reached / done
        left = max(pace * total - task.elapsed, pace * (total - done) * LATE)
        return Text(f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left")

    def time(self, rule: str) -> float:
        """The seconds of one job of a rule, by its name or by what its name begins with."""
        while rule and rule not in self.times:
            rule = rule.rpartition("_")[0]
        return self.times.get(rule, OTHER)


class LogHandler(Bars):
    """The plugin's class, which Snakemake finds by this name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        column = TimeLeft(lambda: self.event_handler.rule_counts, seconds())
        self.progress.columns = (*self.progress.columns, column)
