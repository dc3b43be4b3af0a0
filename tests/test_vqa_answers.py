"""Features of the vocabulary's answers: what they are, and which of them a fusion's training refuses."""

from __future__ import annotations

import numpy as np
from commands import ngw
from vqa_runs import CROSS, SMALL, TEXT, VISION, fuse, made

from ngw import encoders, features
from ngw.cli import main
from ngw.tasks.vqa.labels import Labels

__all__ = ["made"]  # a fixture


def test_features_of_other_answers_are_refused(scenes, made, tmp_path, refused):
    known, options = Labels.read(made / "labels").vocabulary.answers, {"tables": scenes, "min-count": 5}
    assert main(ngw("labels", **options, output=tmp_path / "labels")) == 0
    fewer = Labels.read(tmp_path / "labels").vocabulary.answers
    assert len(fewer) < len(known)
    command = fuse(made, tmp_path / "run", labels=tmp_path / "labels")
    refused(command, "answers", f"{len(fewer)} answers of the labels' vocabulary", f"found {len(known)}, from", "run")
    command = fuse(made, tmp_path / "run", answers=made / "text.pooled")
    refused(command, "text.pooled: expected the", "found features of other items; run the encode-answers stage")
    refused(fuse(made, tmp_path / "run", answers=made / "none"), "none: no such feature file")
    answers = features.read(made / "answers")
    with features.writer(
        tmp_path / "other", {"ids": ("int64", answers.ids.shape)}, answers.metadata | {"encoder": "glove"}
    ):
        pass
    refused(fuse(made, tmp_path / "run", answers=tmp_path / "other"), "other: expected features of 'text', found those")
    assert not (tmp_path / "run").exists()


def test_answers_are_given_exactly_where_a_fusion_compares(made, tmp_path, refused):
    given = {"answers": made / "answers"}
    for spec in ({"kind": "concat", **SMALL}, {**CROSS, "similarity": False}):
        refused(
            fuse(made, tmp_path / "run", spec=spec, **given), spec["kind"], "expected none for --answers", "answers;"
        )
    command = fuse(made, tmp_path / "run")
    place = command.index("--answers")
    refused(
        command[:place] + command[place + 2 :], "cross-attention: expected some for --answers", "found none; run the"
    )


def test_answers_are_encoded_as_captions(made, tmp_path, refused):
    answers = Labels.read(made / "labels").vocabulary.answers
    kept = features.read(made / "answers")
    np.testing.assert_array_equal(kept.ids, np.arange(len(answers)))
    encoded = encoders.build(TEXT).encode([f"a picture of {answer}" for answer in answers[:3]]).pooled
    np.testing.assert_allclose(kept.x[:3], encoded, atol=1e-5)
    who = {"labels": made / "labels", "dataset": "scenes", "encoder": "e", "output": tmp_path / "a"}
    refused(ngw("encode-answers", **who, spec=VISION), "e: expected an encoder that reads texts, found one of images")
    spec = {"kind": "precomputed", "modality": "text"}
    refused(ngw("encode-answers", **who, spec=spec), "e: expected an encoder that reads texts, found one of ids")
