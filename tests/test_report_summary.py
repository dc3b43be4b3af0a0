"""The summary of the page: what ran and what failed, by the records; findings that are the tables' own numbers."""

from __future__ import annotations

import base64
import json
from itertools import chain

import pytest
from retrieval_runs import BAD, FAIR, GOOD, run

from ngw import io
from ngw.config import Config, read
from ngw.config.batches import Batches
from ngw.errors import InputError
from ngw.report.frames import read_csv
from ngw.report.records import cell
from ngw.report.runs import Run, of_config
from ngw.report.summary import SOURCES, summary
from ngw.report.tables import retrieval


def told(some, draws=200, further=()):
    """The summary of some records and their ranks, with the tables that they make."""
    records = [record for record, _ in some]
    files = retrieval.build(records, {cell(r): t for r, t in some}, list(map(cell, records)), draws)
    frames = {name: read_csv(files[f"{name}.csv"]) for name in SOURCES if f"{name}.csv" in files}
    return summary(
        {"retrieval": [*(Run(f"runs/{k}", record) for k, record in enumerate(records)), *further]}, frames
    ), frames


def some(**changes):
    """NGW ahead of CCA at 30 pairs, in one setting clearly, and level with all; ridge below; two controls."""
    return [
        run("ngw", "30", 0, GOOD, unpaired="shared", **changes),
        run("ngw", "30", 0, FAIR, unpaired="disjoint"),
        run("ngw", "all", 0, FAIR),
        *(run("cca", "30", 0, ranks, "baseline", unpaired=s) for s, ranks in (("shared", BAD), ("disjoint", FAIR))),
        run("cca", "all", 0, GOOD, "baseline"),
        run("random", "0", 0, BAD, "control"),
        run("oracle", "all", 0, ([1] * 4, [1] * 8), "control"),
    ]


def test_what_ran_is_what_the_records_say():
    found, _ = told(some())
    assert found.ran == {
        "Data": "scenes (4 test images, 8 captions)", "Encoders": "effnet-lite0 and minilm-l6", "Methods": "ngw",
        "Baselines": "cca", "Controls": "random, oracle", "Known pairs": "0, 30, all",
        "Unpaired rows": "shared, disjoint", "Seeds": "0", "Runs": "8 for retrieval",
    }  # fmt: skip


def test_the_largest_lead_of_each_setting_has_its_interval_by_the_table():
    found, frames = told(some())
    lead = frames["retrieval-differences"].set_index(["pairs", "unpaired"]).loc[("30", "shared")]
    difference, low, high = (f"{100 * lead[key]:+.1f}" for key in ("difference", "low", "high"))
    shared, disjoint = found.findings["Largest leads"]
    assert shared == (
        "Retrieval with 30 pairs, unpaired rows shared: ngw against cca, the best baseline, "
        f"{difference} points of mean R@1 of both directions (95 % interval {low} to {high})."
    )
    assert lead["low"] > 0
    assert disjoint.endswith(" No lead is significant there.")


def test_where_a_baseline_is_level_or_ahead_is_said_too():
    (text,) = told(some())[0].findings["Level or behind"]
    assert "ngw is ahead of the best baseline in 1 of 3 comparisons, level in 2 (the interval includes 0), beh" in text
    assert "behind in 0. Lowest with all pairs against cca, -18.8 points" in text  # from 11/16 to 1/2
    assert text.endswith(". Significantly ahead of NGW (Holm's correction): in 0 of 3 comparisons.")
    best = ([1] * 4, [1] * 8)
    behind = [("ngw", BAD, "method"), ("cca", best, "baseline"), ("random", BAD, "control")]
    (text,) = told([run(name, "30", 0, *rest) for name, *rest in behind])[0].findings["Level or behind"]
    assert "behind in 1." in text
    assert text.endswith("in 1 of 1 comparisons: cca with 30 pairs, +100.0 points (95 % interval +100.0 to +100.0).")


def test_controls_are_at_chance_or_not():
    assert told(some())[0].findings["Controls and chance"] == [
        "At chance (25.0 %) in mean R@1 of both directions: random with 0 pairs, 0.0 % (95 % interval 0.0 to 0.0).",
        "Above chance: oracle with all pairs, 100.0 % (95 % interval 100.0 to 100.0).",
    ]


