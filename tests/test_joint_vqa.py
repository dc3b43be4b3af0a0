"""Answers from raw pixels and words: learned from scratch, of one side alone, and by averaged weights."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from commands import ngw
from interrupted import ends_as_unbroken
from PIL import Image

from ngw import fusion, io
from ngw.cli import main
from ngw.data import SPLITS
from ngw.errors import InputError
from ngw.fusion import Tokens
from ngw.fusion.joint import Joint
from ngw.fusion.weight_averaging import WeightAveraging
from ngw.tasks.joint import vqa as joint_vqa
from ngw.tasks.joint.clip import stored
from ngw.tasks.vqa import answerer as vqa
from ngw.tasks.vqa.answers import Vocabulary
from ngw.tasks.vqa.labels import Labels

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
SIZE = {"size": 16, "patch": 8, "dims": 32, "layers": 1, "heads": 2}
TINY = Joint(**SIZE, epochs=30, learning_rate=5e-3)
OPTIONS = vqa.Options(epochs=30, learning_rate=5e-3, batch=16, looks=4, patience=4)


def test_pixels_without_crops_are_the_middle_of_those_with_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = stored([str(tmp_path / "a.png")], 16)
    assert whole.shape == (1, 3, 20, 20)
    assert torch.equal(whole[0].permute(1, 2, 0), torch.from_numpy(pixels[:, 2:-2]))  # of the largest square's size
    assert torch.equal(stored([str(tmp_path / "a.png")], 16, crops=False), whole[:, :, 2:18, 2:18])


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Pictures of one colour, asked for it, and whether they are a thing: image files, questions, labels."""
    from scipy.sparse import csr_array

    folder, draw = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    paths, questions, images, answers = {}, {}, [], []
    vocabulary = [*COLOURS, "yes"]
    for k in range(60):
        name, colour = list(COLOURS.items())[k % 3]
        pixels = np.clip(np.array(colour) + draw.normal(0, 8, (20, 20, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        paths[k] = str(folder / f"{k}.png")
        for text, said in (("What colour is it?", name), ("Is this here a thing?", "yes")):
            questions[len(questions)] = text
            images.append(k)
            answers.append(vocabulary.index(said))
    n = len(answers)
    targets = csr_array((np.ones(n, np.float32), (np.arange(n), answers)), shape=(n, len(vocabulary)))
    split = np.array([SPLITS.index("test" if i >= 48 else "train") for i in images], np.int8)
    known = Vocabulary(tuple(vocabulary), (1,) * len(vocabulary), 1, ("train",))
    return paths, questions, Labels(np.arange(n), np.array(images), split, targets, known)


def learned(spec, colours):
    """The share of right answers to the test's questions, what and whether, after training, and the answerer."""
    paths, questions, labels = colours
    rows = labels.rows("train")
    reader = joint_vqa.Reader(spec, paths, questions, [questions[int(i)] for i in labels.question_ids[rows]])
    model, trained = joint_vqa.train(spec, reader, labels, rows, OPTIONS, 0)
    test = labels.rows("test")
    said = vqa.answer(model, reader.rows(labels, test), np.arange(len(test)))
    right = labels.targets.toarray()[test, said]
    return right[0::2].mean(), right[1::2].mean(), model, trained


def test_a_joint_model_learns_what_needs_both_sides(colours):
    what, whether, *_ = learned(TINY, colours)
    assert (what, whether) == (1.0, 1.0)


def test_averaged_weights_know_which_question_but_not_the_colour_asked_for(colours):
    # At weight 1 trunk and classifier are the question-only model's, which has never seen an image.
    spec = WeightAveraging(1.0, **SIZE, epochs=30, learning_rate=5e-3)
    what, _, model, trained = learned(spec, colours)
    assert what < 0.8
    assert model.network.sides == ("a", "b")
    assert trained.seconds > 0


def test_the_average_has_each_sides_stem_and_the_mean_of_the_rest():
    pair = [vqa.Answerer(joint_vqa.Stream(TINY, 12, seed), ("yes", "no"), seed) for seed in (0, 1)]
    a, b = ({name: value.clone() for name, value in model.state_dict().items()} for model in pair)
    merged = joint_vqa.average(*pair, 0.25).state_dict()
    for name, value in merged.items():
        if name.startswith("network.patches."):
            wanted = a[name]
        elif name.startswith("network.words."):
            wanted = b[name]
        else:
            wanted = 0.75 * a[name] + 0.25 * b[name]
        torch.testing.assert_close(value, wanted)
    assert not torch.equal(a["head.weight"], b["head.weight"])


def test_padding_changes_no_answer():
    stream = joint_vqa.Stream(TINY, 12, 0).eval()
    pixels, some = torch.rand(2, 3, 16, 16), torch.tensor([[2, 5, 3], [2, 7, 3]])
    wider = torch.nn.functional.pad(some, (0, 3))
    short, long = (stream(pixels, None, tokens, tokens != 0) for tokens in (some, wider))
    torch.testing.assert_close(short, long)
    stream.sides = ("a",)
    torch.testing.assert_close(stream(pixels, None, some, some != 0), stream(pixels, None, some + 1, some != 0))


def test_a_killed_training_goes_on_to_the_same_weights(colours, tmp_path, monkeypatch):
    paths, questions, labels = colours
    reader = joint_vqa.Reader(TINY, paths, questions, list(questions.values()))
    options = vqa.Options(epochs=2, learning_rate=5e-3, batch=16, looks=4, patience=4)
    train = partial(joint_vqa.train, TINY, reader, labels, labels.rows("train"), options, 0)
    ends_as_unbroken(train, joint_vqa.Raw, "batch", 8, tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", ["joint", "weight-averaging"])
def test_the_stage_writes_what_the_fuse_stage_writes(kind, scenes, tmp_path):
    assert main(ngw("labels", **{"tables": scenes, "min-count": 1, "output": tmp_path / "labels"})) == 0
    options = {
        "tables": scenes, "labels": tmp_path / "labels", "dataset": "scenes", "vision": "v", "text": "t",
        "splits": "test", "fusion": kind, "spec": {"kind": kind, **SIZE, "epochs": 1}, "share": "all", "seed": 0,
        "training": {"batch": 8, "looks": 2}, "output": tmp_path / "run",
    }  # fmt: skip
    assert main(ngw("joint-vqa", **options)) == 0
    record = io.read_json(tmp_path / "run" / "training.json")
    assert (record["fusion"], record["aligner"], record["pairs"], record["role"]) == (kind, None, "0", "baseline")
    assert record["cost"]["parameters"] > 1000
    asked = io.read_table(scenes / "questions.parquet", ["question_id"], "test")["question_id"]
    said = json.loads((tmp_path / "run" / "predictions" / "test.json").read_text())
    assert [entry["question_id"] for entry in said] == asked
    files = {"predictions": tmp_path / "scores", "record": tmp_path / "record"}
    run = {"training": tmp_path / "run" / "training.json", "results": tmp_path / "run" / "predictions" / "test.json"}
    assert main(ngw("vqa", tables=scenes, **run, **files)) == 0
    assert 0 <= io.read_json(tmp_path / "record")["metrics"]["accuracy"] <= 1


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"weight is a share in \[0, 1\], not 2"):
        WeightAveraging(2)
    with pytest.raises(ValueError, match="patch divides size"):
        Joint(size=20)
    with pytest.raises(InputError, match="found tokens; use the stage joint-vqa"):
        fusion.build({"kind": "joint"}).network(Tokens(4), Tokens(4))
