"""What is refused where parts don't fit: a program that ends, weights of another network, rows of another file."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array
from tiny_encoders import vision_folder

from ngw import data, encoders, io
from ngw.errors import InputError


def test_a_data_set_kind_without_load(monkeypatch):
    from ngw.data import folder

    monkeypatch.delattr(folder, "load")
    with pytest.raises(InputError, match=r"folder\.py: a data set kind's file defines `load`"):
        data.check({"kind": "folder", "root": "x"})


def test_weights_of_another_network_and_no_network(monkeypatch):
    from ngw.encoders import inception

    def other(*_):
        raise RuntimeError("missing key fc.weight")

    found = encoders.build({"kind": "inception"})
    monkeypatch.setattr(inception.Inception, "_state", lambda self: {})
    monkeypatch.setattr(inception, "_module", lambda: SimpleNamespace(FeatureExtractorInceptionV3=other))
    with pytest.raises(InputError, match=r"expected Inception's weights, found missing key fc\.weight"):
        _ = found.model
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="torch_fidelity: no such package; pip install --no-deps torch-fidelity"):
        inception._module()


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

    record = {"dataset": "d", "vision": "v", "text": "t", "fusion": "f", "aligner": None, "pairs": "0", "seed": 0}
    record |= {"method": "f", "labels": "all"}
    with pytest.raises(InputError, match="has a record but no scores; run its job again"):
        vqa.samples([record], {}, 1)
    one = np.array([1])
    labels = Labels(one, one, np.array([0], np.int8), csr_array((1, 1)), None)
    with pytest.raises(InputError, match="split 'test': expected questions, found none"):
        labels.rows("test")


def test_features_of_captions_that_the_table_lacks(tmp_path):
    from ngw.tasks.captions import stages as generation

    columns = {"caption_id": [1], "image_id": [1], "text": ["a"], "split": ["val"]}
    io.write_table(tmp_path / "captions.parquet", columns)
    with pytest.raises(InputError, match=r"f: caption 9: expected it in split 'val' of .*, found none"):
        generation._texts(tmp_path, "val", SimpleNamespace(ids=np.array([1, 9])), "f")


def test_a_teachers_features_of_other_rows(tmp_path, write_cloud):
    from ngw.tasks import stages

    vision, text = write_cloud(tmp_path / "v", "vision"), write_cloud(tmp_path / "t", "text")
    arrays = {name: np.zeros((3, 2), np.float32) for name in ("train_images", "train_captions")}
    io.write_tensors(tmp_path / "bridge", arrays, {"bridge": "1"})
    with pytest.raises(InputError, match=r"bridge: expected train_images of .*, found others; make the bridge again"):
        stages._taught(tmp_path / "bridge", vision, text, "all", 0, 1)


def test_a_preprocessor_of_another_size_than_the_networks(photographs, tmp_path):
    vision_folder(tmp_path, "vit")
    found = encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16})
    _ = found.model
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "patch_size": 4}))
    with pytest.raises(InputError, match="expected 64 patches and a class token, found 17 states"):
        found.encode(photographs)


def test_a_prior_of_a_split_without_questions(tmp_path):
    from ngw.tasks.vqa import stages

    said = {"question_type": ["what"], "answer_type": ["other"], "multiple_choice_answer": ["a"], "answers": [["a"]]}
    columns = {"question_id": [1], "image_id": [1], "split": ["train"], "text": ["what?"], **said}
    io.write_table(tmp_path / "questions.parquet", columns)
    with pytest.raises(InputError, match=r"split 'val': expected questions, found none; mend tables\.vqa"):
        stages.prior(tmp_path, tmp_path, "d", "v", "t", "prior", {"kind": "prior"}, 0, ["val"], tmp_path / "out")


def test_latents_of_another_encoder_than_the_captioners(tmp_path, write_cloud, monkeypatch):
    from ngw.tasks.captions import decoder
    from ngw.tasks.captions import stages as generation

    monkeypatch.setattr(decoder, "load", lambda path: (None, {"text": "text-encoder"}))
    files = [write_cloud(tmp_path / "v", "vision"), write_cloud(tmp_path / "t", "text", encoder="other")]
    files.append(write_cloud(tmp_path / "train", "text"))
    with pytest.raises(InputError, match="t: expected latents of 'text-encoder', which the captioner read, found oth"):
        generation.generate_captions(tmp_path, *files, tmp_path, *[tmp_path / "out"] * 3, count=3)