def test_a_control_whose_interval_begins_at_chance_is_at_chance_where_that_is_no_round_number():
    record, _ = run("random", "0", 0, BAD, "control", n_images=600)  # chance: 0.001666...
    head = "dataset,vision,text,method,pairs,unpaired,metric,mean,std,low,high,n_seeds,role,converged\n"
    rows = head + "scenes,effnet-lite0,minilm-l6,random,0,none,mean_recall_1,0.01,0,0.00166667,0.02,1,control,true\n"
    found = summary({"retrieval": [Run("runs/0", record)]}, {"retrieval": read_csv(rows)})
    (text,) = found.findings["Controls and chance"]
    assert text.startswith("At chance (0.2 %)")


def test_what_failed_is_absent_or_did_not_converge():
    whole, _ = told(some())
    assert whole.failed == ["All 8 records of the config's runs exist.", "Every run that has a record converged."]
    note = "stopped after 9 iterations."
    found, _ = told(some(converged=False, note=note), further=[Run("runs/gone.json")])
    assert found.failed == [
        "1 of 9 records of the config's runs are missing; the first is runs/gone.json.",
        "ngw: 1 of 3 runs did not converge (30 pairs, unpaired rows shared). First reason: stopped after 9 iterations.",
    ]


def test_without_records_and_tables_it_claims_nothing():
    assert summary({}, {}) == summary({"retrieval": []}, {})
    assert not any(chain(summary({}, {}).ran, summary({}, {}).findings, summary({}, {}).failed))


def test_other_tasks_have_their_own_words():
    rows = "dataset,vision,text,method,pairs,unpaired,labels,baseline,metric,difference,low,high,p,n_seeds\n"
    rows += "scenes,v,t,ngw-fusion,300,shared,3,concat,accuracy,0.04,0.03,0.05,0.002,1\n"
    rows += "scenes,v,t,ngw-fusion,300,shared,all,concat,accuracy,0.01,-0.01,0.02,0.3,1\n"
    found = summary({}, {"vqa-differences": read_csv(rows)})
    assert found.findings["Largest leads"] == [
        "Question answering with 3 % of the labels: ngw-fusion against concat, the best baseline, +4.0 points of"
        " accuracy (95 % interval +3.0 to +5.0)."
    ]
    (text,) = found.findings["Level or behind"]
    assert "ahead of the best baseline in 1 of 2 comparisons, level in 1" in text
    assert text.endswith("Lowest with all labels against concat, +1.0 points (95 % interval -1.0 to +2.0).")


def test_the_runs_of_a_config_have_their_records_and_the_logs_that_snakemake_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = read(str(__file__).replace("test_report_summary.py", "config.yaml"))
    records = Batches(Config(values)).records()["retrieval"]
    path, made_by = next(iter(records.items()))
    record, _ = run("ngw", "16", 0, GOOD)
    io.write_record(tmp_path / path, record)
    fit = f"{path.split('/pairs')[0]}/runs.maps.json"
    notes = {
        made_by: ("retrieval", []), fit: ("maps", [fit.replace("maps", "transport"), "results/features/a.safetensors"]),
        fit.replace("maps", "transport"): ("transport", []), "results/features/a.safetensors": ("encode", []),
    }  # fmt: skip
    for name, (rule, inputs) in notes.items():
        note = tmp_path / ".snakemake/metadata" / base64.urlsafe_b64encode(name.encode()).decode()
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"input": inputs, "log": [f"results/logs/{rule}/x.log"]}))
        (tmp_path / f"results/logs/{rule}").mkdir(parents=True)
        (tmp_path / f"results/logs/{rule}/x.log").write_text("")
    first, *others = of_config(Config(values))["retrieval"]
    assert first.record["method"] == "ngw"
    assert first.path == path.removeprefix("results/")
    assert first.logs == ("logs/transport/x.log", "logs/maps/x.log", "logs/retrieval/x.log")
    assert not any(other.record for other in others)
    io.write_text(tmp_path / path, (tmp_path / path).read_text().replace("true", "false", 1))
    with pytest.raises(InputError, match=path):
        of_config(Config(values))
