"""Every stage from its command line: what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import WARP, ngw, training
from safetensors import safe_open
from safetensors.numpy import load_file

from ngw import features, io
from ngw.cli import main
from ngw.report.tables import similarity
from ngw.tasks import stages

# What the stages write.


def test_data_writes_tables_and_a_record(scenes):
    images = io.read_table(scenes / "images.parquet", ["image_id", "split", "path"])
    captions = io.read_table(scenes / "captions.parquet", ["caption_id", "image_id", "split", "text"])
    assert [images["split"].count(split) for split in ("train", "val", "test")] == [6, 1, 4]
    assert len(captions["text"]) == 5 * 11
    assert set(captions["image_id"]) == set(images["image_id"])
    assert all(os.path.isfile(path) for path in images["path"])
    record = io.read_json(scenes / "record.json")
    assert record["images"] == {"train": 6, "val": 1, "test": 4}
    assert record["skipped_images"] == []


@pytest.fixture(scope="module")
def encoded(scenes, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Feature files of the scenes by split, through both real encoders."""
    folder = tmp_path_factory.mktemp("features")
    for split in ("train", "test"):
        for name, spec in (("vision", {"kind": "efficientnet-lite"}), ("text", {"kind": "transformers-text"})):
            command = ngw("encode", tables=scenes, dataset="scenes", split=split, encoder=name, spec=spec)
            assert main([*command, "--output", str(folder / split / name)]) == 0
    return {split: (folder / split / "vision", folder / split / "text") for split in ("train", "test")}


def test_encode_writes_one_split_with_who_it_is(scenes, encoded):
    vision, text = (features.read(path) for path in encoded["train"])
    assert vision.x.shape == (6, 1280)
    assert text.x.shape == (30, 384)
    assert vision.ids.tolist() == [1_000_000 + i for i in range(6)] == vision.image_ids.tolist()
    assert text.image_ids.tolist() == np.repeat(vision.ids, 5).tolist()
    known = {"dataset": "scenes", "split": "train", "encoder": "vision", "licence": "Apache-2.0"}
    assert known.items() <= vision.metadata.items()
    assert json.loads(vision.metadata["spec"]) == {"kind": "efficientnet-lite"}


def test_encode_counts_the_captions_that_it_cuts(scenes, tmp_path, capsys):
    for most, said in ((4, "split 'val': 5 of 5 captions fill the encoder's 4 tokens, and the rest"), (64, "")):
        spec = {"kind": "transformers-text", "max_length": most}
        command = ngw("encode", tables=scenes, dataset="scenes", split="val", encoder="text", spec=spec)
        assert main([*command, "--output", str(tmp_path / "text")]) == 0
        told = capsys.readouterr().err
        assert said in told if said else "tokens" not in told


def test_real_features_through_fit_and_retrieval(encoded, tmp_path):
    model, table, record = tmp_path / "model", tmp_path / "ranks.parquet", tmp_path / "record.json"
    assert main(training("fit", encoded["train"], model, pairs="all", method="my-ridge", seed=3)) == 0
    assert main(ngw("retrieval", pair=encoded["test"], model=model, predictions=table, record=record)) == 0
    told = io.read_json(record)
    who = {"dataset": "scenes", "vision": "vision", "text": "text", "method": "my-ridge", "pairs": "all", "seed": 3}
    assert {
        **who,
        "unpaired": "shared",
        "kind": "ridge",
        "task": "retrieval",
        "n_images": 4,
        "n_captions": 20,
    }.items() <= told.items()
    assert told["cost"]["parameters"] == 2 * 1280 * 384 + 1280 + 384
    ranks = io.read_table(table, ["direction", "query_id", "image_id", "rank"])
    assert ranks["direction"] == ["i2t"] * 4 + ["t2i"] * 20
    found = np.array(ranks["rank"][4:]) <= 1
    assert told["metrics"]["t2i_recall_1"] == found.mean()


