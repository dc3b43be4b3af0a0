"""The rows of a budget: its own, controls beside them, methods without pairs if requested; folds of large sets."""

from __future__ import annotations

import pandas as pd

from ngw.report.frames import at_budget, by_setting, taught
from ngw.report.tables.retrieval import main_tables

PAIR = ("coco", "v", "t")


def row(method, pairs, role="method", metric="i2t_recall_1", mean=0.5):
    who = {
        "dataset": "coco",
        "vision": "v",
        "text": "t",
        "method": method,
        "pairs": pairs,
        "unpaired": "none",
        "metric": metric,
    }
    return who | {"mean": mean, "std": 0.0, "low": mean, "high": mean, "n_seeds": 1, "role": role, "converged": True}


ROWS = pd.DataFrame([
    row("ngw", "30"), row("ngw", "all"), row("averaged", "0", "baseline"), row("unaligned", "0", "control"),
    row("oracle", "all", "control"), row("shuffled", "30", "control"), row("shuffled", "all", "control"),
])  # fmt: skip


def names(rows):
    return rows["method"].tolist()


def test_controls_of_one_budget_stand_beside_the_others():
    assert names(at_budget(ROWS, "30")) == ["ngw", "unaligned (0 pairs)", "oracle (all pairs)", "shuffled"]


def test_methods_without_pairs_stand_at_every_budget_where_asked():
    found = names(at_budget(ROWS, "all", untaught=True))
    assert found == ["ngw", "averaged (0 pairs)", "unaligned (0 pairs)", "oracle", "shuffled"]


def test_no_table_for_no_pairs_where_some_methods_have_pairs():
    assert taught(ROWS) == ["30", "all"]
    assert taught(pd.DataFrame([row("averaged", "0"), row("shuffled", "30", "control")])) == ["0"]


def test_folds_have_a_table_of_their_own_that_names_them():
    folds = pd.DataFrame([row("ngw", "30", metric=f"{way}_recall_1_1k", mean=0.75) for way in ("i2t", "t2i")])
    (table,) = main_tables(pd.concat([ROWS, folds]), PAIR, (5000, 25000), folds=True)
    assert "1k, the mean of 5 folds of 1,000 images" in table.title
    assert [[number.text for cell in line.cells for number in cell] for line in table.lines] == [["75.0", "75.0"]]
    assert main_tables(ROWS, PAIR, (1000, 5000), folds=True)[0].lines == []


def test_folds_have_no_interval_that_could_begin_at_chance():
    # Their `low` is the smallest over seeds: a single seed's mean, which says nothing about chance.
    folds = pd.DataFrame(
        [row("random", "0", "control", metric=f"{way}_recall_1_1k", mean=0.001) for way in ("i2t", "t2i")]
    )
    (table,) = main_tables(folds, PAIR, (5000, 25000), folds=True)
    assert [number.text for line in table.lines for cell in line.cells for number in cell] == ["0.1", "0.1"]
    assert not any("interval" in text for text in table.legend)


def settings_rows():
    """NGW in both settings at 30, in none at all; a baseline that sees no unpaired row at 30."""
    shared, disjoint = row("ngw", "30", mean=0.6), row("ngw", "30", mean=0.4)
    return pd.DataFrame([
        shared | {"unpaired": "shared"}, disjoint | {"unpaired": "disjoint"}, row("ngw", "all"),
        row("joint", "30", "baseline", mean=0.5), row("averaged", "0", "baseline"),
    ])  # fmt: skip


def test_a_run_that_sees_no_unpaired_row_stands_in_every_setting_of_its_budget():
    found = by_setting(settings_rows())[["method", "pairs", "unpaired"]].to_numpy().tolist()
    assert found == [
        ["ngw", "30", "shared"], ["ngw", "30", "disjoint"], ["ngw", "all", "none"], ["joint", "30", "shared"],
        ["joint", "30", "disjoint"], ["averaged", "0", "none"],
    ]  # fmt: skip


def test_every_setting_has_a_table_that_names_it():
    one, other = main_tables(settings_rows(), PAIR, (1000, 5000))
    assert "by number of pairs, unpaired rows shared: coco" in one.title
    assert "by number of pairs, unpaired rows disjoint: coco" in other.title
    shown = {
        t.slug: {line.label: [n.text for cell in line.cells for n in cell] for line in t.lines} for t in (one, other)
    }
    assert list(shown) == ["retrieval-coco-v-t-shared", "retrieval-coco-v-t-disjoint"]
    ngw, joint, averaged = zip(*(lines.values() for lines in shown.values()), strict=True)
    assert ngw == (["60.0", "50.0"], ["40.0", "50.0"])
    assert joint == averaged == (["50.0"], ["50.0"])
    assert not main_tables(ROWS, PAIR, (1000, 5000))[0].title.count("unpaired")
