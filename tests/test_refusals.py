"""What is refused, one sentence each: options out of range, missing files, tables without what is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_config import SCHEMA, tiny
from tiny_encoders import vision_folder, words

from ngw import data, encoders, fusion, io, methods
from ngw.config import Config
from ngw.errors import InputError
from ngw.features import clouds

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
TOKENS = torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)


def needs(make, **options):
    """A call that makes something."""
    return lambda: make(**options)


def encoder(**spec):
    return lambda: encoders.build(spec)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (encoder(kind="clip", side="sound"), "side is vision or text, not 'sound'"),
        (encoder(kind="precomputed", modality="sound", file="x.npy", ids="y.npy"), "modality is vision or text"),
        (encoder(kind="python", modality="sound"), "modality is vision or text, not 'sound'"),
        (encoder(kind="transformers-text", max_length=3), "max_length is 4 tokens or more, not 3"),
        (encoder(kind="transformers-text", pooling="max"), "pooling is cls or mean, not 'max'"),
        (encoder(kind="transformers-text", merge_weight=2.0), r"merge_weight is in \[0, 1\], not 2.0"),
        (lambda: methods.build({"kind": "joint", "crop": 0.0}), r"crop is in \(0, 1\]"),
        (lambda: clouds.budget("many", 9), "expected a number of pairs, 0 or more, or 'all', found 'many'"),
    ],
)
def test_an_option_out_of_range(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_an_option_of_a_decoder_or_of_a_training_out_of_range():
    from ngw.tasks.captions import decoder
    from ngw.tasks.images import diffusion
    from ngw.tasks.vqa import answerer as vqa

    for make, told in (
        (needs(decoder.Options, noise=-1.0), "captioner: noise: expected 0 or more, found -1.0"),
        (needs(diffusion.Options, size=0), "imager: size: expected more than 0, found 0"),
        (needs(diffusion.Options, drop=1.0), r"imager: drop: expected a share in \[0, 1\), found 1.0"),
        (needs(vqa.Options, held_out=1.0), r"training: held_out: expected a share in \(0, 1\), found 1.0"),
    ):
        with pytest.raises(InputError, match=told):
            make()


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
    with pytest.raises(InputError, match="Concat: expected a fusion whose tokens attend to others, found none"):
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
        ("folder", {"captions": "a.csv"}, "a.csv: line 1: expected csv, found .*; mend the quotes"),
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
        (encoders.build({"kind": "python", "call": "json:loads"}), "a function gives pooled features alone"),
        (encoders.build({"kind": "inception"}), "expected to be a judge of pictures, which has no tokens"),
    ):
        with pytest.raises(InputError, match=told):
            made.encode([0], tokens=True)


def test_weights_that_are_not_inceptions(tmp_path):
    (tmp_path / "w").write_bytes(b"other")
    for file, told in (("none", "none: no such file; take it from"), ("w", "whose SHA-256 begins with .*, found")):
        with pytest.raises(InputError, match=told):
            encoders.build({"kind": "inception", "weights": str(tmp_path / file)})._state()


def test_folders_that_are_not_the_networks(tmp_path):
    from ngw.encoders import _huggingface, _merge

    words(tmp_path, pad="[NONE]")
    with pytest.raises(InputError, match=r"tokenizer\.json: expected a padding token, found none"):
        _huggingface.tokenizer(tmp_path, 9, words=8)
    for name in ("preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match=r"config\.json: expected model_type clip, found another"):
        _ = encoders.build({"kind": "clip", "model": str(tmp_path)}).folder
    with pytest.raises(InputError, match=r"config\.json: expected a patch_size, found None"):
        _ = encoders.build({"kind": "transformers-vision", "model": str(tmp_path)}).grid
    with pytest.raises(InputError, match="one: expected a transformer's layers, found none"):
        _merge.merge(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), 0.5, ("one", "other"))


def test_another_network_than_the_one_that_is_merged_in(tmp_path):
    vision_folder(tmp_path / "vit", "vit")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no tensors")
    spec = {"kind": "transformers-vision", "model": str(tmp_path / "vit"), "width": 16}
    with pytest.raises(InputError, match="broken: expected whole model files, found"):
        _ = encoders.build({**spec, "merged_with": str(tmp_path / "broken")}).model


def test_tables_without_what_is_asked_for(tmp_path):
    from ngw.tasks.captions import stages as generation
    from ngw.tasks.images import stages as generation_images
    from ngw.tasks.joint import stages as joint_stages
    from ngw.tasks.vqa import stages

    split = {"split": ["val"], "image_id": [1]}
    io.write_table(tmp_path / "captions.parquet", {**split, "caption_id": [1], "text": ["a"]})
    io.write_table(tmp_path / "images.parquet", {**split, "path": ["a.png"]})
    io.write_table(tmp_path / "questions.parquet", {**split, "question_id": [1], "text": ["why?"]})
    for call, told in (
        (lambda: generation.split_captions(tmp_path, "test"), "split 'test': expected captions, found none"),
        (lambda: generation_images._paths(tmp_path, np.array([1, 5])), r"image 5: expected its file, found none \(1"),
        (lambda: joint_stages.known_pairs(tmp_path, "all", 1, 0), "split 'train': expected captions, found none"),
        (lambda: stages._items(tmp_path, "test", "text"), "split 'test': expected questions, found none"),
    ):
        with pytest.raises(InputError, match=told):
            call()


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
