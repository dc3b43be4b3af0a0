"""One flipped bit of any file that a stage writes is refused by that file's reader, wherever the bit stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import training

from ngw import features, io, methods
from ngw.cli import main
from ngw.data import Dataset
from ngw.encoders import _huggingface
from ngw.errors import InputError
from ngw.features import tokens
from ngw.features.basis import read_basis, write_basis
from ngw.fusion import Basis
from ngw.metrics import paraphrases
from ngw.nn.training import Schedule, train
from ngw.report import stages
from ngw.report.frames import to_csv
from ngw.tasks import latents
from ngw.tasks.captions import decoder
from ngw.tasks.images import codec, decoders
from ngw.tasks.vqa import answerer as vqa
from ngw.tasks.vqa.labels import Labels

FLIPS = 40  # of single bits, spread over each file
ARRAYS = {"ids": np.arange(40), "x": np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)}


def refused_at_every_bit(path: Path, read, named: Path | None = None) -> None:
    """The whole file is read; with one bit flipped it is refused, by its name in one sentence."""
    whole = path.read_bytes()
    read()
    places = np.linspace(0, 8 * len(whole) - 1, FLIPS).astype(int).tolist()
    places += range(64, 64 + FLIPS)  # of a safetensors file: in its header
    for place in places:
        byte, bit = divmod(place, 8)
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << bit]) + whole[byte + 1 :])
        with pytest.raises(InputError, match="expected") as caught:
            read()
        assert str(named or path) in str(caught.value)
        assert "\n" not in str(caught.value)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="expected"):
            read()
    path.write_bytes(whole)
    read()


def test_features_and_their_shards(pair, tmp_path, write_cloud):
    refused_at_every_bit(pair[0], lambda: features.read(pair[0]))
    shard = write_cloud(tmp_path / "part", "vision", shard="1/1")
    refused_at_every_bit(shard, lambda: features.gather([shard], tmp_path / "all"))


def test_a_fitted_method(pair, tmp_path):
    model = tmp_path / "model"
    assert main(training("fit", pair, model)) == 0
    refused_at_every_bit(model, lambda: methods.load(model))


def test_a_plan_is_told_as_a_plan(pair, tmp_path, capsys):
    plan = tmp_path / "plan"
    spec = {"kind": "warp", "steps": 1, "dims": 4}
    assert main(training("transport", pair, plan, spec=spec)) == 0
    command = [*training("maps", pair, tmp_path / "model", spec=spec), "--plan", str(plan)]
    whole = plan.read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        plan.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        capsys.readouterr()
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"{plan}: expected a plan, found" in said
        assert "learning_rate" not in said


def test_tokens_and_their_basis(tmp_path):
    basis, about = Basis(np.eye(4, dtype=np.float32), np.zeros(4, np.float32), 2.0), {"scale": 1.0}
    write_basis(tmp_path / "basis", basis, about, {"encoder": "e"})
    refused_at_every_bit(tmp_path / "basis", lambda: read_basis(tmp_path / "basis"))
    arrays = {
        "ids": np.arange(3), "rows": np.arange(3), "starts": np.arange(4), "axes": basis.axes, "mean": basis.mean,
        "tokens": np.ones((3, 4), np.float16),
    }  # fmt: skip
    io.write_tensors(tmp_path / "tokens", arrays, {"schema": tokens.SCHEMA, "unit": "2.0", "scale": "1.0"})
    refused_at_every_bit(tmp_path / "tokens", lambda: tokens.TokenFile(tmp_path / "tokens"))


@pytest.mark.parametrize(
    "read",
    [
        Labels.read, decoder.load, decoders.load, lambda path: vqa.load(path, None, None, None),
        lambda path: latents.read_bridge(path, None, None), lambda path: io.read_tensors(path, "a reference"),
    ],
    ids=["labels", "captioner", "imager", "network", "bridge", "reference"],
)  # fmt: skip
def test_what_is_refused_before_anything_of_it_is_used(tmp_path, read):
    """These readers get a file of other content: whole, they read on; with a flipped bit they don't come to that."""
    path = tmp_path / "file"
    io.write_tensors(path, ARRAYS, dict.fromkeys(("vocabulary", "captioner", "imager", "fusion_spec", "bridge"), "{}"))

    def reading() -> None:
        try:
            read(path)
        except (KeyError, TypeError):  # of a whole file, which lacks what this reader wants
            assert path.read_bytes() == whole

    whole = path.read_bytes()
    refused_at_every_bit(path, reading)


