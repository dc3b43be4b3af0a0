"""The generation report: numbers by hand, runs that don't fit refused, and a sheet that shows the captions."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from ngw.errors import InputError
from ngw.metrics.text import METRICS, bleu
from ngw.report import examples
from ngw.report.records import cell
from ngw.report.tables import generation

PAIR = ("scenes", "effnet-lite0", "minilm-l6")
# matches, n-grams, the candidate's length and the reference's: the first image's caption is perfect, the second's wrong
BLEU = [[5, 4, 3, 2, 5, 4, 3, 2, 5, 5], [0, 0, 0, 0, 5, 4, 3, 2, 5, 5]]


def run(method, pairs, values, role="method", **changes):
    """A record and its scores: METEOR, ROUGE-L and CIDEr of two images are `values`, BLEU's parts as above."""
    whole = dict(zip(METRICS, bleu(np.sum(BLEU, 0)), strict=False))
    whole |= {"meteor": 0.4, "rouge_l": float(np.mean(values)), "cider": float(np.mean(values))}
    metrics = {prefix + name: float(value) for prefix in ("", "nearest_") for name, value in whole.items()}
    record = {
        "dataset": PAIR[0], "vision": PAIR[1], "text": PAIR[2], "method": method, "kind": method, "role": role,
        "pairs": pairs, "unpaired": "none", "seed": 0, "task": "captioning", "task_version": 1, "version": "0.1.0",
        "converged": True, "n_images": 2, "metrics": metrics, "cost": {"decoder_seconds": 60.0},
    } | changes  # fmt: skip
    items = {name: list(values) for name in ("meteor", "rouge_l", "cider")} | {"bleu": BLEU}
    return record, {"image_id": [9, 7], **{p + n: v for p in ("", "nearest_") for n, v in items.items()}}


def built(given):
    records = [record for record, _ in given]
    cells = [cell(record) for record in records]
    return generation.build(records, dict(zip(cells, (t for _, t in given), strict=True)), cells, draws=50)


def runs():
    return [
        run("ngw", "300", [0.5, 0.7]),
        run("ngw", "all", [0.6, 0.8]),
        run("cca", "300", [0.4, 0.4], "baseline"),
        run("unaligned", "0", [0.1, 0.1], "control"),
        run("true-latents", "all", [0.9, 0.9], "control"),
    ]


def test_the_csv_has_every_metric_of_every_run_with_its_interval():
    rows = {
        (r["method"], r["pairs"], r["metric"]): r for r in csv.DictReader(io.StringIO(built(runs())["generation.csv"]))
    }
    row = rows["ngw", "300", "cider"]
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([0.6, 0.5, 0.7])
    row = rows["ngw", "300", "meteor"]  # the corpus value, not the mean over images, whose interval may lie beside it
    assert [float(row[key]) for key in ("mean", "low", "high")] == [0.4, 0.4, 0.4]
    row = rows["ngw", "300", "bleu_1"]
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([0.5, 0, 1], abs=1e-6)
    assert ("ngw", "300", "nearest_bleu_4") in rows


def test_the_table_stands_controls_of_other_budgets_below():
    text = built(runs())["generation.md"]
    first, second = text.split("**Captions with ")[1:]
    assert "| ngw |" in first
    assert "| *unaligned (0 pairs)* |" in first
    assert "| *true-latents (all pairs)* |" in first
    assert "cca" not in second.split("Bold")[0]
    assert "**60.0**" in first
    assert "tab:captions-scenes-effnet-lite0-minilm-l6-300" in built(runs())["generation.tex"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g[0][0]["metrics"].update(cider=0.9), "cider is 0.9, its scores give 0.6"),
        (lambda g: g[0][0].update(n_images=3), "n_images is"),
        (lambda g: g[0][1].update(image_id=[1]), "counts 2 images, its scores 1"),
    ],
)
def test_runs_that_do_not_fit_are_refused(change, words):
    given = runs()
    change(given)
    with pytest.raises(InputError, match=words):
        built(given)


def test_the_sheet_shows_each_methods_caption():
    image = np.zeros((4, 4, 3), np.uint8)
    item = examples.Captioned(image, "A dog.", {"ngw": "A cat.", "cca": ""})
    figure = examples.caption_sheet([item, item])
    assert len(figure.axes) == 4
    words = [text.get_text() for text in figure.axes[1].texts]
    assert words == ["reference", "A dog.", "ngw", "A cat.", "cca", "(nothing)"]


