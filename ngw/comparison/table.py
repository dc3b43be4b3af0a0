"""The result of a comparison: its runs, their means over seeds, and its printed table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ngw.errors import InputError
from ngw.methods.base import Method

SHOWN = (("R@1", "recall_1"), ("R@10", "recall_10"), ("MRR", "mrr"))
MOST_NAMED = 100  # doubted pairs that the table names


class Run(NamedTuple):
    """One fit and its test.

    method, pairs, seed: its name, its budget of known pairs and its seed.
    metrics: on the held-out items, by name: i2t_recall_1 (x to y), t2i_recall_1 (y to x) and others.
    converged, note: whether the fit did, and the reason if not.
    model: kept for the first seed alone, since a model can be as large as the clouds.
    doubted: ids of the known pairs that contradict the others and were left out (`Warp`'s `robust`): rows of y.
    """

    method: str
    pairs: str
    seed: int
    metrics: dict[str, float]
    converged: bool
    note: str
    model: Method | None
    doubted: np.ndarray


@dataclass
class Comparison:
    """The result of `compare`; as text, a table.

    runs: one per method, budget and seed.
    test: the number of held-out items.
    repeated: the number of test rows of x and of y that equal a training row, the most over the seeds; such copies
        make the test easier.
    tested: the test in words.
    ways: both directions in words.
    items: what the doubted pairs' ids are, in words.
    """

    runs: list[Run]
    test: int
    repeated: dict[str, int] = field(default_factory=dict)
    tested: str = ""
    ways: tuple[str, str] = ("x to y", "y to x")
    items: str = "rows"

    @property
    def budgets(self) -> list[str]:
        """The budgets of known pairs."""
        return list(dict.fromkeys(run.pairs for run in self.runs))

    @property
    def seeds(self) -> list[int]:
        """The seeds."""
        return list(dict.fromkeys(run.seed for run in self.runs))

    def at(self, pairs: int | str) -> Comparison:
        """The runs with one budget of known pairs."""
        if str(pairs) not in self.budgets:
            raise InputError(f"at: expected one of the budgets {', '.join(self.budgets)}, found {pairs!r}; name one.")
        return replace(self, runs=[run for run in self.runs if run.pairs == str(pairs)])

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Every metric's mean over the seeds, by the methods' names; for a single budget."""
        return self._over_seeds("metrics", np.mean)

    @property
    def std(self) -> dict[str, dict[str, float]]:
        """Every metric's standard deviation over the seeds (n - 1; 0 for one seed), by the methods' names."""
        return self._over_seeds("std", lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0)

    @property
    def models(self) -> dict[str, Method]:
        """The fitted methods of the first seed, by name; for a single budget."""
        return {run.method: run.model for run in self._of_one_budget("models") if run.model is not None}

    @property
    def first(self) -> tuple[Run, Method]:
        """The run of the first method, budget and seed, and its fitted method."""
        run = self.runs[0]
        assert run.model is not None  # the first seed keeps its models
        return run, run.model

    def _of_one_budget(self, name: str) -> list[Run]:
        if len(self.budgets) > 1:
            first, known = self.budgets[0], ", ".join(self.budgets)
            raise InputError(f"{name}: expected one budget of pairs, found {known}; take at({first!r}).{name}, say.")
        return self.runs

    def _over_seeds(self, name: str, of: Callable[[list[float]], Any]) -> dict[str, dict[str, float]]:
        groups: dict[str, list[Run]] = {}
        for run in self._of_one_budget(name):
            groups.setdefault(run.method, []).append(run)
        return {
            method: {metric: float(of([run.metrics[metric] for run in runs])) for metric in runs[0].metrics}
            for method, runs in groups.items()
        }

    def __str__(self) -> str:
        several = len(self.budgets) > 1
        lines = [["", *["pairs"] * several, *(f"{name} {way}" for way in self.ways for name, _ in SHOWN)]]
        for pairs in self.budgets:
            lines += [[name, *[pairs] * several, *numbers] for name, *numbers in self.at(pairs)._lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

        def aligned(line: list[str]) -> str:
            first, *rest = zip(line, widths, strict=True)
            return "  ".join([str.ljust(*first), *(str.rjust(*cell) for cell in rest)])

        return "\n".join([self._title(), *map(aligned, lines), *self._notes()])

    def _lines(self) -> list[list[str]]:
        """Each method's name and numbers at one budget, with their spread where there are several seeds."""
        mean, std, several = self.metrics, self.std, len(self.seeds) > 1
        unsettled = {run.method for run in self.runs if not run.converged}
        shown = [f"{way}_{metric}" for way in ("i2t", "t2i") for _, metric in SHOWN]
        return [
            [
                name + "†" * (name in unsettled),
                *(f"{100 * of[m]:.1f}" + f" ± {100 * std[name][m]:.1f}" * several for m in shown),
            ]
            for name, of in mean.items()
        ]

    def _title(self) -> str:
        budget = f"{self.budgets[0]} known pairs" if len(self.budgets) == 1 else "by number of known pairs"
        tested = self.tested or f"{self.test:,} test rows"
        spread = f", mean ± standard deviation over {len(self.seeds)} seeds" * (len(self.seeds) > 1)
        return f"Retrieval in per cent, {budget}, {tested}{spread}; chance: {100 / self.test:.2g}"

    def _notes(self) -> list[str]:
        notes = list(dict.fromkeys(f"† {run.method}: {run.note}" for run in self.runs if not run.converged))
        most = ", of the seed with the most" * (len(self.seeds) > 1)
        counted = {side: n for side, n in self.repeated.items() if n}
        notes += [f"Test rows of {side} that equal a training row: {n:,}{most}" for side, n in counted.items()]
        return notes + [self._doubt(run) for run in self.runs if run.seed == self.seeds[0] and len(run.doubted)]

    def _doubt(self, run: Run) -> str:
        """Which known pairs a run left out."""
        ids, n = ", ".join(map(str, np.sort(run.doubted)[:MOST_NAMED])), len(run.doubted)
        rest = f" and {n - MOST_NAMED:,} more" * (n > MOST_NAMED)
        of_seed = f" (seed {run.seed})" * (len(self.seeds) > 1)
        return (
            f"{run.method}, {run.pairs} known pairs{of_seed}: left out {n:,} that contradict the others, {self.items} "
            f"{ids}{rest}; check them."
        )
