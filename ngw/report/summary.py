"""The page's summary: what ran, three findings with their intervals, what is absent or did not converge.

Every sentence comes from the tables' numbers and the runs' records; intervals and corrections are those of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ngw.features.clouds import NONE
from ngw.report.frames import PAIR, budgets, count, encoder_pairs, in_setting, in_words, settings, significant
from ngw.report.layout import LEVEL, per_cent, points
from ngw.report.records import cell
from ngw.report.runs import Run, by_method

QUALITY = {  # a table's metric of quality: its name there, and in words
    "retrieval": ("mean_recall_1", "mean R@1 of both directions"),
    "classification": ("top_1", "top-1 accuracy"),
    "vqa": ("accuracy", "accuracy"),
}
TASKS = {"retrieval": "Retrieval", "classification": "Classification", "vqa": "Question answering"}
SOURCES = ("retrieval", "stages", *(f"{task}-{kind}" for task in TASKS for kind in ("differences", "against-ngw")))
ROLES = {"method": "Methods", "baseline": "Baselines", "control": "Controls"}
SHOWN = 3  # entries of a long list

Frames = Mapping[str, pd.DataFrame]  # the csv tables, by name
Runs = Mapping[str, Sequence[Run]]  # by table


@dataclass(frozen=True)
class Summary:
    """ran: facts by name.  findings: sentences by heading.  failed: sentences on what is absent or didn't converge."""

    ran: Mapping[str, str]
    findings: Mapping[str, Sequence[str]]
    failed: Sequence[str]


def summary(runs: Runs, frames: Frames) -> Summary:
    """The summary of some runs and of the csv tables (those of `SOURCES` that are there)."""
    changes = {task: frames[f"{task}-differences"] for task in TASKS if f"{task}-differences" in frames}
    changes = {task: own for task, own in changes.items() if len(own)}
    findings = {
        "Largest leads": [text for task, own in changes.items() for text in _leads(task, own)],
        "Level or behind": [_no_leads(task, own, frames.get(f"{task}-against-ngw")) for task, own in changes.items()],
        "Controls and chance": _controls(runs.get("retrieval", []), frames.get("retrieval")),
    }
    return Summary(
        _ran(runs, frames.get("stages")),
        {heading: texts for heading, texts in findings.items() if texts},
        [*_absent(runs), *_unsettled(runs)],
    )


def _ran(runs: Runs, stages: pd.DataFrame | None) -> dict[str, str]:
    """Data, encoders, methods, budgets, seeds, runs and time, as far as records say."""
    own = {table: [run.record for run in some if run.record] for table, some in runs.items()}
    records = [record for some in own.values() for record in some]
    named = [record for table, some in own.items() if table != "ablations" for record in some]
    sizes = {
        record["dataset"]: f" ({record['n_images']:,} test images, {record['n_captions']:,} captions)"
        for record in own.get("retrieval", [])
    }
    roles = {
        words: _each((record for record in named if record["role"] == role), "method") for role, words in ROLES.items()
    }
    facts = {
        "Data": [name + sizes.get(name, "") for name in _each(records, "dataset")],
        "Encoders": [" and ".join(pair) for pair in _each(records, "vision", "text")],
        **roles,
        "Fusions": _each(named, "fusion"),
        "Known pairs": budgets(_each(records, "pairs")),
        "Unpaired rows": [setting for setting in _each(records, "unpaired") if setting != NONE],
        "Seeds": map(str, sorted(_each(records, "seed"))),
        "Runs": [f"{len(some)} for {table}" for table, some in own.items() if some],
        "Time": [] if stages is None else [_time(stages)],
    }
    listed = {name: ", ".join(values) for name, values in facts.items()}
    return {name: text for name, text in listed.items() if text}


def _each(records: Iterable[Mapping[str, Any]], *keys: str) -> list[Any]:
    """The distinct values of one key, or tuples of several keys' values, over the records that have them."""
    some = (tuple(record[key] for key in keys) for record in records if all(key in record for key in keys))
    return [values if len(keys) > 1 else values[0] for values in dict.fromkeys(some)]


def _time(stages: pd.DataFrame) -> str:
    """The seconds of all jobs."""
    seconds, cpu, jobs = (stages[key].astype(float).sum() for key in ("seconds", "cpu_seconds", "jobs"))
    return f"{seconds / 60:,.1f} minutes in {jobs:,.0f} jobs, summed ({cpu / 60:,.1f} of CPU)"


def _leads(task: str, changes: pd.DataFrame) -> list[str]:
    """In each setting, the largest lead of a table's first method over the best baseline, by its interval's low end."""
    own, texts = _of_first(changes), []
    for here in [own] if "labels" in own else [in_setting(own, setting) for setting in settings(own)]:
        row = here.loc[here["low"].idxmax()]
        unclear = "" if row["low"] > 0 else " No lead is significant there."
        texts.append(
            f"{TASKS[task]} {_at(row, changes)}: {row['method']} against {row['baseline']}, the best baseline,"
            f" {_span(row, QUALITY[task][1])}.{unclear}"
        )
    return texts


