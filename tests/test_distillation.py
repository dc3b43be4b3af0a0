"""Distillation: its two losses by hand, a student that starts as ridge regression, and what training changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from commands import training

from ngw import io
from ngw.errors import InputError
from ngw.maps.distil import across, feature, relation, train
from ngw.maps.linear import ridge
from ngw.methods import build
from ngw.methods.distillation import Distillation


def views(n=60, seed=0):
    """Two noisy linear views of the same points, float32 [n, 12] and [n, 8]."""
    draw = np.random.default_rng(seed)
    points = draw.standard_normal((n, 6))
    x, y = (points @ np.random.default_rng(width).standard_normal((6, width)) for width in (12, 8))
    return [(z + 0.3 * draw.standard_normal(z.shape)).astype(np.float32) for z in (x, y)]


def test_the_feature_loss_is_one_minus_the_mean_cosine():
    student, teacher = torch.tensor([[1.0, 0], [3, 3]]), torch.tensor([[2.0, 0], [0, 1]])
    assert float(feature(student, teacher)) == pytest.approx(((1 - 1) + (1 - 0.5**0.5)) / 2)


def test_the_relation_loss_is_the_divergence_of_similarities_to_the_others():
    student, teacher = (torch.tensor(z) for z in views(5))
    assert float(relation(teacher, teacher, 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(relation(3 * teacher, teacher, 0.1)) == pytest.approx(0, abs=1e-6)  # lengths don't count
    total = 0.0
    for i in range(5):
        others = [j for j in range(5) if j != i]
        logits = []
        for z in (student.numpy().astype(float), teacher.numpy().astype(float)):
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
            logits.append(z[others] @ z[i] / 0.5)
        q, p = (np.exp(row) / np.exp(row).sum() for row in logits)
        total += (p * np.log(p / q)).sum()
    assert float(relation(student, teacher, 0.5)) == pytest.approx(total / 5, rel=1e-4)


def test_without_steps_the_student_is_ridge_regression():
    x, y = views()
    (w, b), *_ = train(x, y, 1.0, (0,), 0.1, 512, 1e-3, 0)
    expected = ridge(x, y)
    np.testing.assert_allclose(w, expected[0], atol=1e-6)
    np.testing.assert_allclose(b, expected[1])


def test_training_lowers_both_losses_and_stops_where_it_is_told():
    x, y = views()
    found = train(x, y, 1.0, (0, 40), 0.1, 512, 3e-3, 0)
    losses = [
        (float(feature(*z)), float(relation(*z, 0.1)))
        for z in ((torch.tensor(x @ w + b), torch.tensor(y)) for w, b in found)
    ]
    assert losses[1][0] + losses[1][1] < 0.9 * (losses[0][0] + losses[0][1])
    (again,) = train(x, y, 1.0, (40,), 0.1, 512, 3e-3, 0)
    np.testing.assert_array_equal(again[0], found[1][0])


def test_the_method_chooses_its_steps_on_held_out_pairs_and_maps_both_ways():
    x, y = views(80)
    model = build({"kind": "distillation", "learning_rate": 0.003}).fit(x, y, np.arange(60))
    assert model.steps_ in (0, 20, 60, 120)
    u, v = model.embed(x[60:], y[60:])
    assert ((u @ v.T).argmax(1) == np.arange(20)).mean() > 0.7
    assert model.inverse_transform(y[:3]).shape == (3, 12)


def test_a_joint_teachers_similarities_are_those_between_its_two_sides():
    x, y = (torch.tensor(z) for z in views(5))
    assert float(across(x, x, y, y, 0.1)) > 0
    assert float(across(x, x, 2 * x, x, 0.1)) == pytest.approx(0, abs=1e-6)  # lengths don't count
    student, partners, u, v = (z[:2, :2] for z in (x, x.flip(0), y, y.flip(0)))
    told, wanted = (
        torch.softmax(torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=2) / 0.5, 1)
        for one, other in ((student, partners), (u, v))
    )
    expected = float((wanted * (wanted / told).log()).sum() / 2)
    assert float(across(student, partners, u, v, 0.5)) == pytest.approx(expected, rel=1e-5)


def test_a_student_of_a_joint_teacher_comes_nearer_to_its_similarities():
    x, y = views()
    pairs, (u, v) = np.arange(40), (np.roll(z[:, :8], 1, 0) for z in views(seed=3))
    found = {}
    for steps in (0, 40):
        method = Distillation(teacher="joint", steps=steps, learning_rate=1e-2)
        method.taught_by(u, v)
        method.fit(x, y, pairs)
        told = (method.transform(x) - y.mean(0), y - y.mean(0), u, v)
        rows = [torch.tensor(np.asarray(z[:40], np.float32)) for z in told]
        found[steps] = float(across(*rows, 0.1))
    assert found[40] < 0.8 * found[0]


def test_a_joint_teacher_must_have_spoken_of_these_rows():
    x, y = views()
    method = Distillation(teacher="joint", steps=1)
    with pytest.raises(InputError, match=r"teacher 'joint': expected its features of 60 and 60 rows, found None"):
        method.fit(x, y, np.arange(40))
    method.taught_by(x[:50], y)
    with pytest.raises(InputError, match=r"expected its features of 60 and 60 rows, found \(50, 60\)"):
        method.fit(x, y, np.arange(40))


def test_a_teachers_features_of_other_rows(tmp_path, pair, refused):
    arrays = {name: np.zeros((3, 2), np.float32) for name in ("train_images", "train_captions")}
    io.write_tensors(tmp_path / "bridge", arrays, {"bridge": "1"})
    command = training("fit", pair, tmp_path / "out", spec={"kind": "distillation", "teacher": "joint"})
    told = f"bridge: expected train_images of {pair[0]}, found others; make the bridge again"
    refused([*command, "--teacher", str(tmp_path / "bridge")], told)
