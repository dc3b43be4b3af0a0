"""The VQA report: numbers by hand, runs that don't fit refused, and figures that show what the rows say."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from ngw.errors import InputError
from ngw.metrics.vqa import summary
from ngw.report.examples import Example, vqa_sheet
from ngw.report.figures import labels_figure
from ngw.report.frames import read_csv
from ngw.report.records import cell
from ngw.report.tables import vqa

PAIR = ("scenes", "effnet-lite0", "minilm-l6")
TYPES = ["yes/no", "yes/no", "number", "other"]
GOOD, FAIR, NONE = [1.0, 1.0, 0.6, 0.0], [1.0, 0.0, 0.6, 0.0], [0.0, 0.0, 0.0, 0.0]


def run(fusion, labels, seed, scores, role="baseline", images=(7, 7, 9, 9), **changes):
    """A record and its scores, of four questions about two images."""
    pairs = "300" if role == "method" else "0"
    record = {
        "dataset": PAIR[0], "vision": PAIR[1], "text": PAIR[2], "fusion": fusion, "kind": "concat", "role": role,
        "aligner": None, "pairs": pairs, "unpaired": "none", "labels": labels, "seed": seed, "task": "vqa",
        "task_version": 1, "version": "0.1.0", "split": "test", "n_questions": 4, "n_images": 2,
        "metrics": {**summary(np.array(scores), TYPES), "always_accuracy": float(np.mean(scores))},
        "vocabulary": {"n_answers": 297, "min_count": 9, "splits": ["train"], "ceiling": 0.984},
        "alphas": {"a": 0.5 + 0.1 * seed, "b": 0.4} if role == "method" else {},
        "cost": {"train_seconds": 1.0, "peak_memory_mb": 100.0, "parameters": 5},
    } | changes  # fmt: skip
    table = {"image_id": list(images), "answer_type": TYPES, "accuracy": list(scores), "always": list(scores)}
    return record, table


def runs():
    """NGW's fusion, a better and a worse baseline, at two shares of labels and two seeds; a control once."""
    return [
        *(run("ngw-fusion", "all", seed, GOOD, "method") for seed in (0, 1)),
        *(run("ngw-fusion", "10", seed, (GOOD, FAIR)[seed], "method") for seed in (0, 1)),
        *(run("concat", labels, seed, FAIR) for labels in ("all", "10") for seed in (0, 1)),
        *(run("image-only", "all", seed, NONE) for seed in (0, 1)),
        run("prior", "all", 0, FAIR, "control"),
    ]


def of(record):
    """The cell of the table that a record fills."""
    return cell({**record, "method": record["fusion"]})


def built(given, expected=None):
    records = [record for record, _ in given]
    cells = [of(record) for record in records]
    return vqa.build(records, dict(zip(cells, (t for _, t in given), strict=True)), expected or cells, draws=50)


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_images_that_were_trained_on_are_told_below_the_table():
    told = "Training has other questions about 1 of the 2 test images."
    assert told not in built(runs())["vqa.txt"]
    shared = [(record | {"n_images_trained_on": 1}, table) for record, table in runs()]
    assert told in " ".join(built(shared)["vqa.txt"].split())


def test_the_csv_has_means_spreads_and_intervals():
    found = rows(built(runs())["vqa.csv"])
    at = {(row["method"], row["labels"], row["metric"]): row for row in found}
    row = at["ngw-fusion", "10", "accuracy"]
    assert float(row["mean"]) == pytest.approx((0.65 + 0.4) / 2)
    assert float(row["std"]) == pytest.approx(0.25 / np.sqrt(2), rel=1e-5)
    # Image 7 has the two questions of yes/no, image 9 the others: samples are (7, 7), (9, 9) or one of each.
    assert [float(row[key]) for key in ("low", "high")] == pytest.approx([0.3, 0.75])
    assert row["n_seeds"] == "2"
    assert row["pairs"] == "300"
    assert float(at["concat", "all", "accuracy_yes_no"]["mean"]) == 0.5
    assert float(at["concat", "all", "accuracy_number"]["mean"]) == 0.6
    alphas = at["ngw-fusion", "all", "alpha_a"]
    assert [float(alphas[key]) for key in ("mean", "low", "high")] == pytest.approx([0.55, 0.5, 0.6])
    assert ("concat", "all", "alpha_a") not in at
    assert read_csv(built(runs())["vqa.csv"])["mean"][0] == float(found[0]["mean"])


