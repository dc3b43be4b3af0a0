"""Visual question answering, stage by stage on real encoders, and what each refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ngw
from vqa_runs import CROSS, TEXT, VISION, fuse, made

from ngw import data, fusion, io, methods
from ngw.cli import main
from ngw.features import tokens
from ngw.features.basis import read_basis, write_basis
from ngw.fusion import Basis, Tokens
from ngw.metrics.vqa import accuracies
from ngw.tasks.vqa import answerer as vqa
from ngw.tasks.vqa import examples as vqa_examples
from ngw.tasks.vqa.labels import Labels
from ngw.tasks.vqa.similarity import Space, read_answers

__all__ = ["made"]  # a fixture


@pytest.fixture(scope="module")
def fused(made, tmp_path_factory) -> Path:
    """The folder of a trained run."""
    output = tmp_path_factory.mktemp("runs") / "run"
    assert main(fuse(made, output)) == 0
    return output


def score(scenes, run, output, **changes):
    options = {"tables": scenes, "training": run / "training.json"}
    options |= {"results": run / "predictions" / "test.json", "predictions": output / "p", "record": output / "r"}
    return ngw("vqa", **(options | changes))


def asked(scenes, split):
    columns = ["question_id", "image_id", "split", "text", "answers", "answer_type"]
    table = io.read_table(scenes / "questions.parquet", columns)
    rows = [row for row, where in enumerate(table["split"]) if where == split]
    return {name: [values[row] for row in rows] for name, values in table.items()}


def test_a_run_leaves_a_model_a_record_and_the_official_results(scenes, made, fused):
    assert sorted(path.name for path in fused.iterdir()) == ["model.safetensors", "predictions", "training.json"]
    results = json.loads((fused / "predictions" / "test.json").read_text())
    assert [set(entry) for entry in results] == [{"question_id", "answer"}] * len(results)
    assert [entry["question_id"] for entry in results] == asked(scenes, "test")["question_id"]
    told = io.read_json(fused / "training.json")
    who = {"dataset": "scenes", "vision": "vision", "text": "text", "fusion": "f", "aligner": "cca", "pairs": "all"}
    assert {**who, "unpaired": "shared", "labels": "all", "seed": 0, "kind": "cross-attention"}.items() <= told.items()
    assert set(told["alphas"]) == {"a", "b"}
    assert told["training"]["curve"]["step"][0] == 0
    assert 0 <= told["training"]["waiting"] < 1
    labels = Labels.read(made / "labels")
    # Projections, alphas, norms, both layers, the gain; classifier and gates; no maps.
    parameters = 2 * (8 * 8 + 8) + 2 + 4 * 8 + (16 * 8 + 8) + (8 * 8 + 8) + 9 + 10 * len(labels.vocabulary.answers)
    assert told["cost"]["parameters"] == parameters


def test_scores_are_the_official_scorers(scenes, made, fused, tmp_path):
    assert main(score(scenes, fused, tmp_path)) == 0
    told, table = io.read_json(tmp_path / "r"), io.read_table(tmp_path / "p", ["question_id", "answer", "accuracy"])
    questions = asked(scenes, "test")
    expected = accuracies(table["answer"], questions["answers"])
    np.testing.assert_allclose(table["accuracy"], expected)
    assert told["metrics"]["accuracy"] == pytest.approx(expected.mean())
    yes_no = np.array(questions["answer_type"]) == "yes/no"
    assert told["metrics"]["accuracy_yes_no"] == pytest.approx(expected[yes_no].mean())
    assert told["role"] == "method"
    assert (told["n_questions"], told["n_images"], told["split"]) == (len(expected), 4, "test")
    assert 0 < told["vocabulary"]["ceiling"] <= 1
    assert "n_images_trained_on" not in told


def test_test_images_that_training_asks_about_too_are_encoded_for_both_and_counted(scenes, made, fused, tmp_path):
    shared = data.Dataset.read(scenes)
    first = shared.questions["split"].index("train")
    shared.questions["image_id"][first] = asked(scenes, "test")["image_id"][0]
    shared.save(tmp_path / "tables")
    assert main(score(tmp_path / "tables", fused, tmp_path)) == 0
    told = io.read_json(tmp_path / "r")
    assert (told["n_images_trained_on"], told["n_images"]) == (1, 4)
    who = {"tables": tmp_path / "tables", "dataset": "scenes", "encoder": "vision", "spec": VISION, "split": "train"}
    assert main(ngw("tokens", **who, basis=made / "vision.basis", output=tmp_path / "t")) == 0
    assert len(tokens.TokenFile(tmp_path / "t").rows([shared.questions["image_id"][first]])) == 1


def test_a_run_killed_in_its_middle_ends_as_an_unbroken_one(made, fused, tmp_path, monkeypatch):
    real, calls = vqa.Sides.batch, []

    def fails(self, places, device="cpu", targets=None):
        calls.append(1)
        if targets is not None and len(calls) > 9:
            raise KeyboardInterrupt
        return real(self, places, device, targets)

    monkeypatch.setattr(vqa.Sides, "batch", fails)
    with pytest.raises(KeyboardInterrupt):
        main(fuse(made, tmp_path / "run"))
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.safetensors"]
    assert main(fuse(made, tmp_path / "run")) == 0
    ours, theirs = (
        io.read_tensors(folder / "model.safetensors", "a network", "run") for folder in (tmp_path / "run", fused)
    )
    assert ours[1] == theirs[1]
    assert ours[0].keys() == theirs[0].keys()
    assert all(np.array_equal(value, theirs[0][name]) for name, value in ours[0].items())
    file = Path("predictions") / "test.json"
    assert (tmp_path / "run" / file).read_bytes() == (fused / file).read_bytes()


def test_a_saved_network_answers_as_it_did(made, fused):
    files = [tokens.TokenFile(made / f"{side}.test") for side in ("vision", "text")]
    labels = Labels.read(made / "labels")
    aligner = methods.load(made / "aligner")
    model = vqa.load(fused / "model.safetensors", *files, aligner)
    rows = labels.rows("test")
    space = Space.of(aligner, tokens.TokenFile(made / "vision.train"))
    sides = vqa.Sides.of(*files, labels, rows, space)
    said = [labels.vocabulary.answers[k] for k in vqa.answer(model, sides, np.arange(len(rows)))]
    results = json.loads((fused / "predictions" / "test.json").read_text())
    assert said == [entry["answer"] for entry in results]


def test_training_beats_the_prior_on_what_it_trained_on(made):
    files = [tokens.TokenFile(made / f"{side}.train") for side in ("vision", "text")]
    labels = Labels.read(made / "labels")
    rows = labels.rows("train")
    aligner = methods.load(made / "aligner")
    space = Space.of(aligner, files[0])
    sides = vqa.Sides.of(*files, labels, rows, space)
    texts = space.texts(read_answers(made / "answers", "text", labels.vocabulary.answers))
    model = vqa.build(CROSS, *files, aligner, labels.vocabulary.answers, 0, texts)
    options = vqa.Options(epochs=80, batch=16, learning_rate=0.02, patience=99)
    trained = vqa.fit(model, sides, labels, rows, options, 0)
    targets = labels.targets[rows]
    reached = targets[np.arange(len(rows)), vqa.answer(model, sides, np.arange(len(rows)))].mean()
    assert reached > targets.mean(0).max() + 0.2
    assert trained.curve["held_out"][-1] <= 1


def test_the_control_says_the_most_frequent_answer(scenes, made, tmp_path):
    who = {"tables": scenes, "labels": made / "labels", "dataset": "scenes", "vision": "v", "text": "t", "seed": 0}
    command = ngw("prior", **who, fusion="prior", spec={"kind": "prior"}, splits="test", output=tmp_path)
    assert main(command) == 0
    results = json.loads((tmp_path / "predictions" / "test.json").read_text())
    assert {entry["answer"] for entry in results} == {Labels.read(made / "labels").vocabulary.answers[0]}
    assert main(score(scenes, tmp_path, tmp_path)) == 0
    assert io.read_json(tmp_path / "r")["role"] == "control"


def test_attention_is_what_the_fusion_mixes(made):
    network = fusion.build(CROSS).network(
        Tokens(8), Tokens(8), fusion.align(methods.load(made / "aligner"), *identity(made)), 0
    )
    z_a, z_b = (torch.randn(2, n, 8, generator=torch.Generator().manual_seed(n)) for n in (4, 3))
    mask_a, mask_b = torch.ones(2, 4, dtype=torch.bool), torch.tensor([[True, True, False], [True, True, True]])
    with torch.no_grad():
        weights = network.attention(z_a, mask_a, z_b, mask_b)  # [2, 3, 4]
        mixed, _ = network.mixed(z_a, mask_a, z_b, mask_b)["b"]
        seen, own = weights @ network.carried("b", z_a), network.project["b"](z_b)
        alpha = network.alphas()["b"]
        # What is carried: the map, then the projection, in one product.
        apart = network.project["b"](network.maps.ab(z_a))
    torch.testing.assert_close(network.carried("b", z_a).detach(), apart, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(weights.sum(-1), mask_b.float())
    torch.testing.assert_close(mixed[mask_b], (alpha * own + (1 - alpha) * seen)[mask_b], atol=1e-5, rtol=1e-4)


def identity(made):
    """The bases of the token files."""
    return [read_basis(made / f"{side}.basis")[0] for side in ("vision", "text")]


def test_examples_show_what_was_asked_and_where_it_looks(scenes, made, fused, tmp_path):
    assert main(score(scenes, fused, tmp_path)) == 0
    files = [tokens.TokenFile(made / f"{side}.test") for side in ("vision", "text")]
    said = {"f": io.read_table(tmp_path / "p", ["question_id", "image_id", "answer", "accuracy"])}
    table = io.read_table(scenes / "questions.parquet", ["question_id", "text", "multiple_choice_answer"])
    pictures = io.read_table(scenes / "images.parquet", ["image_id", "path"])
    network = fused / "model.safetensors"
    found = vqa_examples.examples(*files, network, methods.load(made / "aligner"), said, table, pictures)
    assert len(found) == 4  # one an image
    for example in found:
        assert example["image"].size == (224, 224)
        assert example["attention"].shape == (49,)
        assert example["attention"].sum() == pytest.approx(1, abs=1e-5)
        assert example["question"] in asked(scenes, "test")["text"]


def other_basis(made, tmp_path, scenes):
    """A token file of test questions in a basis of its own."""
    who = {"tables": scenes, "dataset": "scenes", "encoder": "text", "spec": TEXT}
    axes = Basis(np.eye(384, 8, dtype=np.float32), np.zeros(384, np.float32), 6.0)
    write_basis(tmp_path / "b", axes, {"scale": 1.0, "explained": 1.0}, {"dataset": "scenes", "encoder": "text"})
    assert main(ngw("tokens", **who, split="test", basis=tmp_path / "b", output=tmp_path / "text.other")) == 0
    return tmp_path / "text.other"


def test_files_that_do_not_belong_together_are_refused(scenes, made, tmp_path, refused):
    images, questions = ([made / f"{side}.{split}" for split in ("train", "test")] for side in ("vision", "text"))
    output = tmp_path / "run"
    refused(fuse(made, output, images=questions, questions=images), "text.train", "modality 'vision', found 'text'")
    refused(fuse(made, output, images=images[:1]), "the same splits of images and questions")
    refused(fuse(made, output, images=images[::-1], questions=questions), "the same splits")
    other = other_basis(made, tmp_path, scenes)
    refused(fuse(made, output, questions=[questions[0], other]), "text.other", "expected the basis of", "text.train")
    refused(fuse(made, output, images=[images[0], tmp_path / "none"]), "none: no such token file")
    refused(fuse(made, output, labels=made / "aligner"), "aligner", "expected a file of labels, found other tensors")
    assert not output.exists()


def test_labels_of_other_questions_are_refused(made, tmp_path, refused):
    labels = Labels.read(made / "labels")
    moved = Labels(labels.question_ids + 5, labels.image_ids, labels.split, labels.targets, labels.vocabulary)
    moved.save(tmp_path / "labels")
    refused(fuse(made, tmp_path / "run", labels=tmp_path / "labels"), "text.train", "expected its tokens, found none")


def test_an_aligner_of_other_encoders_is_refused(made, tmp_path, refused):
    aligner, head = methods.load_with_metadata(made / "aligner")
    kept = ("dataset", "vision", "text", "method", "pairs", "seed", "train_seconds", "peak_memory_mb")
    aligner.save(tmp_path / "aligner", **{name: head[name] for name in kept} | {"vision": "resnet"})
    command = fuse(made, tmp_path / "run", model=tmp_path / "aligner")
    refused(command, "vision.train", "tokens of 'resnet', on which the aligner was fitted, found those of 'vision'")


def test_too_few_labels_are_refused(made, tmp_path, refused):
    refused(fuse(made, tmp_path / "run", share="1"), "2 images or more, since 1 are held out, found 1")
    with pytest.raises(SystemExit):
        main(fuse(made, tmp_path / "run", share="200"))


def test_options_of_the_training_are_checked(made, tmp_path, refused):
    refused(fuse(made, tmp_path / "run", training={"batch": 0}), "training: batch: expected more than 0, found 0")
    refused(fuse(made, tmp_path / "run", training={"device": "cuda"}), "a GPU that torch can use, found none")


def test_questions_without_image_or_answers_are_refused(scenes, made, tmp_path, refused):
    shutil.copytree(scenes, tmp_path / "tables")
    images = io.read_table(scenes / "images.parquet", ["image_id", "split", "path"])
    io.write_table(tmp_path / "tables" / "images.parquet", {name: values[1:] for name, values in images.items()})
    who = {"dataset": "scenes", "encoder": "vision", "spec": VISION}
    command = ngw("basis", tables=tmp_path / "tables", **who, dims=8, output=tmp_path / "b")
    refused(command, f"image {images['image_id'][0]}", "since questions are about it, found none")
    command = ngw("tokens", tables=scenes, **who, split="val", basis=made / "text.basis", output=tmp_path / "t")
    refused(command, "text.basis", "expected the basis of vision on scenes, found that of text on scenes")


def test_results_that_do_not_answer_the_split_are_refused(scenes, made, fused, tmp_path, refused):
    results = json.loads((fused / "predictions" / "test.json").read_text())
    (tmp_path / "test.json").write_text(json.dumps(results[1:]))
    command = score(scenes, fused, tmp_path, results=tmp_path / "test.json")
    refused(command, "test.json", f"question_id {results[0]['question_id']}", "without an answer")
    (tmp_path / "train.json").write_text(json.dumps(results))
    refused(score(scenes, fused, tmp_path, results=tmp_path / "train.json"), "train.json", "without an answer")
    assert not (tmp_path / "r").exists()


def test_an_unlabelled_split_can_be_answered_but_not_scored(scenes, made, fused, tmp_path, refused):
    shutil.copytree(scenes, tmp_path / "tables")
    names = ["question_id", "image_id", "split", "text", "question_type", "answer_type", "multiple_choice_answer"]
    table = io.read_table(scenes / "questions.parquet", [*names, "answers"])
    table["answers"] = [[] if s == "test" else a for s, a in zip(table["split"], table["answers"], strict=True)]
    io.write_table(tmp_path / "tables" / "questions.parquet", table)
    labels = ngw("labels", **{"tables": tmp_path / "tables", "min-count": 1, "output": tmp_path / "labels"})
    assert main(labels) == 0
    assert main(fuse(made, tmp_path / "run", labels=tmp_path / "labels")) == 0
    assert (tmp_path / "run" / "predictions" / "test.json").is_file()
    first = table["question_id"][table["split"].index("test")]
    refused(score(tmp_path / "tables", fused, tmp_path), f"question_id {first}", "score a labelled split")
