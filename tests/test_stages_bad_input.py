"""Bad input of every stage: one sentence, status 2, no output, and a rerun after the mend goes through."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import WARP, ngw, training
from safetensors.numpy import save_file

from ngw import features, io
from ngw.cli import main

# Bad data sets.


def coco(folder: Path, images: int = 3, change=None) -> dict:
    """A data set in COCO's official layout, three images a split, and its config entry."""
    from PIL import Image

    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True)
        files = [{"id": 10 * len(split) + i + (split == "test"), "file_name": f"{i}.png"} for i in range(images)]
        for entry in files:
            Image.new("RGB", (8, 8)).save(folder / split / entry["file_name"])
        said = [{"id": 10 * entry["id"], "image_id": entry["id"], "caption": "a picture"} for entry in files]
        content = {"images": files, "annotations": said}
        if change is not None and split == "train":
            change(content)
        (folder / "annotations").mkdir(exist_ok=True)
        io.write_json(folder / "annotations" / f"captions_{split}.json", content)
    return {"kind": "coco", "root": str(folder), "subsets": {split: split for split in ("train", "val", "test")}}


def caption_of_no_image(content):
    content["annotations"][1]["image_id"] = 77


def test_a_caption_file_that_is_wrong(tmp_path, refused):
    spec, out = coco(tmp_path / "raw", change=caption_of_no_image), tmp_path / "out"
    words = ["caption_id 510: expected an image of the data set, found image 77", "add the image or"]
    refused(ngw("data", spec=spec, output=out), "captions_train.json", *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "a file of zero bytes"), (b"no picture", "a file that can't be decoded"), (None, "no file")],
    ids=["empty", "unreadable", "missing"],
)
def test_an_image_that_can_not_be_read_stops_the_run_or_is_skipped_and_recorded(tmp_path, refused, content, found):
    spec, bad, out = coco(tmp_path / "raw"), tmp_path / "raw" / "train" / "1.png", tmp_path / "out"
    whole = bad.read_bytes()
    if content is None:
        bad.unlink()
    else:
        bad.write_bytes(content)
    command = ngw("data", spec=spec, output=out)
    refused(command, bad, f"expected an image, found {found}", "1 of 9 images can't be read", "on_error: skip")
    assert not out.exists()

    assert main(ngw("data", spec={**spec, "on_error": "skip"}, output=out)) == 0
    record = io.read_json(out / "record.json")
    assert [(skip["path"], skip["reason"][: len(found)]) for skip in record["skipped_images"]] == [(str(bad), found)]
    assert record["images"] == record["captions"] == {"train": 2, "val": 3, "test": 3}
    assert 51 not in io.read_table(out / "captions.parquet", ["image_id"])["image_id"]

    bad.write_bytes(whole)  # mended: the same command goes through
    assert main(command) == 0
    assert io.read_json(out / "record.json")["images"] == {"train": 3, "val": 3, "test": 3}


def test_an_unknown_data_set_kind(tmp_path, refused):
    refused(ngw("data", spec={"kind": "scene"}, output=tmp_path / "out"), "kind 'scene'", "Did you mean 'scenes'?")
    assert os.listdir(tmp_path) == []


# Bad input of the encode stage.


def encoding(tables, output, spec) -> list[str]:
    return ngw("encode", tables=tables, output=output, spec=spec, dataset="d", split="train", encoder="e")


def test_an_image_that_breaks_between_data_and_encode(scenes, tmp_path, refused):
    tables = tmp_path / "tables"
    tables.mkdir()
    columns = io.read_table(scenes / "images.parquet", ["image_id", "split", "path"])
    bad = tmp_path / "bad.png"
    bad.touch()
    last = [row for row, split in enumerate(columns["split"]) if split == "train"][-1]
    columns["path"][last] = str(bad)
    io.write_table(tables / "images.parquet", columns)
    command = encoding(tables, tmp_path / "out", {"kind": "efficientnet-lite"})
    refused(command, bad, "expected a readable image", "replace it, or set on_error: skip")
    assert not (tmp_path / "out").exists()
    assert sorted(os.listdir(tmp_path)) == ["bad.png", "tables"]  # no half-written file either
    shutil.copy(columns["path"][0], bad)  # mended
    assert main(command) == 0
    assert len(features.read(tmp_path / "out").x) == 6


def test_encode_names_what_it_lacks(scenes, tmp_path, refused):
    out, images, texts = tmp_path / "out", {"kind": "efficientnet-lite"}, {"kind": "transformers-text"}
    refused(encoding(tmp_path, out, images), tmp_path / "images.parquet", "no such table; run the stage")
    refused(encoding(scenes, out, {"kind": "eficientnet"}), "encoder kind", "Did you mean 'efficientnet-lite'?")
    refused(encoding(scenes, out, {**texts, "model": str(tmp_path)}), tmp_path / "config.json", "no such file")
    shutil.copy(scenes / "images.parquet", tmp_path)
    columns = io.read_table(scenes / "images.parquet", ["image_id", "split", "path"])
    io.write_table(tmp_path / "images.parquet", {**columns, "split": ["test"] * 11})
    refused(encoding(tmp_path, out, images), "split 'train': expected images, found none; enlarge the split")
    assert not out.exists()


