"""Refusals, one sentence each: options out of range, missing or unfitting files, tables without their rows."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ngw
from scipy.sparse import csr_array
from tiny_config import SCHEMA, tiny
from tiny_encoders import BERT, text_folder, vision_folder, words

from ngw import data, encoders, fusion, io, methods
from ngw.config import Config
from ngw.errors import InputError
from ngw.features import clouds
from ngw.tasks.captions.options import CaptionerOptions
from ngw.tasks.images.options import ImagerOptions
from ngw.tasks.vqa.options import TrainingOptions

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
TOKENS = torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)


def encoder(**spec):
    return lambda: encoders.build(spec)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (encoder(kind="clip", side="sound"), "side is vision or text, not 'sound'"),
        (encoder(kind="precomputed", modality="sound", file="x.npy", ids="y.npy"), "modality is vision or text"),
        (encoder(kind="python", modality="sound"), "modality is vision or text, not 'sound'"),
        (encoder(kind="transformers-text", max_length=3), "max_length is 4 or more, not 3"),
        (encoder(kind="transformers-text", pooling="max"), "pooling is cls or mean, not 'max'"),
        (encoder(kind="transformers-text", merge_weight=2.0), r"merge_weight is a share in \[0, 1\], not 2.0"),
        (encoder(kind="transformers-text", precision="int8"), "precision is float32, .* or float16, not 'int8'"),
        (encoder(kind="transformers-vision", pooling="max"), "pooling is cls or mean, not 'max'"),
        (encoder(kind="efficientnet-lite", variant="lite9"), "variant is lite0, lite1 or lite2, not 'lite9'"),
        (lambda: methods.build({"kind": "joint", "crop": 0.0}), r"crop is a share in \(0, 1\]"),
        (lambda: clouds.budget("many", 9), "expected a number of pairs, 0 or more, or 'all', found 'many'"),
        (lambda: CaptionerOptions(noise=-1.0), "captioner: noise: expected 0 or more, found -1.0"),
        (lambda: ImagerOptions(size=0), "imager: size: expected more than 0, found 0"),
        (lambda: ImagerOptions(drop=1.0), r"imager: drop: expected a share in \[0, 1\), found 1.0"),
        (lambda: TrainingOptions(held_out=1.0), r"training: held_out: expected a share in \(0, 1\), found 1.0"),
    ],
)
def test_an_option_out_of_range(call, told):
    with pytest.raises(InputError, match=told):
        call()


@pytest.mark.parametrize("name", ["encode", "view", "count_tokens"])
def test_a_new_encoder_must_define(name):
    found = encoders.Encoder()
    found.modality = "text"
    with pytest.raises(TypeError, match=f"Encoder must define {name}"):
        getattr(found, name)([])


@pytest.mark.parametrize(("name", "given"), [("_fit", 4), ("_to_y", 1), ("_to_x", 1)])
def test_a_new_method_must_define(name, given):
    with pytest.raises(TypeError, match=f"Method must define {name}"):
        getattr(methods.Method(), name)(*[None] * given)


def test_a_new_fusion_must_define_attend_to():
    with pytest.raises(TypeError, match="Fusion must define attend_to"):
        fusion.Fusion().attend_to(*TOKENS, TOKENS[1])


def test_a_fusion_without_attention_has_none_to_show():
    net = fusion.build({"kind": "concat"}).network(fusion.Tokens(3), fusion.Tokens(3))
    with pytest.raises(InputError, match="Concat: expected a fusion with attention over tokens, found one without"):
        net.attention(*TOKENS, *TOKENS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fusions": {"ngw-fusion": {"kind": "cross-attention"}}}, "expected an aligner, found None"),
        ({"examples": ["joint"]}, "expected fusions of tokens, found 'joint', which reads raw items"),
        ({"examples": ["prior"], "fusions_of_table": ["concat"]}, "expected a fusion of the table, found 'prior'"),
    ],
)
def test_fusions_of_a_config_that_do_not_fit(change, told):
    values = tiny()
    values["fusions"] |= change.pop("fusions", {})
    if "fusions_of_table" in change:
        values["tables"]["vqa"] |= {"fusions": change.pop("fusions_of_table"), "curve": ["concat"]}
    values["tables"]["vqa"] |= change
    with pytest.raises(InputError, match=told):
        Config(values, SCHEMA)


def test_data_files_that_are_not_what_they_should_be(tmp_path):
    (tmp_path / "a.csv").write_text('image,caption\n"a,b')
    for name in ("OpenEnded_mscoco_a_questions", "mscoco_a_annotations"):
        (tmp_path / f"v2_{name}.json").write_text("{}")
    for kind, options, sentence in (
        ("folder", {"captions": "x.csv"}, "x.csv: no such file; check root and names"),
        ("folder", {"captions": "a.csv"}, "a.csv: line 2: expected csv, found .*; mend the quotes"),
        ("folder", {"captions": "a.csv", "shares": {"test": 2.0}}, r"val and test in \(0, 1\), found test: 2.0"),
        ("vqa2", {"subsets": {"tset": "a"}}, "split 'tset' is unknown"),
    ):
        with pytest.raises(InputError, match=sentence):
            data.load(kind, root=tmp_path, **options)


def test_a_package_of_the_scenes_that_is_not_there(tmp_path):
    code = (
        "import pathlib, sys; sys.modules['emoji'] = None; from ngw import data; "
        "spec = {'kind': 'scenes', 'sizes': {'train': 4, 'val': 2, 'test': 2}, 'workers': 1}; "
        "data.prepare(spec, pathlib.Path('raw'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert "expected the package emoji, found none; pip install 'ngw[bench]'." in done.stderr


def test_encoders_without_tokens_give_none(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "ids.npy", np.arange(2))
    spec = {"kind": "precomputed", "file": str(tmp_path / "x.npy"), "ids": str(tmp_path / "ids.npy"), "width": 3}
    for made, told in (
        (encoders.build(spec), "precomputed features have no tokens"),
        (encoders.build({"kind": "python", "call": "json:loads"}), "a function gives pooled features only"),
        (encoders.build({"kind": "inception"}), "expected to give pooled features only, found a request for tokens"),
    ):
        with pytest.raises(InputError, match=told):
            made.encode([0], tokens=True)


INCEPTION = """
from torch import nn
def FeatureExtractorInceptionV3(name, features):
    network = nn.Linear(2, 2)
    network.load_state_dict(load_state_dict_from_url("a"))
    return network