def test_the_tables_say_what_was_scored_and_mark_the_best():
    files = built(runs())
    main, labels, differences = files["vqa.md"].split("**Accuracy by share")[0], *files["vqa.md"].split("\n**")[2:4]
    assert "4 questions about 2 images" in main
    assert "297 answers with 9 occurrences or more in train; they allow an accuracy of 98.4 % at most" in main
    assert "| ngw-fusion | **65.0** ± 0.0 | **100.0** ± 0.0 | **60.0** ± 0.0 | **0.0** ± 0.0 | **65.0** ± 0.0 |" in main
    assert "by design" not in main
    assert "| *prior* | *40.0* |" in main
    assert "| concat | 40.0 ± 0.0 | 40.0 ± 0.0 |" in labels
    assert "| ngw-fusion | **52.5** ± 17.7 | **65.0** ± 0.0 |" in labels
    assert "image-only" not in labels  # it has no curve
    assert "| ngw-fusion | all | concat | +25.0 | +0.0 to +50.0 |" in differences
    assert r"\label{tab:vqa-scenes-effnet-lite0-minilm-l6}" in files["vqa.tex"]
    assert "65.0*" in files["vqa.txt"]


def test_differences_are_to_the_best_baseline_with_as_many_labels():
    found = rows(built(runs())["vqa-differences.csv"])
    assert [(row["method"], row["labels"], row["baseline"]) for row in found] == [
        ("ngw-fusion", "all", "concat"), ("ngw-fusion", "10", "concat"),
    ]  # fmt: skip
    assert float(found[1]["difference"]) == pytest.approx(0.125)


def test_every_fusion_stands_against_ngws_first_with_as_many_labels():
    files = built(runs())
    found = {(row["method"], row["labels"]): row for row in rows(files["vqa-against-ngw.csv"])}
    assert found.keys() == {("concat", "all"), ("concat", "10"), ("image-only", "all")}
    assert float(found["concat", "all"]["difference"]) == pytest.approx(0.40 - 0.65)
    assert all(float(row["p_holm"]) >= float(row["p"]) for row in found.values())
    assert "**Against ngw-fusion, points of accuracy, by per cent of the labels" in files["vqa.md"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.pop(), "has no record"),
        (lambda g: g.append(g[0]), "more than one record"),
        (lambda g: g[1][0].update(split="val", n_questions=5), "n_questions is 4"),
        (lambda g: g[1][0]["metrics"].update(accuracy=0.9), "accuracy is 0.9, its scores give 0.65"),
        (lambda g: g[0][1].update(image_id=[7, 7, 9, 8]), "its scores (4, 3)"),
        (lambda g: g[1][1].update(image_id=[7, 7, 8, 8]), "image 8 isn't in the other runs"),
        (lambda g: g[1][0].update(n_questions=None), "n_questions as int, found None"),
    ],
)
def test_runs_that_do_not_fit_are_refused_by_name(change, words):
    given = runs()
    expected = [of(record) for record, _ in given]
    change(given)
    with pytest.raises(InputError) as caught:
        built(given, expected)
    assert words in str(caught.value)
    assert "labels" in str(caught.value) or "record (" in str(caught.value)


def test_the_figure_has_a_line_a_fusion_with_a_curve_and_the_controls():
    (axes,) = labels_figure(read_csv(built(runs())["vqa.csv"]), PAIR).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert {"ngw-fusion", "concat"} <= set(lines)
    assert "image-only" not in lines
    np.testing.assert_allclose(lines["ngw-fusion"].get_xdata(), [1, 2])
    np.testing.assert_allclose(lines["ngw-fusion"].get_ydata(), [52.5, 65])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "100"]
    assert "prior" in [text.get_text() for text in axes.texts]


def test_an_example_shows_question_answers_and_where_the_words_look():
    image = np.zeros((20, 20, 3), np.uint8)
    attention = np.array([0.1, 0.2, 0.3, 0.4])
    said = {"ngw-fusion": ("dog", 1.0), "concat": ("cat", 0.3), "gated": ("sun", 0.0)}
    example = Example(image, "What is it?", "dog", said, attention)
    plain = Example(image, "Why?", "fun", {})
    figure = vqa_sheet([example, plain])
    first, second = figure.axes
    assert first.get_title(loc="left") == "What is it?"
    assert [text.get_text() for text in first.texts] == [
        "annotators: dog", "✓ ngw-fusion: dog", "– concat: cat (30 %)", "✗ gated: sun",
    ]  # fmt: skip
    veil = first.images[1].get_array()
    assert veil.shape == (2, 2, 4)
    assert veil[1, 1, 3] == 0  # where they look most nothing is veiled
    assert veil[0, 0, 3] == veil[..., 3].max()
    assert len(second.images) == 1