def test_tables_and_records(tmp_path):
    io.write_table(tmp_path / "t.parquet", {"id": list(range(500)), "text": [f"text {i % 7}" for i in range(500)]})
    refused_at_every_bit(tmp_path / "t.parquet", lambda: io.read_table(tmp_path / "t.parquet", ["id", "text"]))
    io.write_record(tmp_path / "r.json", {"metrics": {"i2t_recall_1": 0.25}, "note": "", "n": 1000})
    assert io.read_record(tmp_path / "r.json") == {"metrics": {"i2t_recall_1": 0.25}, "note": "", "n": 1000}
    refused_at_every_bit(tmp_path / "r.json", lambda: io.read_record(tmp_path / "r.json"))
    Dataset({"image_id": [1], "path": ["a"], "split": ["train"]}, source="hand").save(tmp_path / "data")
    refused_at_every_bit(tmp_path / "data" / "record.json", lambda: Dataset.read(tmp_path / "data"))


def test_a_table_and_its_figure(tmp_path):
    rows = [{"dataset": "d", "vision": "v", "text": "t", "method": "ngw", "pairs": "all",
             "unpaired": "none", "metric": metric, "mean": 0.5, "std": 0.1, "low": 0.4, "high": 0.6,
             "n_seeds": 3, "role": "method", "converged": True}
            for metric in ("i2t_recall_1", "t2i_recall_1", "i2t_recall_10", "t2i_recall_10")]  # fmt: skip
    csv, figure = tmp_path / "tables" / "retrieval.csv", tmp_path / "figures" / "retrieval.d.v.t.png"
    stages.write_tables({"retrieval.csv": to_csv(pd.DataFrame(rows)), "retrieval.md": "# Retrieval\n" * 9}, csv.parent)
    stages.figures(csv, figure.parent)
    for path in (csv, csv.with_suffix(".md")):
        refused_at_every_bit(path, lambda path=path: stages.read_text(path))
    refused_at_every_bit(csv.with_suffix(".json"), lambda: stages.read_text(csv))
    refused_at_every_bit(figure, lambda: stages.read_figure(figure))
    csv.write_text(csv.read_text().replace("0.5", "0.9", 1))
    with pytest.raises(InputError, match=r"retrieval\.csv: expected the file of .*retrieval\.json, found content"):
        stages.figures(csv, figure.parent)


def test_pictures(tmp_path):
    path = tmp_path / "images.zip"
    codec.write(path, {k: np.full((8, 8, 3), k, np.uint8) for k in range(4)})
    refused_at_every_bit(path, lambda: codec.read(path))


def test_official_results_are_vouched_for_by_the_record_of_their_run(tmp_path):
    results, record = tmp_path / "predictions" / "captions.json", tmp_path / "captions.json"
    decoder.write_results(results, [3, 5], ["A dog.", "A cat."])
    io.write_record(record, {"method": "ngw"}, [results])
    assert json.loads(results.read_text()) == [
        {"image_id": 3, "caption": "A dog."},
        {"image_id": 5, "caption": "A cat."},
    ]
    refused_at_every_bit(results, lambda: io.check_vouched(record, results))
    refused_at_every_bit(record, lambda: io.check_vouched(record, results))
    assert io.read_record(record) == {"method": "ngw"}
    (tmp_path / "other.json").write_text("[]")
    io.check_vouched(record, tmp_path / "other.json")  # somebody else's results may be scored


