"""Weight averaging: towers that never see a pair, a matching that changes no function, and a mean of two trunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ngw.encoders.clip import Clip
from ngw.errors import InputError
from ngw.methods import build
from ngw.methods.weight_averaging import WeightAveraging
from ngw.tasks.joint import averaging, clip

SMALL = {"size": 16, "patch": 8, "dims": 16, "layers": 2, "heads": 2, "width": 8, "words": 8, "batch": 8, "looks": 2}


def model(seed=0):
    return clip.network(WeightAveraging(**SMALL), 12, seed).eval()


def texts_of(net):
    ids = torch.tensor([[2, 5, 7, 3], [2, 9, 3, 0]])
    with torch.no_grad():
        return averaging._features(net.get_text_features(input_ids=ids, attention_mask=(ids != 0).long()))


def test_matching_changes_the_order_of_neurons_and_no_function():
    net = model()
    before, name = texts_of(net), "layers.0.mlp.fc1.weight"
    weights = averaging.trunks(net)[1][name].clone()
    averaging.match(net)
    torch.testing.assert_close(texts_of(net), before)
    assert not torch.equal(averaging.trunks(net)[1][name], weights)


def test_matching_finds_a_hidden_order():
    net, draw = model(), np.random.default_rng(0)
    a, b = averaging.trunks(net)
    with torch.no_grad():
        for name in b:
            a[name].copy_(b[name] + 0.001 * torch.randn_like(b[name]))
        order = torch.tensor(draw.permutation(64))
        for name, axis in (("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)):
            b[f"layers.1.mlp.{name}"].copy_(b[f"layers.1.mlp.{name}"].index_select(axis, order))
    assert not torch.allclose(a["layers.1.mlp.fc1.weight"], b["layers.1.mlp.fc1.weight"], atol=0.01)
    averaging.match(net)
    for name in b:
        torch.testing.assert_close(b[name], a[name], atol=0.01, rtol=0)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_both_sides_get_the_mean_of_the_trunks(weight):
    net = model()
    expected = {n: (1 - weight) * p.detach() + weight * q.detach() for (n, p), q in zip(
        averaging.trunks(net)[0].items(), averaging.trunks(net)[1].values(), strict=True)}  # fmt: skip
    averaging.merge(net, weight)
    for side in averaging.trunks(net):
        for name, value in side.items():
            torch.testing.assert_close(value.detach(), expected[name])


def test_trunks_of_other_shapes_are_refused_with_what_would_fit():
    a, b = averaging.trunks(model())
    with pytest.raises(
        InputError, match=r"layers.0.mlp.fc1.bias: expected trunks of one shape, found \(64,\) and \(5,\)"
    ):
        averaging.check_shapes(a, b | {"layers.0.mlp.fc1.bias": torch.zeros(5)})
    with pytest.raises(InputError, match=r"norm.bias: expected trunks of one shape, found \(16,\) and None"):
        averaging.check_shapes(a, {name: p for name, p in b.items() if name != "norm.bias"})


def test_no_tower_learns_from_the_other():
    net = model()
    ids = torch.tensor([[2, k, 5, 3] for k in range(4, 8)])
    views = averaging.Views(tuple(torch.randn(4, 3, 16, 16) for _ in range(2)), (ids, ids.roll(1, 0)))
    texts = averaging.loss(net, views)
    names, parameters = zip(*((n, p) for n, p in net.named_parameters() if n.startswith("text")), strict=True)
    ours = torch.autograd.grad(texts, parameters)
    other = averaging.loss(net, averaging.Views(tuple(2 * z for z in views.images), views.texts))
    for name, first, second in zip(names, ours, torch.autograd.grad(other, parameters), strict=True):
        torch.testing.assert_close(first, second, msg=name)


def test_a_part_of_a_caption_keeps_its_marks_and_order():
    draw = np.random.default_rng(0)
    for _ in range(20):
        found = averaging.part([2, 5, 6, 7, 8, 3], 0.5, draw)
        assert found[0] == 2
        assert found[-1] == 3
        assert found[1:-1] == sorted(found[1:-1])
        assert 1 <= len(found) - 2 <= 4


@pytest.mark.parametrize("align", ["none", "ot"])
def test_the_merged_model_is_a_clip(tmp_path, align):
    draw, paths = np.random.default_rng(0), []
    for k in range(24):
        Image.fromarray(draw.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
        paths.append(str(tmp_path / f"{k}.png"))
    texts = [f"a {w} thing {v}" for w in ("red", "green", "blue") for v in "abcdefgh"]
    options = build({"kind": "weight-averaging", "align": align, "steps": 4, **SMALL})
    net, words, trained = averaging.fit(paths, texts, np.arange(24), np.arange(24), options, 0)
    assert trained.curve["step"][-1] == 4
    a, b = averaging.trunks(net)
    assert not any(torch.equal(a[name], b[name]) for name in a if name.endswith("fc1.weight"))
    averaging.merged(net, options)
    assert all(torch.equal(a[name], b[name]) for name in a)
    clip.save(tmp_path / "clip", net, words, options.size, {})
    assert Clip("text", str(tmp_path / "clip"), 8).encode(texts[:2]).pooled.shape == (2, 8)
    assert options.supervision == "none"