def drawn(method, pairs, cosines, role="method", **metrics):
    """A record of generated pictures and their cosines, beside `run`'s of captions."""
    record, _ = run(method, pairs, [0.5, 0.5], role)
    scored = {name: list(cosines) for name in generation.COSINES}
    means = {name: float(np.mean(cosines)) for name in generation.COSINES}
    means |= {name.replace("cosine", "score"): max(0, 100 * mean) for name, mean in means.items()}
    record |= {
        "task": "imaging", "metrics": {"fd": 120.0, "fd_error": 2.0, "kd": 0.5, "kd_error": 0.01, **means, **metrics},
        "names": {
            "fd": "fd[net-pca8]", "kd": "kd[net]", "score": "score[judge]", "nearest_score": "nearest_score[judge]",
            "real_score": "real_score[judge]", "cosine": "cosine[judge]", "nearest_cosine": "nearest_cosine[judge]",
            "real_cosine": "real_cosine[judge]",
        },
    }  # fmt: skip
    return record, {"image_id": [9, 7], **scored}


def pictured(given=None):
    captions, pictures = runs()[:3], given or [
        drawn("ngw", "300", [0.4, 0.6]), drawn("ngw", "all", [0.5, 0.6]),
        drawn("cca", "300", [0.1, -0.3], "baseline", fd=130.0),
    ]  # fmt: skip
    cells = [cell(record) for record, _ in captions]
    tables = [{cell(record): scores for record, scores in part} for part in (captions, pictures)]
    return generation.build(
        [r for r, _ in captions], tables[0], cells, 50, pictures=[r for r, _ in pictures], judged=tables[1]
    )


def test_pictures_stand_beside_captions_under_their_judges_names():
    files = pictured()
    rows = {(r["method"], r["pairs"], r["metric"]): r for r in csv.DictReader(io.StringIO(files["generation.csv"]))}
    row = rows["ngw", "300", "score[judge]"]
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([50, 40, 60])
    row = rows["cca", "300", "cosine[judge]"]
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([-0.1, -0.3, 0.1])
    row = rows["cca", "300", "score[judge]"]  # of each sample's mean what is above 0, not the mean of that
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([0, 0, 10])
    row = rows["ngw", "300", "fd[net-pca8]"]
    assert [float(row[key]) for key in ("mean", "low", "high")] == pytest.approx([120, 116.08, 123.92])
    assert ("cca", "300", "cider") in rows
    part = files["generation.md"].split("**Pictures of captions with 300 pairs")[1]
    assert "| ngw | **120.0** |" in part.replace("  ", " ")
    assert "| cca | 130.0 | **50.0** | 0.0 | -10.0 | 0.0 | -10.0 |" in part
    assert "score[judge]" in part
    assert "FID" not in part
    assert "tab:images-scenes-effnet-lite0-minilm-l6-300" in files["generation.tex"]


def test_more_seeds_on_the_same_images_do_not_narrow_the_interval_of_a_distance():
    given = [drawn("ngw", "300", [0.4, 0.6]) for _ in range(3)]
    records = [record | {"seed": seed} for seed, (record, _) in enumerate(given)]
    cells = [cell(record) for record in records]
    rows = generation.image_rows(records, dict(zip(cells, (table for _, table in given), strict=True)), cells, 50)
    (row,) = rows[rows["metric"] == "fd"].to_dict("records")
    assert [row[key] for key in ("mean", "low", "high", "n_seeds")] == pytest.approx([120, 116.08, 123.92, 3])


def test_pictures_that_do_not_fit_their_record_are_refused():
    given = [drawn("ngw", "300", [0.1, 0.2]), drawn("ngw", "all", [0.1, -0.3]), drawn("cca", "300", [0, 1], "baseline")]
    given[1][0]["metrics"]["score"] = 5.0  # the mean of each pair's part above 0
    with pytest.raises(InputError, match=r"the record's score is 5\.0 over 2 images, its cosines give 0\.0 over 2"):
        pictured(given)
    given[1][0]["metrics"] |= {"score": 0.0, "nearest_cosine": 0.1}
    with pytest.raises(InputError, match=r"nearest_cosine is 0\.1 over 2 images, its cosines give -0\.0\d* over 2"):
        pictured(given)
    with pytest.raises(InputError, match="has no record"):
        pictured(given[:2])


def test_the_contact_sheet_shows_the_real_image_and_each_methods():
    grey = np.zeros((4, 4, 3), np.uint8)
    figure = examples.image_sheet([examples.Drawn("A dog.", grey, {"ngw": grey, "cca": grey})] * 2)
    assert len(figure.axes) == 2 * 4
    assert figure.axes[0].texts[0].get_text() == "A dog."
    assert [axes.get_title(loc="left") for axes in figure.axes[1:4]] == ["real", "ngw", "cca"]
