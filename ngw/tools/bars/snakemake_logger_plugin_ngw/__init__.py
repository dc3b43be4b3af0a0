"""Progress in a terminal: the bars of snakemake-logger-plugin-rich, and the time left behind the bar of all jobs."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text
from snakemake_logger_plugin_rich import LogHandler as Bars

ALL_JOBS = "Total Progress"  # what the bar of all jobs is called there


class TimeLeft(ProgressColumn):
    """The time left for all jobs, if each takes as long as those that are done took on average."""

    def render(self, task: Task) -> Text:
        """About so many minutes, or seconds; nothing before the first job has ended, nor for a rule's own bar."""
        if task.description != ALL_JOBS or not task.completed or task.elapsed is None or not task.remaining:
            return Text()
        seconds = task.elapsed / task.completed * task.remaining
        return Text(f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left")


class LogHandler(Bars):
    """The plugin's class, which Snakemake finds by this name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.progress.columns = (*self.progress.columns, TimeLeft())