def test_transport_and_maps(pair, tmp_path, capsys):
    plan, model = tmp_path / "plan", tmp_path / "model"
    assert main(training("transport", pair, plan, spec=WARP)) == 0
    arrays = load_file(plan)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert (shapes["to_y"], shapes["to_x"]) == ((12, 4), (12, 4))  # targets in whitened coordinates
    assert {shapes[f"{name}_{side}"] for name in ("mass", "support") for side in "xy"} == {(12,)}
    assert (shapes["f"], shapes["g"]) == ((2, 12), (2, 12))  # of both plans
    with safe_open(plan, framework="np") as file:
        told = json.loads(file.metadata()["diagnostics"])
    assert {"n_iter", "marginal_error", "converged", "reason", "effective_support", "true_mass"} <= set(told)
    assert told["converged"]
    assert json.loads(capsys.readouterr().out) == told
    assert main([*training("maps", pair, model, spec=WARP), "--plan", str(plan)]) == 0
    assert main(training("fit", pair, tmp_path / "whole", spec=WARP)) == 0  # both stages in one
    whole = load_file(tmp_path / "whole")
    for name, array in load_file(model).items():
        np.testing.assert_array_equal(array, whole[name])


def test_the_same_seed_gives_the_same_file_but_for_its_times(pair, tmp_path):
    for name in ("a", "b", "c"):
        assert main(training("fit", pair, tmp_path / name, spec=WARP, seed=int(name == "c"))) == 0
    a, b, c = (load_file(tmp_path / name) for name in ("a", "b", "c"))
    assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)  # the curve has no loss at step 0
    assert not np.array_equal(a["ab_w_"], c["ab_w_"])


# As a user's shell sees it.


def shell(*command: str) -> subprocess.CompletedProcess:
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, "-m", "ngw", *command], capture_output=True, text=True, env=environment)


def test_bad_input_is_one_line_status_2_and_no_file(pair, tmp_path):
    content = pair[0].read_bytes()
    pair[0].write_bytes(content[:-7])
    done = shell(*training("fit", pair, tmp_path / "out" / "model"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ngw fit: {pair[0]}: expected features, found content ")
    assert done.stderr.endswith("; delete it and rerun its stage.\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    pair[0].write_bytes(content)
    assert shell(*training("fit", pair, tmp_path / "out" / "model")).returncode == 0


def test_a_defect_of_ours_keeps_its_traceback_and_another_status(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "fit", wraps(stages.fit)(lambda **options: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        main(training("fit", pair, tmp_path / "out"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "the following arguments are required: stage"),
        (["fti"], "invalid choice: 'fti'"),
        (["fit"], "the following arguments are required: --vision"),
        (["data", "--spec", "{", "--output", "x"], "--spec: expected JSON such as"),
        (["data", "--spec", "[]", "--output", "x"], "--spec: expected a JSON object with a kind, found []"),
        (["data", "--spec", "{}", "--output", "x"], "--spec: expected a JSON object with a kind, found {}"),
        (["collate", "--grid", "{", "--output", "x"], "--grid"),
        (training("fit", ("a", "b"), "c", pairs="some"), "--pairs: expected a number or all, found 'some'"),
        (training("fit", ("a", "b"), "c", pairs="-3"), "--pairs"),
        (training("fit", ("a", "b"), "c", captions="-1"), "--captions: expected 1 or more, found '-1'"),
        (training("fit", ("a", "b"), "c", captions=0), "--captions: expected 1 or more, found '0'"),
    ],
)
def test_wrong_usage_is_told_with_status_2(capsys, command, words):
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_test_rows_that_equal_training_rows_are_counted_and_told(pair, rewrite, tmp_path, capsys):
    tests = [Path(shutil.copy(path, tmp_path / f"test-{path.name}")) for path in pair]
    for path, known in zip(tests, (5, 0), strict=True):
        x = features.read(path).x
        rewrite(path, pooled=np.concatenate([x[:known], x[known:] + np.float32(0.5)]))
    trained = {"train-vision": pair[0], "train-text": pair[1]}
    assert main(ngw("similarity", pair=tests, record=tmp_path / "record.json", **trained)) == 0
    record = io.read_record(tmp_path / "record.json")
    assert record["repeated_rows"] == {"vision": 5, "text": 0}
    legend = "points: 5 rows of vision-encoder and 0 rows of text-encoder equal a training row"
    none = pd.DataFrame(columns=["dataset", "vision", "text", "pairs", "unpaired", "metric", "role", "mean"])
    assert legend in similarity.build([record], none, "all")["similarity.md"]
    record["repeated_rows"] = {"vision": 0, "text": 0}
    assert "training row" not in similarity.build([record], none, "all")["similarity.md"]
    assert f"{tests[0]}: 5 of 12 rows equal a row of {pair[0]}" in capsys.readouterr().err