def _no_leads(task: str, changes: pd.DataFrame, rivals: pd.DataFrame | None) -> str:
    """How often the first method is level with the best baseline or behind it, and which methods are ahead of it."""
    own = _of_first(changes)
    row = own.loc[own["difference"].idxmin()]
    behind, ahead = (own["high"] < 0).sum(), (own["low"] > 0).sum()
    return (
        f"{TASKS[task]}: {row['method']} is ahead of the best baseline in {ahead} of {len(own)} comparisons, level in"
        f" {len(own) - ahead - behind} (the interval includes 0), behind in {behind}. Lowest {_at(row, changes)}"
        f" against {row['baseline']}, {_span(row)}.{'' if rivals is None or rivals.empty else _overtaken(rivals)}"
    )


def _overtaken(rivals: pd.DataFrame) -> str:
    """The methods that are significantly ahead of NGW, and where; the clearest first."""
    won = rivals[(rivals["p_holm"].astype(float) < LEVEL) & (rivals["difference"] > 0)]
    won = won.sort_values("low", ascending=False, kind="stable").to_dict("records")
    some = _shortened([f"{row['method']} {_at(row, rivals)}, {_span(row)}" for row in won])
    where = f"{len(won)} of {len(rivals)} comparisons"
    return f" Significantly ahead of NGW (Holm's correction): in {where}{': ' * bool(won)}{some}."


def _of_first(changes: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of a table's first method."""
    return changes[changes["method"] == changes["method"].iloc[0]]


def _shortened(texts: Sequence[str]) -> str:
    """The first of some texts, and the number of the others."""
    more = [f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return "; ".join([*texts[:SHOWN], *more])


def _at(row: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """The place of a row, with its data and encoders where the table has several."""
    if "labels" in rows:
        place = "with all labels" if row["labels"] == "all" else f"with {row['labels']} % of the labels"
    else:
        place = f"with {count(row['pairs'])}{in_words(row['unpaired'])}"
    where = f" on {row['dataset']} ({row['vision']}, {row['text']})" if len(encoder_pairs(rows)) > 1 else ""
    return place + where


def _span(row: Mapping[str, Any], what: str = "") -> str:
    """A difference with its interval."""
    of = what and f" of {what}"
    return f"{points(row['difference'])} points{of} (95 % interval {points(row['low'])} to {points(row['high'])})"


def _controls(runs: Sequence[Run], rows: pd.DataFrame | None) -> list[str]:
    """Which controls are at chance in retrieval, each at its place furthest above chance."""
    n_images = {tuple(run.record[key] for key in PAIR): run.record["n_images"] for run in runs if run.record}
    if rows is None or not n_images:
        return []
    metric, what = QUALITY["retrieval"]
    own = rows[(rows["role"] == "control") & (rows["metric"] == metric)]
    chance = [significant(1 / n_images[who]) for who in own[PAIR].itertuples(index=False, name=None)]
    own = own.assign(excess=own["low"] - chance)
    furthest = [here.loc[here["excess"].idxmax()] for _, here in own.groupby("method", sort=False)]
    level = " or ".join(dict.fromkeys(map(per_cent, chance)))
    texts = {
        f"At chance ({level} %) in {what}": [_rate(row, own) for row in furthest if row["excess"] <= 0],
        "Above chance": [_rate(row, own) for row in furthest if row["excess"] > 0],
    }
    return [f"{head}: {'; '.join(some)}." for head, some in texts.items() if some]


def _rate(row: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """A rate with its interval."""
    low, high = per_cent(row["low"]), per_cent(row["high"])
    return f"{row['method']} {_at(row, rows)}, {per_cent(row['mean'])} % (95 % interval {low} to {high})"


def _absent(runs: Runs) -> list[str]:
    """The config's runs that have no record."""
    known = [run for some in runs.values() for run in some]
    absent = [run.path for run in known if not run.record]
    if not absent:
        return [f"All {len(known)} records of the config's runs exist."] if known else []
    return [f"{len(absent)} of {len(known)} records of the config's runs are missing; the first is {absent[0]}."]


def _unsettled(runs: Runs) -> list[str]:
    """The methods with runs that did not converge: at which budgets, and the reason of the first such run."""
    own: dict[str, dict[tuple, Run]] = {}  # a run can be in several tables
    for method, some in by_method(run for table in runs.values() for run in table).items():
        own[method] = {cell({"labels": "", **run.record, "method": method}): run for run in reversed(some)}
    texts = []
    for method, each in own.items():
        failed = [run for run in each.values() if not run.converged]
        if failed:
            places = _shortened(list(dict.fromkeys(run.budget for run in failed)))
            note = str(failed[0].record.get("note", "")).strip().removesuffix(".")
            why = f" First reason: {note}." if note else ""
            texts.append(f"{method}: {len(failed)} of {len(each)} runs did not converge ({places}).{why}")
    return texts or ["Every run that has a record converged."] * bool(own)
