"""The classification report: numbers by hand, runs that don't fit refused, and a figure that shows the rows."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from ngw.errors import InputError
from ngw.metrics.classification import summary
from ngw.record import Record
from ngw.report import style
from ngw.report.figures import accuracy_figure
from ngw.report.frames import read_csv
from ngw.report.records import cell
from ngw.report.statistics import counts_of
from ngw.report.tables.classification import build, by_set

NAMES = ["cat", "dog", "cow | bull"]
PAIR = ("zoo", "eye", "ear")
LABEL = [0, 0, 0, 1, 1, 2]
# Predictions of six images; top-1 is 4/6, mean per class (2/3 + 1/2 + 1)/3 for GOOD, and 1/6, (1/3 + 0 + 0)/3 for BAD.
GOOD, BAD = [0, 0, 1, 1, 0, 2], [0, 1, 1, 0, 0, 0]


def run(method, pairs, unpaired="shared", seed=0, predicted=GOOD, role="method", sets=("zoo",), **changes):
    """A record and its predictions: where they aren't right, the true class comes second."""
    rank = np.where(np.equal(predicted, LABEL), 1.0, 2.0)
    found = {"n_images": 6, "n_classes": 3, "classes": NAMES, "templates": ["a {}.", "the {}."]}
    record = {
        "dataset": "scenes", "vision": "eye", "text": "ear", "method": method, "kind": method, "role": role,
        "pairs": pairs, "unpaired": unpaired, "seed": seed, "task": "classification", "task_version": 1,
        "version": "0.1.0", "converged": True, "note": "",
        "sets": {name: {**found, "metrics": summary(rank, np.array(LABEL))} for name in sets},
    } | changes  # fmt: skip
    columns = {"image_id": range(10, 16), "label": LABEL, "predicted": predicted, "rank": rank.tolist()}
    table = {name: list(values) * len(sets) for name, values in columns.items()}
    return Record(record), {"set": [name for name in sets for _ in LABEL], **table}


def probe(name="zoo"):
    """A linear probe of everything right."""
    record, table = run("x", "all", predicted=LABEL, sets=(name,))
    kept = ("vision", "task", "task_version", "version", "converged", "note", "sets")
    return Record({"dataset": name, **{key: record[key] for key in kept}, "n_train": 9, "penalty": 0.1}), table


def runs(sets=("zoo",)):
    """NGW and CCA at two budgets and in two settings, two seeds; a control."""
    some = [
        run(name, pairs, unpaired, seed, predicted, role, sets)
        for name, role, predicted in (("ngw", "method", GOOD), ("cca", "baseline", BAD))
        for pairs, unpaired in (("30", "shared"), ("30", "disjoint"), ("all", "none"))
        for seed in (0, 1)
    ]
    return [*some, run("random", "0", "shared", 0, BAD, "control", sets)]


def built(given, probes=(), expected=None, draws=200):
    parts = [part for record, table in [*given, *probes] for part in by_set(record, table)]
    return build(parts, expected or [cell(record) for record, _ in given], draws)


def rows(text):
    found = csv.DictReader(io.StringIO(text))
    return {(r["dataset"], r["method"], r["pairs"], r["unpaired"], r["metric"]): r for r in found}


def test_the_csv_has_means_and_intervals_of_every_run_and_control():
    found = rows(built(runs(), [probe()])["classification.csv"])
    at = {key[1:]: row for key, row in found.items()}
    assert float(at["ngw", "30", "shared", "top_1"]["mean"]) == pytest.approx(4 / 6, rel=1e-5)
    assert float(at["ngw", "30", "shared", "mean_per_class"]["mean"]) == pytest.approx(
        (2 / 3 + 1 / 2 + 1) / 3, rel=1e-5
    )
    assert float(at["cca", "all", "none", "mean_per_class"]["mean"]) == pytest.approx(1 / 9, rel=1e-5)
    assert float(at["ngw", "30", "shared", "top_5"]["mean"]) == 1
    assert at["ngw", "30", "shared", "top_1"]["n_seeds"] == "2"
    assert float(at["linear-probe", "all", "none", "top_1"]["mean"]) == 1
    assert float(at["chance", "0", "none", "top_1"]["mean"]) == pytest.approx(1 / 3, rel=1e-5)
    assert float(at["chance", "0", "none", "top_5"]["mean"]) == 1
    assert {
        row["role"] for row in (at["linear-probe", "all", "none", "top_1"], at["chance", "0", "none", "top_1"])
    } == {"control"}


