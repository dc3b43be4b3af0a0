"""Hyperparameters out of range are refused when a method is built, by their name."""

from __future__ import annotations

import pytest

import ngw
from ngw import methods
from ngw.errors import InputError


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("procrusts", {}, "Did you mean 'procrustes'"),
        ("warp", {"epsilom": 0.1}, "Did you mean 'epsilon'"),
        ("warp", {"epsilon": 0}, "epsilon is positive"),
        ("warp", {"epsilon": float("nan")}, "epsilon: expected a number, found nan"),
        ("warp", {"cost": "cac"}, "Did you mean 'cca'"),
        ("warp", {"map": "affine"}, "map is linear, orthogonal, mlp or residual"),
        ("warp", {"whiten": 0}, "whiten is positive"),
        ("warp", {"dims": 0}, "dims is 1 or more"),
        ("warp", {"max_iter": 0}, "max_iter is 1 or more"),
        ("warp", {"batch": 1}, "batch is 2 or more"),
        ("warp", {"steps": -1}, "steps is 0 or more"),
        ("warp", {"cycle": -0.1}, "cycle is 0 or more"),
        ("warp", {"tol": 0}, "tol is positive"),
        ("warp", {"learning_rate": -1}, "learning_rate is positive"),
        ("warp", {"mass": 0}, "mass"),
        ("warp", {"mass": 1.1}, "mass"),
        ("warp", {"tau": 0}, "tau"),
        ("warp", {"mass": 0.5, "tau": 1.0}, "mass"),
        ("warp", {"rounds": 0}, "rounds"),
        ("warp", {"unpaired_rows": -1}, "unpaired_rows is 0 or more"),
        ("warp", {"noise": 1.5}, r"noise is a share in \[0, 1\]"),
        ("warp", {"cost": "raw", "unpaired_rows": 1}, "for methods that take features and known pairs"),
        ("warp", {"cost": "gw", "noise": 0.1}, "take features and known pairs"),
        ("cca", {"ridge": 0}, "ridge is positive"),
        ("cca", {"dims": 0}, "dims is 1 or more"),
        ("relative", {"keep": 1.5}, "keep is a share"),
        ("relative", {"power": 0}, "power is positive"),
        ("unaligned", {"axes": "umap"}, "axes is pca or zero-pad"),
        ("contrastive", {"loss": "triplet"}, "loss is infonce or sigmoid"),
        ("contrastive", {"width": 0}, "width is 1 or more"),
        ("contrastive", {"pull": -1.0}, "pull is 0 or more"),
        ("contrastive", {"steps": -1}, "steps is 0 or more"),
        ("contrastive", {"batch": 1}, "batch is 2 or more"),
        ("contrastive", {"temperature": 0.0}, "temperature is positive"),
        ("structure", {"learning_rate": 0.0}, "learning_rate is positive"),
        ("structure", {"weight": 0.0}, "weight is positive"),
        ("structure", {"levels": 0}, "levels is 1 or more"),
        ("wasserstein-procrustes", {"start": "nowhere"}, "start is pairs or gromov"),
        ("wasserstein-procrustes", {"power": -1.0}, "power is 0 or more"),
        ("wasserstein-procrustes", {"whiten": 0.0}, "whiten is positive"),
        ("wasserstein-procrustes", {"rounds": -1}, "rounds is 0 or more"),
        ("wasserstein-procrustes", {"last_epsilon": 1.0}, "last_epsilon is positive and at most epsilon"),
        ("distillation", {"relational": -1.0}, "relational is 0 or more"),
        ("distillation", {"batch": 1}, "batch is 2"),
        ("distillation", {"temperature": 0.0}, "positive"),
        ("gromov", {"clusters": 1}, "clusters is 2 or more"),
        ("gromov", {"epsilon": 0}, "epsilon is positive"),
        ("fused", {"alpha": 2.0}, "alpha is a share"),
        ("fused", {"whiten": 0}, "whiten is positive"),
        ("keypoints", {"temperature": 0}, "temperature is positive"),
        ("keypoints", {"keypoints": 1}, "keypoints is 2 or more"),
        ("weight-averaging", {"align": "cka"}, "align is none or ot"),
        ("weight-averaging", {"weight": 2.0}, r"weight is a share in \[0, 1\]"),
        ("sotalign", {"epsilon": 0}, "epsilon"),
        ("sotalign", {"epsilon_teacher": -1}, "epsilon_teacher"),
        ("sotalign", {"paired": -0.1}, "paired"),
        ("sotalign", {"batch": 3}, "batch"),
        ("sotalign", {"whiten": 0}, "whiten"),
        ("sotalign", {"dims": 0}, "dims"),
        ("sotalign", {"learning_rate": float("nan")}, "learning_rate"),
        ("sotalign", {"temperature": 0}, "temperature"),
        ("sotalign", {"steps": -1}, "steps"),
    ],
)
def test_bad_hyperparameters_are_refused(kind, options, words):
    with pytest.raises(InputError, match=words):
        methods.build({"kind": kind, **options})


@pytest.mark.parametrize(("options", "words"), [
    ({"epsilon": "0.05"}, "epsilon is positive, not '0.05'"),
    ({"epsilon": None}, "epsilon is positive, not None"),
    ({"cost": ["cca"]}, r"cost \['cca'\] does not exist"),
])  # fmt: skip
def test_options_of_another_type_are_refused_by_the_class_too(options, words):
    with pytest.raises(ValueError, match=words):
        ngw.Warp(**options)