# Bad input of fit, transport, maps and retrieval.


def truncated(pair, rewrite):
    pair[0].write_bytes(pair[0].read_bytes()[:-1])
    return pair[0], "expected features, found content that differs from its digest"


def of_another_modality(pair, rewrite):
    shutil.copy(pair[0], pair[1])
    return pair[1], "expected text features, found vision features"


def missing(pair, rewrite):
    pair[0].unlink()
    return pair[0], "no such feature file; run the encode stage"


FLAWS = [truncated, of_another_modality, missing]


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.__name__)
@pytest.mark.parametrize("stage", ["fit", "transport"])
def test_a_bad_feature_file_is_named_and_the_run_goes_on_once_it_is_mended(
    pair, rewrite, tmp_path, refused, flaw, stage
):
    whole = [path.read_bytes() for path in pair]
    command = training(stage, pair, tmp_path / "out" / "model", spec=WARP)
    refused(command, *flaw(pair, rewrite))
    assert not (tmp_path / "out").exists()
    for path, content in zip(pair, whole, strict=True):
        path.write_bytes(content)
    assert main(command) == 0
    assert os.listdir(tmp_path / "out") == ["model"]


def test_features_of_two_data_sets(pair, write_cloud, tmp_path, refused):
    write_cloud(pair[1], "text", dataset="circles")
    words = ["expected features of data set 'points', like", "found 'circles'; encode both from one data set"]
    refused(training("fit", pair, tmp_path / "out"), pair[1], *words)


def test_features_of_two_splits(pair, rewrite, tmp_path, refused):
    rewrite(pair[0], ids=np.arange(12) + 1, image_ids=np.arange(12) + 1)
    refused(training("fit", pair, tmp_path / "out"), *pair, "caption 100: its image is not among", "from one split")


def test_foreign_captions_are_another_data_sets_and_encoded_alike(pair, write_cloud, rewrite, tmp_path, refused):
    other, out = tmp_path / "other.safetensors", tmp_path / "out"
    command = training("fit", pair, out, unpaired="foreign")
    refused(command, *pair, "foreign: expected rows of another data set, since unpaired is foreign, found none")
    command += ["--foreign", str(other)]
    refused(command, other, "no such feature file")
    write_cloud(other, "text")
    refused(command, other, f"expected another data set than {pair[1]}'s, found 'points'; name another")
    write_cloud(other, "text", dataset="circles", encoder="another")
    refused(command, other, "expected features of 'text-encoder', found those of 'another'")
    write_cloud(other, "text", dataset="circles")
    rewrite(other, pooled=features.read(other).x[:, 1:])
    refused(command, other, "expected features of width 5, like", pair[1], "found 4; encode both alike")
    write_cloud(other, "text", dataset="circles")
    shared = training("fit", pair, out, unpaired="shared")
    refused([*shared, "--foreign", str(other)], "expected none of another data set, since unpaired is shared")
    assert not out.exists()
    assert main(command) == 0


def test_a_plan_of_other_foreign_captions(pair, write_cloud, rewrite, tmp_path, refused):
    other, plan = write_cloud(tmp_path / "other", "text", dataset="circles"), tmp_path / "plan"
    foreign = ["--unpaired", "foreign", "--foreign", str(other)]
    assert main([*training("transport", pair, plan, spec=WARP), *foreign]) == 0
    command = [*training("maps", pair, tmp_path / "out", spec=WARP), "--plan", str(plan), *foreign]
    assert main(command) == 0
    rewrite(other, pooled=2 * features.read(other).x)
    refused(command, plan, "expected foreign_sha256")


@pytest.mark.parametrize("stage", ["fit", "transport"])
def test_a_budget_larger_than_the_train_split(pair, tmp_path, refused, stage):
    command = training(stage, pair, tmp_path / "out", pairs=13, spec=WARP)
    refused(command, *pair, "pairs: a budget of 13 is larger than the train split, 12 pairs; lower it")
    assert main([*command, "--captions", "2"]) == 0  # two captions an image make 24 pairs


@pytest.mark.parametrize("epsilon", [0, -1])
def test_epsilon_is_positive(pair, tmp_path, refused, epsilon):
    command = training("transport", pair, tmp_path / "out", spec={**WARP, "epsilon": epsilon})
    refused(command, "'warp': epsilon is positive", f"not {epsilon}")
    assert not (tmp_path / "out").exists()