def test_a_folder_that_was_trained_here(tmp_path):
    (tmp_path / "clip").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "clip" / name).write_text(f"the content of {name}")
    made = sorted((tmp_path / "clip").iterdir())
    io.write_record(tmp_path / "clip" / "joint.json", {"pairs": "all"}, made)
    for path in [*made, tmp_path / "clip" / "joint.json"]:
        refused_at_every_bit(path, lambda: _huggingface.folder(str(tmp_path / "clip")))
    made[0].unlink()
    with pytest.raises(InputError, match=r"config\.json: no such file, but .*joint\.json knows it"):
        _huggingface.folder(str(tmp_path / "clip"))


def test_the_paraphrases(tmp_path):
    import gzip

    with gzip.open(tmp_path / "whole.gz", "wt") as file:
        file.write("0.5\na dog\nthe dog\n" * 9)
    table = tmp_path / "paraphrases.gz"
    assert paraphrases.write(tmp_path / "whole.gz", ["a dog", "the dog"], table) == 9
    for path in (table, table.with_suffix(".json")):
        refused_at_every_bit(path, lambda: paraphrases.covering(table, ["a dog"]))


def test_a_checkpoint(tmp_path):
    import torch

    path, p = tmp_path / "c", {"w": torch.ones(3, requires_grad=True)}

    def run(fails: bool) -> None:
        def batch(step):
            if fails and step == 3:
                raise OSError("the disk is gone")
            return step

        train(p, batch, lambda _: (p["w"] ** 2).sum(), lambda: 1.0, Schedule(4, 0.1, 1, 9), path, label="")

    with pytest.raises(OSError, match="the disk is gone"):
        run(True)
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // FLIPS):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        with pytest.raises(InputError, match="expected a checkpoint, found"):
            run(False)


def test_what_users_supply_carries_no_digest(tmp_path):
    import pyarrow
    import pyarrow.parquet
    from safetensors.numpy import save_file

    save_file(ARRAYS, tmp_path / "theirs.safetensors")
    arrays, _ = io.read_tensors(tmp_path / "theirs.safetensors", "features", foreign=True)
    np.testing.assert_array_equal(arrays["x"], ARRAYS["x"])
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2]}), tmp_path / "theirs.parquet")
    assert io.read_table(tmp_path / "theirs.parquet", ["id"], foreign=True) == {"id": [1, 2]}
    with pytest.raises(InputError, match=r"theirs.safetensors: expected features, found a file without a digest"):
        io.read_tensors(tmp_path / "theirs.safetensors", "features")
    with pytest.raises(InputError, match=r"theirs.parquet: expected .*, found a file without a digest"):
        io.read_table(tmp_path / "theirs.parquet", ["id"])


UNPRIVILEGED = """
import os, sys
import pyarrow.compute, pyarrow.parquet, safetensors
from ngw import io
from ngw.errors import InputError
os.setuid(65534)  # who may not read the interpreter's own files either: imports come first
for read, path in ((lambda p: io.read_table(p, ["id"]), sys.argv[1]), (io.read_json, sys.argv[2]),
                   (lambda p: io.read_tensors(p, "a plan"), sys.argv[3])):
    try:
        read(path)
    except InputError as error:
        print(error)
"""


def test_a_file_without_read_permission_is_told_as_that(tmp_path):
    import os
    import tempfile

    if os.getuid():
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is root's alone
        os.chmod(folder, 0o755)
        paths = [Path(folder) / name for name in ("t.parquet", "j.json", "p.safetensors")]
        io.write_table(paths[0], {"id": [1]})
        io.write_record(paths[1], {"a": 1})
        io.write_tensors(paths[2], ARRAYS, {})
        for path in paths:
            path.chmod(0)
        code = [sys.executable, "-c", UNPRIVILEGED, *map(str, paths)]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    for path, line in zip(paths, lines, strict=True):
        assert str(path) in line
        assert "this user can't read; change its permissions" in line
        assert "delete" not in line
