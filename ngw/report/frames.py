"""The long form of a table: a pandas frame, a row for each (dataset, vision, text, method, pairs, unpaired, metric).

`mean` and `std` (n - 1 in the denominator) are over seeds. The spread of a single seed is unknown: its `std` is 0, and
`n_seeds` says why. `low` and `high` are the 95 % bootstrap interval of the mean where a metric has one, else the
smallest and the largest over seeds.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ngw.features.clouds import NONE
from ngw.report.records import IDENTITY, Record, identity, who_columns

PAIR = ["dataset", "vision", "text"]
CHANGE = ["difference", "difference_low", "difference_high", "p"]
FLOATS = ["mean", "std", "low", "high", *CHANGE, "step", "support"]
KINDS = dict.fromkeys(FLOATS, float) | {"n_seeds": int, "k": int, "converged": bool, "null": bool}  # others are texts

Pair = tuple[str, str, str]  # dataset, vision, text


def over_seeds(
    records: Sequence[Record], values: Callable[[Record], Mapping[str, float | None]],
    intervals: Mapping[tuple, tuple[float, float]] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rows of each run's values over its seeds, in the records' order; a value that some seed lacks has no row.

    intervals: {(*identity, metric): (low, high)}.
    """
    keys = [*who_columns(records), "metric"]
    status = ["role", "converged"]
    values_of_runs = (
        identity(record) | {"metric": metric, "value": value} | {key: record[key] for key in status}
        for record in records
        for metric, value in values(record).items()
    )
    runs = pd.DataFrame(values_of_runs, columns=[*keys, "value", *status]).astype({"value": float, "converged": bool})
    rows = runs.groupby(keys, sort=False, as_index=False).agg(
        mean=("value", "mean"), std=("value", _std), low=("value", "min"), high=("value", "max"),
        n_seeds=("value", "size"), known=("value", "count"), role=("role", "first"), converged=("converged", "all"),
    )  # fmt: skip
    rows = rows[rows["known"] == rows["n_seeds"]].drop(columns="known")
    spans = zip(rows[keys].itertuples(index=False, name=None), rows["low"], rows["high"], strict=True)
    rows["low"], rows["high"] = np.array([(intervals or {}).get(key, ends) for key, *ends in spans]).reshape(-1, 2).T
    return rounded(rows, ["mean", "std", "low", "high"])


def keys_of(rows: pd.DataFrame) -> list[str]:
    """The columns that tell one row from another."""
    return [key for key in (*IDENTITY, "labels", "metric") if key in rows]


def _std(values: pd.Series) -> float:
    """The standard deviation over seeds, to NumPy's last bit."""
    return float(np.std(values.to_numpy(), ddof=1)) if len(values) > 1 else 0.0


def rounded(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows whose numbers are rounded, so that every rendering shows the same ones."""
    return rows.assign(**{column: rows[column].map(significant, na_action="ignore") for column in columns})


def significant(value: float) -> float:
    """Six significant digits (large counts stay whole): enough for a test set, and the same on every machine."""
    return float(f"{value:.6g}" if abs(value) < 1e5 else round(value))


def to_csv(rows: pd.DataFrame, **options: Any) -> str:
    """Rows as csv text: rates as fractions, booleans as true and false, an empty cell for a missing number."""
    words = {column: rows[column].map({True: "true", False: "false"}) for column in rows.select_dtypes(bool)}
    return rows.assign(**words).to_csv(index=False, lineterminator="\n", **options)


def read_csv(text: str) -> pd.DataFrame:
    """Rows from the text of `to_csv`; a text that looks like a missing number, such as null, stays a text."""
    kinds = defaultdict(lambda: str, KINDS)
    return pd.read_csv(io.StringIO(text), dtype=kinds, keep_default_na=False, na_values=dict.fromkeys(FLOATS, ""))


def encoder_pairs(rows: pd.DataFrame) -> list[Pair]:
    """The (dataset, vision, text) of the rows, in order of first appearance."""
    return list(rows[PAIR].drop_duplicates().itertuples(index=False, name=None))


def of(rows: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """The rows of one (dataset, vision, text)."""
    return rows[(rows[PAIR] == list(pair)).all(axis=1)]


def budgets(pairs: Iterable[str]) -> list[str]:
    """Pair budgets from small to large, `all` last."""
    return sorted(set(pairs), key=lambda count: float("inf") if count == "all" else float(count))


def settings(rows: pd.DataFrame) -> list[str]:
    """The settings of unpaired rows, in order of first appearance; `none` only where there is no other."""
    known = list(dict.fromkeys(rows["unpaired"]))
    return [unpaired for unpaired in known if unpaired != NONE] or known


def in_setting(rows: pd.DataFrame, unpaired: str) -> pd.DataFrame:
    """The rows of one setting, and of runs without unpaired rows.  none: stands for the first setting there is."""
    wanted = settings(rows)[:1] if unpaired == NONE else [unpaired]
    return rows[rows["unpaired"].isin([*wanted, NONE])]


def at(rows: pd.DataFrame, pairs: str) -> str:
    """A budget in words, with the first setting of its rows."""
    return count(pairs) + in_words(next(iter(settings(rows[rows["pairs"] == pairs])), NONE))


def in_words(unpaired: str) -> str:
    """A setting in words, to follow a budget."""
    return "" if unpaired == NONE else f", unpaired rows {unpaired}"


def by_setting(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by budget and setting: a run without unpaired rows is in each setting of its budget."""
    place = [*PAIR, "pairs"]
    known = rows[[*place, "unpaired"]].drop_duplicates()
    several = known[known["unpaired"] != NONE]
    free = (rows["unpaired"] == NONE) & rows.set_index(place).index.isin(several.set_index(place).index)
    copies = rows[free].drop(columns="unpaired").reset_index().merge(several, on=place).set_index("index")
    return pd.concat([rows[~free], copies[rows.columns]]).sort_index(kind="stable", ignore_index=True)


def taught(rows: pd.DataFrame) -> list[str]:
    """The budgets of methods, controls aside; 0 only where there is no other."""
    known = budgets(rows.loc[rows["role"] != "control", "pairs"])
    return [pairs for pairs in known if pairs != "0"] or known


def at_budget(rows: pd.DataFrame, pairs: str, untaught: bool = False) -> pd.DataFrame:
    """The rows of one budget, and of controls that ran only at another, which stands behind their names.

    untaught: also the rows of methods that need no pairs.
    """
    once = rows.groupby("method")["pairs"].transform("nunique") == 1
    free = (rows["role"] == "control") | (untaught & (rows["pairs"] == "0"))
    chosen = rows[(rows["pairs"] == pairs) | (once & free)]
    beside = chosen["method"] + " (" + chosen["pairs"].map(count) + ")"
    return chosen.assign(method=chosen["method"].where(chosen["pairs"] == pairs, beside), pairs=pairs)


def count(pairs: str) -> str:
    """A budget in words."""
    return f"{pairs} pair" if pairs == "1" else f"{pairs} pairs"