def test_methods_that_do_not_exist_or_have_too_few_pairs_or_no_plan(pair, tmp_path, refused):
    refused(training("fit", pair, tmp_path / "out", spec={"kind": "rigde"}), "kind 'rigde'", "Did you mean 'ridge'?")
    refused(training("fit", pair, tmp_path / "out", pairs=1), *pair, "known pairs or more, found 1")
    refused(training("transport", pair, tmp_path / "out"), "expected a method with a plan, found 'ridge'; use the fit")
    assert not (tmp_path / "out").exists()


def test_a_plan_that_is_not_this_runs(pair, tmp_path, refused, write_cloud, rewrite):
    plan, out = tmp_path / "plan", tmp_path / "out"
    command = [*training("maps", pair, out, spec=WARP), "--plan", str(plan)]
    refused(command, plan, "expected a plan")
    assert main(training("transport", pair, plan, spec=WARP)) == 0
    whole = plan.read_bytes()
    refused(
        [*training("maps", pair, out, spec=WARP, seed=1), "--plan", str(plan)], plan, "expected seed '1', found '0'"
    )
    refused(
        [*training("maps", pair, out, spec=WARP, pairs=7), "--plan", str(plan)], plan, "expected pairs '7', found '6'"
    )
    words = [plan, "expected unpaired 'disjoint', found 'shared'; delete it and rerun"]
    refused([*command, "--unpaired", "disjoint"], *words)
    refused([*command, "--captions", "2"], plan, "expected a plan of 12 x 24 rows, found 12 x 12; solve it again")
    plan.write_bytes(whole[:-3])
    refused(command, plan, "expected a plan", "delete it and rerun")
    save_file({"x": np.ones(3)}, plan)
    refused(command, plan, "expected a plan, found a file without a digest of its content")
    io.write_tensors(plan, {"x": np.ones(3)}, {})
    refused(command, plan, "expected a plan, found other tensors; check the path")
    plan.write_bytes(whole)
    write_cloud(pair[0], "vision")  # encoded anew, the same file: the plan still fits
    assert main(command) == 0
    out.unlink()
    other = features.read(pair[1]).x.copy()
    rewrite(pair[1], pooled=2 * other)
    refused(command, plan, "expected text_sha256 ")
    assert not out.exists()


@pytest.fixture
def fitted(pair, tmp_path) -> tuple[Path, list[str]]:
    """A fitted method's file and the command line that ranks the very clouds with it."""
    model = tmp_path / "model"
    assert main(training("fit", pair, model, pairs="all")) == 0
    files = {"predictions": tmp_path / "ranks.parquet", "record": tmp_path / "record.json"}
    return model, ngw("retrieval", pair=pair, model=model, **files)


def test_retrieval_refuses_features_of_another_encoder(fitted, pair, write_cloud, tmp_path, refused):
    write_cloud(pair[0], "vision", encoder="another")
    refused(fitted[1], pair[0], "expected features of 'vision-encoder', found those of 'another'; delete the file")
    assert not (tmp_path / "record.json").exists()
    write_cloud(pair[0], "vision")
    assert main(fitted[1]) == 0
    assert io.read_json(tmp_path / "record.json")["metrics"]["t2i_recall_1"] > 0.5


@pytest.mark.parametrize("changes", [{"split": "train"}, {"dataset": "others"}])
def test_retrieval_refuses_training_features_and_another_data_set(fitted, pair, write_cloud, refused, changes):
    write_cloud(pair[0], "vision", **changes)
    refused(fitted[1], pair[0], "expected features of a held-out split of 'points', found those of")


def test_a_fit_refuses_test_features(pair, write_cloud, tmp_path, refused):
    write_cloud(pair[1], "text", split="test")
    line = ["fit", "--method", "ridge", "--spec", '{"kind": "ridge"}', "--pairs", "6", "--seed", "0"]
    line += ["--vision", str(pair[0]), "--text", str(pair[1]), "--output", str(tmp_path / "model.safetensors")]
    refused(line, pair[1], "expected features of a training split, found those of 'test'")


def test_retrieval_refuses_a_caption_without_its_image(fitted, pair, rewrite, refused):
    rewrite(pair[0], ids=np.arange(12) + 1, image_ids=np.arange(12) + 1)
    refused(fitted[1], *pair, "caption 100: its image is not in the test split; encode both")


def test_a_missing_cell_is_an_error_not_a_blank(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = {"datasets": ["d"], "encoder_pairs": [["v", "t"]], "methods": {"ridge": {"30": ["shared"]}}, "seeds": [0]}
    words = ["results/runs/d/v__t/ridge/pairs30/shared/seed0/metrics/retrieval.json: no such record"]
    refused(ngw("collate", grid=grid, output=tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()