def test_intervals_are_those_of_samples_of_the_images_by_hand():
    # Draw by draw from the same counts: the mean over the classes that are drawn of their share of hits.
    found = rows(built(runs())["classification.csv"])
    counts = counts_of("zoo", 6, 200)
    hits, label = np.equal(GOOD, LABEL), np.array(LABEL)
    top, per_class = counts @ hits / 6, []
    for draw in counts:
        drawn = [k for k in range(3) if draw[label == k].sum()]
        per_class.append(np.mean([draw[(label == k) & hits].sum() / draw[label == k].sum() for k in drawn]))
    for metric, draws in (("top_1", top), ("mean_per_class", per_class)):
        row = found["zoo", "ngw", "30", "shared", metric]
        assert [float(row[end]) for end in ("low", "high")] == pytest.approx(
            np.quantile(draws, [0.025, 0.975]), rel=1e-5
        )


def test_rows_are_compared_on_the_same_images():
    files = built(runs(), [probe()])
    against = rows(files["classification-against-ngw.csv"])
    assert {key[1] for key in against} == {"cca"}  # no control, no chance
    row = against["zoo", "cca", "30", "disjoint", "top_1"]
    assert float(row["difference"]) == pytest.approx(-3 / 6, rel=1e-5)
    assert 0 < float(row["p"]) <= float(row["p_holm"]) <= 1
    best = rows(files["classification-differences.csv"])["zoo", "ngw", "30", "shared", "top_1"]
    assert (best["baseline"], float(best["difference"])) == ("cca", pytest.approx(0.5))


def test_the_confusions_pool_the_seeds_of_the_middle_budget():
    given = [
        run("ngw", pairs, "shared", seed, GOOD if seed else BAD) for pairs in ("30", "100", "300") for seed in (0, 1)
    ]
    found = list(csv.DictReader(io.StringIO(built(given)["classification-confusions.csv"])))
    assert [(row["class"], row["pairs"], row["n_images"]) for row in found] == [
        ("cat", "100", "3"), ("dog", "100", "2"), ("cow | bull", "100", "1")
    ]  # fmt: skip
    cat, dog, cow = found
    assert (float(cat["accuracy"]), cat["mistaken_for"], float(cat["share"])) == (0.5, "dog", 0.5)
    assert (float(dog["accuracy"]), dog["mistaken_for"], float(dog["share"])) == (0.25, "cat", 0.75)
    assert (float(cow["accuracy"]), cow["mistaken_for"]) == (0.5, "cat")


def test_the_tables_say_what_was_classified_by_what():
    files = built(runs(("zoo", "farm")), [probe()])
    text = files["classification.md"]
    assert "zoo (6 test images, 3 classes), eye and ear, aligned on scenes" in text
    assert 'A class is the normalised mean of its embedded prompts, "a {}.", "the {}." (2 in all).' in text
    assert "| ngw | – | **66.7°** ± 0.0 | **66.7°** ± 0.0 |" in text
    assert "| *linear-probe* | – | – | *100.0* |" in text
    assert text.count("linear-probe* |") < text.count("chance* |")  # the farm has no probe, every set has chance
    assert "cow \\| bull" in text
    assert "farm" in files["classification.txt"]
    assert r"\begin{table}" in files["classification.tex"]


def test_a_missing_run_and_predictions_of_another_one_are_refused():
    expected = [cell(record) for record, _ in runs()]
    with pytest.raises(InputError, match=r"method random, .* has no record"):
        built(runs()[:-1], expected=expected)
    record, table = runs()[0]
    with pytest.raises(InputError, match=r"the record's top_1 is 0\.6.*, its predictions give 0\.8"):
        built([(record, {**table, "rank": [1.0, 1, 1, 1, 2, 1]}), *runs()[1:]])
    with pytest.raises(InputError, match=r"expected finite ranks of 1 or more, found 0"):
        built([(record, {**table, "rank": [0.0, 1, 1, 1, 2, 1]}), *runs()[1:]])
    with pytest.raises(InputError, match=r"the record counts 6 images, found 5"):
        built([(record, {name: column[:-1] for name, column in table.items()}), *runs()[1:]])
    with pytest.raises(InputError, match=r"image 99 isn't in the other runs"):
        built([*runs()[1:], (record, {**table, "image_id": [99, *range(11, 16)]})])


def test_the_figure_has_a_panel_a_setting_and_its_lines_are_the_rows():
    frame = read_csv(built(runs(), [probe()])["classification.csv"])
    figure = accuracy_figure(frame, PAIR)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "zoo, unpaired rows shared", "zoo, unpaired rows disjoint"
    ]  # fmt: skip
    heights = [list(line.get_ydata()) for line in figure.axes[1].get_lines()]
    assert any(y == pytest.approx([400 / 6]) for y in heights)
    words = {text.get_text() for text in figure.axes[0].texts}
    assert any("linear-probe" in text for text in words)
    assert any("chance" in text for text in words)
    assert style.encode(figure, "png") == style.encode(accuracy_figure(frame, PAIR), "png")