"""


@pytest.fixture
def torch_fidelity(tmp_path, monkeypatch):
    """A package of its name whose network is one linear map."""
    package = tmp_path / "torch_fidelity"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "feature_extractor_inceptionv3.py").write_text(INCEPTION)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    sys.modules.pop("torch_fidelity.feature_extractor_inceptionv3", None)


def test_weights_that_are_not_inceptions(tmp_path, torch_fidelity):
    (tmp_path / "text").write_bytes(b"other")
    torch.save({"bias": torch.zeros(2)}, tmp_path / "half")
    digest = hashlib.sha256((tmp_path / "half").read_bytes()).hexdigest()
    for spec, told in (
        ({"weights": str(tmp_path / "none")}, "none: no such file; take it from"),
        ({"weights": str(tmp_path / "text")}, "whose SHA-256 begins with .*, found"),
        ({"weights": str(tmp_path / "half"), "sha256": digest}, "expected Inception's weights, found .*weight"),
    ):
        with pytest.raises(InputError, match=told):
            encoders.build({"kind": "inception", **spec}).encode([])


def test_inception_without_its_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="torch_fidelity: no such package; pip install --no-deps torch-fidelity"):
        encoders.build({"kind": "inception"}).encode([])


def test_folders_that_are_not_the_networks(tmp_path):
    words(text_folder(tmp_path, "BertModel", **BERT), pad="[NONE]")
    with pytest.raises(InputError, match=r"tokenizer\.json: expected a padding token, found none"):
        encoders.build({"kind": "transformers-text", "model": str(tmp_path), "width": 16}).encode(["a cat"])
    for name in ("preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match=r"config\.json: expected model_type clip, found another"):
        _ = encoders.build({"kind": "clip", "model": str(tmp_path)}).folder
    with pytest.raises(InputError, match=r"config\.json: expected a patch_size, found None"):
        _ = encoders.build({"kind": "transformers-vision", "model": str(tmp_path)}).grid


def test_tables_without_what_is_asked_for(tmp_path, pair, refused):
    split = {"split": ["val", "train"], "image_id": [1, 2]}
    io.write_table(tmp_path / "images.parquet", {**split, "path": ["a.png", "b.png"]})
    io.write_table(tmp_path / "captions.parquet", {**split, "caption_id": [1, 100], "text": ["a", "b"]})
    labels = {"question_type": ["what"] * 2, "answer_type": ["other"] * 2, "multiple_choice_answer": ["a"] * 2}
    questions = {**split, "question_id": [1, 2], "text": ["why?"] * 2, **labels, "answers": [["a"]] * 2}
    io.write_table(tmp_path / "questions.parquet", questions)
    who = {"tables": tmp_path, "output": tmp_path / "out", "seed": 0}
    names = {"dataset": "d", "vision": "v", "text": "t", "fusion": "prior", "spec": {"kind": "prior"}}
    for command, told in (
        (ngw("train-captioner", **who, text=pair[1]), "caption 101: expected it in split 'train' of"),
        (
            ngw("train-image-decoder", **who, vision=pair[0]),
            "image 0: expected its file, found none (10 images have none)",
        ),
        (
            ngw("prior", **who, **names, labels="none", splits="test"),
            "split 'test': expected questions, found none; mend",
        ),
    ):
        refused(command, told)
    for name, columns in (("captions", {"caption_id": [1, 2], "text": ["a", "b"]}), ("questions", questions)):
        io.write_table(tmp_path / f"{name}.parquet", {**split, **columns, "split": ["val", "val"]})
    names = {"dataset": "d", "encoder": "e", "spec": {"kind": "transformers-text"}}
    for command, told in (
        (ngw("train-captioner", **who, text=pair[1]), "split 'train': expected captions, found none; take other data"),
        (ngw("joint", **who, spec={"kind": "joint"}, pairs="all"), "split 'train': expected captions, found none"),
        (ngw("basis", tables=tmp_path, output=tmp_path / "out", **names, dims=2), "'train': expected questions"),
    ):
        refused(command, told)


def test_reports_of_what_is_not_there(tmp_path):
    from ngw.report import stages
    from ngw.report.tables import similarity
    from ngw.tools import provenance

    with pytest.raises(InputError, match="expected benchmark files of Snakemake, found none"):
        stages.stages(tmp_path, tmp_path)
    with pytest.raises(InputError, match=r"a\.csv: expected a file that Snakemake has made in"):
        provenance.trace("a.csv", tmp_path)
    records = [{"dataset": "d", "vision": "v", "text": "t", "n": 1, "metrics": {k: {}}} for k in ("cka", "knn")]
    records[0]["metrics"] = {}
    with pytest.raises(InputError, match="expected the same measures in every record"):
        similarity.build(records, None, "all")


def test_a_data_set_kind_without_load(monkeypatch):
    from ngw.data import folder

    monkeypatch.delattr(folder, "load")
    with pytest.raises(InputError, match=r"folder\.py: expected a function `load`, found none"):
        data.check({"kind": "folder", "root": "x"})


def test_meteor_that_is_not_there_and_one_that_ends(tmp_path, monkeypatch):
    from ngw.metrics import text

    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text('#!/bin/sh\ncase "$*" in *PTBTokenizer*) cat ;; esac\n')  # it splits captions, and knows no METEOR
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"METEOR: expected a score, found .*; is .*java a whole Java runtime\?"):
        text.scores_of({"": {1: "a dog"}}, {1: ["a dog"]})
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="expected the package pycocoevalcap, found none"):
        text.whole_table()


def test_a_record_without_scores_and_a_split_without_questions():
    from ngw.report.tables import vqa
    from ngw.tasks.vqa.labels import Labels

    record = {
        "dataset": "d",
        "vision": "v",
        "text": "t",
        "fusion": "f",
        "aligner": None,
        "pairs": "0",
        "unpaired": "none",
        "seed": 0,
    }
    record |= {"method": "f", "labels": "all"}
    with pytest.raises(InputError, match="has a record but no scores; run its job again"):
        vqa.samples([record], {}, 1)
    one = np.array([1])
    labels = Labels(one, one, np.array([0], np.int8), csr_array((1, 1)), None)
    with pytest.raises(InputError, match="split 'test': expected questions, found none"):
        labels.rows("test")


def test_a_preprocessor_of_another_size_than_the_networks(photographs, tmp_path):
    vision_folder(tmp_path, "vit")
    found = encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16})
    _ = found.network
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "patch_size": 4}))
    with pytest.raises(InputError, match="expected 64 patches and a class token, found 17 states"):
        found.encode(photographs)
