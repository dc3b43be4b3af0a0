"""Zero-shot classification: numbers by hand, the stages' files, the linear probe, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ngw import features, io, methods
from ngw.cli import main
from ngw.data import Classes
from ngw.errors import InputError
from ngw.metrics.classification import chance, classify, summary
from ngw.record import Record
from ngw.tasks.classification import probe, zero_shot

NAMES = ("cat", "dog", "cow")
# Scores of five images against three classes; the true class is the last column.
SCORES = np.array([[3, 2, 1], [2, 3, 1], [1, 1, 0], [0, 5, 5], [1, 2, 3]], np.float32)
TRUTH = np.array([0, 0, 1, 1, 2])


def test_ranks_predictions_and_accuracies_by_hand():
    found = classify(SCORES, np.eye(3, dtype=np.float32), TRUTH)
    # Image 2 ties with class 0 for the first place, image 3 with class 2: mid-rank 1.5, and taken for the rival.
    assert found.rank.tolist() == [1, 2, 1.5, 1.5, 1]
    assert found.predicted.tolist() == [0, 1, 0, 2, 2]
    metrics = summary(found.rank, TRUTH)
    assert metrics["top_1"] == 2 / 5
    assert metrics["top_5"] == 1
    assert metrics["mean_per_class"] == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_top_5_of_seven_classes_by_hand():
    scores = -np.arange(7, dtype=np.float32)[None].repeat(7, 0)  # class 0 is always the best
    found = classify(scores, np.eye(7, dtype=np.float32), np.arange(7))
    assert found.rank.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.predicted.tolist() == [0] * 7
    assert summary(found.rank, np.arange(7)) == {"top_1": 1 / 7, "top_5": 5 / 7, "mean_per_class": 1 / 7}
    assert chance(7) == pytest.approx({"top_1": 1 / 7, "top_5": 5 / 7, "mean_per_class": 1 / 7})
    assert chance(3)["top_5"] == 1


def test_constant_scores_are_no_hit():
    found = classify(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), np.arange(3))
    assert found.rank.tolist() == [2, 2, 2]
    assert summary(found.rank, np.arange(3))["top_1"] == 0


def test_a_class_is_the_unit_mean_of_its_embedded_prompts():
    # Of two unit prompts each: the mean of (1, 0) and (0, 1) is (1, 1) / 2, at unit length (1, 1) / sqrt(2).
    v = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.6, 0.8]])
    assert zero_shot.unit_means(v, 2) == pytest.approx(np.array([[1, 1] / np.sqrt(2), [0.6, 0.8]]))


class Pair:
    """Images as they are; prompts turned."""

    def embed(self, x, y):
        return x, y[:, ::-1]


def read_features(x, ids, **metadata):
    return features.Features(np.asarray(ids), np.asarray(ids), np.asarray(x, np.float32), metadata)


def test_images_and_prompts_go_through_the_method():
    images = read_features([[1, 0], [0, 1], [0.8, 0.6]], [7, 8, 9])
    prompts = read_features([[0, 1], [0, 2], [1, 0], [1, 0.5]], range(4), classes=json.dumps(["cat", "dog"]))
    found = zero_shot.evaluate(Pair(), images, prompts, {9: 1, 8: 1, 7: 0})
    assert found.table["label"].tolist() == [0, 1, 1]
    assert found.table["predicted"].tolist() == [0, 1, 0]
    assert found.metrics["mean_per_class"] == (1 + 1 / 2) / 2
    for labels, words in (
        ({9: 1, 8: 1}, "image 7: expected a label"),
        ({9: 1, 8: 2, 7: 0}, "expected labels from 0 to 1, found 2"),
        ({9: 1, 8: 1, 7: 1}, "class 'cat': expected a test image or more"),
    ):
        with pytest.raises(InputError, match=words):
            zero_shot.evaluate(Pair(), images, prompts, labels)


def test_the_probe_tells_apart_what_a_line_can_and_chooses_its_penalty():
    draw = np.random.default_rng(0)
    centres = 3 * draw.standard_normal((4, 6))
    labels = np.arange(400) % 4
    x = (centres[labels] + draw.standard_normal((400, 6))).astype(np.float32)
    fitted = probe.fit(x[:200], labels[:200], 4)
    assert fitted.penalty in probe.PENALTIES
    right = fitted.scores(x[200:]).argmax(1) == labels[200:]
    assert right.mean() > 0.95
    # The same as ordinary least squares of the indicators with a constant, where the penalty vanishes.
    design = np.hstack([x[:200], np.ones((200, 1))]).astype(float)
    weights = np.linalg.lstsq(design, np.eye(4)[labels[:200]], rcond=None)[0]
    plain = probe.Sums.of(x[:200], labels[:200], 4).probe(0).scores(x[200:])
    assert plain == pytest.approx(np.hstack([x[200:], np.ones((200, 1))]) @ weights, abs=1e-6)
    with pytest.raises(InputError, match="expected enough training images to hold some out, found 2"):
        probe.fit(x[:2], labels[:2], 4)


def write_features(path: Path, x, ids, **head) -> str:
    arrays = {"ids": ("int64", (len(ids),)), "image_ids": ("int64", (len(ids),)), "pooled": ("float32", x.shape)}
    with features.writer(path, arrays, head) as out:
        out["ids"][:], out["image_ids"][:], out["pooled"][:] = ids, ids, x
    return str(path)


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """A fitted CCA of two linear views of 60 points, and labelled views of others: the class is the nearest prompt."""
    draw = np.random.default_rng(1)
    to_x, to_y = draw.standard_normal((4, 6)), draw.standard_normal((4, 5))
    points = draw.standard_normal((60, 4))
    model = methods.build({"kind": "cca"}).fit(points @ to_x, points @ to_y, pairs=np.arange(60))
    head = {"dataset": "points", "vision": "eye", "text": "ear", "method": "cca", "pairs": "60", "unpaired": "shared"}
    model.save(tmp_path / "cca.safetensors", **head, seed="0")
    centres = draw.standard_normal((3, 4))
    labels = np.arange(30) % 3
    shown = (centres[labels] + 0.1 * draw.standard_normal((30, 4))) @ to_x
    prompts = (centres.repeat(2, 0) + 0.05 * draw.standard_normal((6, 4))) @ to_y
    about = {"classes": json.dumps(NAMES), "templates": json.dumps(["a {}", "the {}"])}
    splits = ["train"] * 12 + ["test"] * 18
    io.write_table(tmp_path / "labels.parquet", {"image_id": range(30), "split": splits, "label": labels})
    Classes(NAMES).save(tmp_path / "classes.json")
    return {
        "model": str(tmp_path / "cca.safetensors"),
        "labels": str(tmp_path / "labels.parquet"),
        "classes": str(tmp_path / "classes.json"),
        "test": write_features(tmp_path / "x", shown[12:], range(12, 30), dataset="zoo", split="test", encoder="eye"),
        "train": write_features(tmp_path / "t", shown[:12], range(12), dataset="zoo", split="train", encoder="eye"),
        "prompts": write_features(tmp_path / "y", prompts, range(6), dataset="zoo", encoder="ear", **about),
        "predictions": str(tmp_path / "out/predictions.parquet"),
        "record": str(tmp_path / "out/record.json"),
    }


def command(stage, files, **options):
    return [stage, *[word for name, value in options.items() for word in (f"--{name}", files.get(value, value))]]


RUN = {"model": "model", "images": "test", "classes": "prompts", "labels": "labels", "predictions": "predictions",
       "record": "record"}  # fmt: skip
PROBE = {"train": "train", "test": "test", "labels": "labels", "classes": "classes", "predictions": "predictions",
         "record": "record"}  # fmt: skip


@pytest.mark.parametrize(("stage", "options"), [("classification", RUN), ("linear-probe", PROBE)])
def test_a_stage_classifies_and_its_record_fits_its_predictions(files, stage, options):
    assert main(command(stage, files, **options)) == 0
    record = Record.read(files["record"])["sets"]["zoo"]
    table = io.read_table(files["predictions"], ["set", "image_id", "label", "predicted", "rank"])
    assert record["classes"] == list(NAMES)
    assert (record["n_images"], record["n_classes"]) == (18, 3)
    assert table["set"] == ["zoo"] * 18
    assert record["metrics"] == summary(np.array(table["rank"]), np.array(table["label"]))
    assert record["metrics"]["top_1"] > 0.9


def test_several_sets_stand_in_one_record(files, tmp_path):
    other = features.read(files["test"])
    write_features(tmp_path / "x2", other.x, other.ids, dataset="farm", split="test", encoder="eye")
    prompts = features.read(files["prompts"])
    head = {name: prompts.metadata[name] for name in ("classes", "templates", "encoder")}
    write_features(tmp_path / "y2", prompts.x, prompts.ids, dataset="farm", **head)
    line = command("classification", files, **RUN)
    for name, file in (("--images", tmp_path / "x2"), ("--classes", tmp_path / "y2"), ("--labels", files["labels"])):
        line.insert(line.index(name) + 2, str(file))
    assert main(line) == 0
    sets = Record.read(files["record"])["sets"]
    assert list(sets) == ["zoo", "farm"]
    assert sets["zoo"]["metrics"] == sets["farm"]["metrics"]
    assert len(io.read_table(files["predictions"], ["set"])["set"]) == 36


def test_features_of_others_are_refused(files, tmp_path, refused):
    shown = features.read(files["test"])
    files["strange"] = write_features(tmp_path / "s", shown.x, shown.ids, dataset="zoo", split="test", encoder="nose")
    files["farm"] = write_features(tmp_path / "f", shown.x, shown.ids, dataset="farm", split="test", encoder="eye")
    refused(command("classification", files, **RUN | {"images": "strange"}), "features of 'eye'", "'nose'")
    refused(command("classification", files, **RUN | {"images": "farm"}), "one data set's images", "farm and zoo")
    refused(command("linear-probe", files, **PROBE | {"test": "strange"}), "one encoder, found eye and nose")
    io.write_table(tmp_path / "none.parquet", {"image_id": [], "split": [], "label": []})
    refused(command("classification", files, **RUN | {"labels": str(tmp_path / "none.parquet")}), "labelled images")


def test_prompts_are_encoded_class_by_class(files, tmp_path):
    spec = json.dumps({"kind": "glove"})
    line = command("encode-classes", files, classes="classes", dataset="zoo", encoder="glove", spec=spec, output=str(
        tmp_path / "p"))  # fmt: skip
    assert main([*line, "--templates", '["a photo of a {}.", "{}"]']) == 0
    found = features.read(tmp_path / "p")
    assert found.image_ids.tolist() == [0, 0, 1, 1, 2, 2]
    assert json.loads(found.metadata["classes"]) == list(NAMES)
    assert json.loads(found.metadata["templates"]) == ["a photo of a {}.", "{}"]
    assert main(line) == 0  # the data set's own
    assert len(features.read(tmp_path / "p").ids) == 3


def test_a_thousand_names_of_three_hundred_letters_are_prompts(files, tmp_path):
    names = tuple(f"{k} {'long name ' * 30}"[:300] for k in range(1000))
    assert {len(name) for name in names} == {300}
    Classes(names).save(tmp_path / "many.json")
    line = {"classes": "many", "dataset": "zoo", "encoder": "glove", "spec": '{"kind": "glove"}', "output": "prompts"}
    files |= {"many": str(tmp_path / "many.json"), "prompts": str(tmp_path / "p")}
    assert main(command("encode-classes", files, **line)) == 0
    found = features.read(tmp_path / "p")
    assert json.loads(found.metadata["classes"]) == list(names)
    assert found.x.shape[0] == 1000


def test_each_set_needs_its_classes_and_labels(files, refused):
    line = command("classification", files, **RUN)
    line.insert(line.index("--images") + 2, files["test"])
    refused(line, "expected classes and labels for each of 2 files")


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ('["a photo"]', "template 0: expected {}"),
        ('[""]', "template 0: expected {}"),
        ('["{}", 3]', None),
        ("[]", None),
    ],
)
def test_templates_that_are_none_are_refused(files, tmp_path, refused, templates, words):
    line = command("encode-classes", files, classes="classes", dataset="zoo", encoder="glove", output=str(
        tmp_path / "p"), spec='{"kind": "glove"}', templates=templates)  # fmt: skip
    if words is None:
        with pytest.raises(SystemExit):
            main(line)
    else:
        refused(line, words)
    assert not (tmp_path / "p").exists()


def test_data_without_classes_and_encoders_of_images_are_refused(files, tmp_path, refused):
    Classes().save(tmp_path / "none.json")
    line = {"classes": "classes", "dataset": "zoo", "encoder": "e", "spec": '{"kind": "glove"}', "output": str(
        tmp_path / "p")}  # fmt: skip
    refused(command("encode-classes", files, **line | {"classes": str(tmp_path / "none.json")}), "expected classes")
    vision = '{"kind": "efficientnet-lite"}'
    refused(command("encode-classes", files, **line | {"spec": vision}), "reads texts, found one of images")
