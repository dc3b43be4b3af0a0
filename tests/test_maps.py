"""The maps: two forward passes that agree, and what training may see, keep and return."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ngw.maps import networks, objective
from ngw.maps.fit import Data, Targets, Training, fit, split
from ngw.maps.linear import ridge
from ngw.maps.objective import Weights
from ngw.seeds import rng

OFF = Weights(cycle=0, injectivity=0, smoothness=0, paired=0)


def tensors(p):
    return {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}


def problem(n=120, m=90, dx=6, dy=4, k=20, noise=0.3, seed=0):
    """Targets of two noisy linear views, float32 and of unit mean square norm; the first k rows of both are pairs."""
    stream = np.random.default_rng(seed)
    z = stream.standard_normal((n, 4))
    x = z @ stream.standard_normal((4, dx)) + noise * stream.standard_normal((n, dx))
    y = z @ stream.standard_normal((4, dy)) + noise * stream.standard_normal((n, dy))
    x, y = ((v / np.sqrt((v**2).sum(1).mean())).astype(np.float32) for v in (x, y))
    return Targets(x, y[:m], y, x[:m], np.stack([np.arange(k)] * 2, axis=1))


def train(targets, arch="linear", weights=OFF, seed=0, **training):
    return fit(targets, arch, 16, weights, Training(**training), seed)


# Networks


@pytest.mark.parametrize("arch", networks.ARCHITECTURES)
def test_numpy_and_torch_forward_agree(arch):
    stream = np.random.default_rng(0)
    p = networks.init(arch, 5, 3, 8, stream, (stream.standard_normal((5, 3)), stream.standard_normal(3)))
    p = {name: stream.standard_normal(value.shape).astype(np.float32) for name, value in p.items()}
    x = stream.standard_normal((11, 5)).astype(np.float32)
    there = networks.apply(tensors(p), torch.from_numpy(x)).detach().numpy()
    assert there.shape == (11, 3)
    assert there.dtype == networks.apply(p, x).dtype == np.float32
    np.testing.assert_allclose(networks.apply(p, x), there, rtol=1e-4, atol=1e-4)


def test_mlp_by_hand():
    # h = relu(1 - 2, -1 + 3) = (0, 2); relu(2 + 1) = 3 and relu(-2) = 0; 3 * 10 + 0 * 7 + 0.5.
    p = {
        "w1": np.array([[1.0, -1.0]]), "b1": np.array([-2.0, 3.0]),
        "w2": np.array([[5.0, 5.0], [1.0, -1.0]]), "b2": np.array([1.0, 0.0]),
        "w3": np.array([[10.0], [7.0]]), "b3": np.array([0.5]),
    }  # fmt: skip
    assert networks.apply(p, np.array([[1.0]])).item() == 30.5
    linear = {"w": np.array([[100.0]]), "b": np.array([1000.0])}
    assert networks.apply(linear, np.array([[1.0]])).item() == 1100
    assert networks.apply(linear | p, np.array([[1.0]])).item() == 1130.5  # residual: their sum


def test_residual_starts_at_the_linear_map_and_can_leave_it():
    stream = np.random.default_rng(0)
    linear = stream.standard_normal((5, 3)).astype(np.float32), stream.standard_normal(3).astype(np.float32)
    p, x = networks.init("residual", 5, 3, 8, stream, linear), stream.standard_normal((9, 5)).astype(np.float32)
    np.testing.assert_array_equal(networks.apply(p, x), x @ linear[0] + linear[1])
    live = tensors(p)
    networks.apply(live, torch.from_numpy(x)).square().sum().backward()
    assert live["w3"].grad.abs().sum() > 0


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="linear, mlp, residual, not 'affine'"):
        networks.init("affine", 2, 2, 2, np.random.default_rng(0))


# Fit


@given(
    n=st.integers(6, 40),
    captions=st.integers(1, 5),
    known=st.floats(0, 1),
    share=st.floats(0.02, 0.9),
    seed=st.integers(0, 99),
)
def test_held_out_pairs_and_rows_go_together(n, captions, known, share, seed):
    # Each x has `captions` partners, some known: no training pair touches a held-out row, and the reverse.
    pairs = np.stack([np.repeat(np.arange(n), captions), np.arange(n * captions)], axis=1)
    pairs = pairs[np.random.default_rng(seed).random(len(pairs)) < known]
    targets = Targets(np.zeros((n, 2)), np.zeros((n * captions, 2)), None, None, pairs)
    held_x, held_y, pair = split(targets, share, seed)
    assert (held_x[pairs[:, 0]] == pair).all()
    assert (held_y[pairs[:, 1]] == pair).all()
    for rows in (held_x, held_y):
        assert 0 < rows.sum() < len(rows)


def test_pairs_that_tie_all_rows_together_leave_nothing_to_hold_out():
    pairs = np.array([[0, 0], [0, 1], [1, 1], [1, 2]])
    with pytest.raises(ValueError, match="the pairs tie all rows together"):
        split(Targets(np.zeros((2, 2)), np.zeros((3, 2)), None, None, pairs), 0.1, 0)


def test_zero_steps_give_the_closed_form():
    targets = problem()
    held_x, held_y, _ = split(targets, 0.1, 0)
    for arch in ("linear", "residual"):
        fitted = train(targets, arch, steps=0)
        for found, z, image, held in (
            (fitted.ab, targets.x, targets.to_y, held_x),
            (fitted.ba, targets.y, targets.to_x, held_y),
        ):
            w, b, _ = ridge(z[~held], image[~held])
            np.testing.assert_allclose(networks.apply(found, z), z @ w + b, atol=1e-6)
        assert fitted.curve["step"] == [0]


def held_out_loss(targets, fitted):
    return Data(targets, *split(targets, 0.1, 0)).held_out_loss(tensors(fitted.ab), tensors(fitted.ba))


def test_the_best_parameters_on_the_held_out_rows_are_returned():
    # Twenty noisy rows and a large network: it overfits, so the best look is neither the first nor the last.
    fitted = train(problem(40, 40, k=6, noise=1.0), "mlp", steps=150, every=5, patience=99, learning_rate=0.02)
    curve = fitted.curve["held_out"]
    assert fitted.curve["step"] == [*range(0, 151, 5)]
    assert 0 < int(np.argmin(curve)) < len(curve) - 1
    assert held_out_loss(problem(40, 40, k=6, noise=1.0), fitted) == pytest.approx(min(curve), rel=1e-6)


def test_patience_stops_the_training():
    fitted = train(problem(40, 40, k=6, noise=1.0), "mlp", steps=150, every=5, patience=3, learning_rate=0.02)
    curve = fitted.curve["held_out"]
    assert len(curve) < 31
    assert int(np.argmin(curve)) == len(curve) - 4  # three looks without a better one, then the end


def test_the_curve_is_kept():
    curve = train(problem(), "mlp", steps=30, every=20).curve
    assert curve["step"] == [0, 20, 30]  # every 20 steps, and at the end
    assert np.isnan(curve["train"][0])  # no batch has been seen
    assert np.isfinite(curve["train"][1:]).all()
    assert curve["held_out"][-1] < curve["held_out"][0]


@pytest.mark.parametrize("arch", ["linear", "mlp"])
def test_held_out_rows_and_pairs_are_never_trained_on(arch):
    # With garbage in the held-out rows and pairs the training loss stays the same, bit by bit; the other one doesn't.
    targets = problem()
    held_x, held_y, pair = split(targets, 0.1, 0)
    assert pair.any()
    garbage = replace(targets, **{name: getattr(targets, name).copy() for name in ("x", "y", "to_y", "to_x")})
    for name, held in (("x", held_x), ("to_y", held_x), ("y", held_y), ("to_x", held_y)):
        getattr(garbage, name)[held] = 77
    options = {"weights": Weights(smoothness=0.1), "steps": 30, "every": 5, "patience": 99}
    clean, dirty = (train(t, arch, **options).curve for t in (targets, garbage))
    np.testing.assert_array_equal(clean["train"], dirty["train"])
    assert min(dirty["held_out"]) > 100 * max(clean["held_out"])


def test_training_is_deterministic_by_seed():
    first, again, other = (train(problem(), "residual", Weights(), seed, steps=20, batch=16) for seed in (0, 0, 1))
    assert first.curve["held_out"] == again.curve["held_out"]
    for left, right in ((first.ab, again.ab), (first.ba, again.ba)):
        assert all((left[name] == right[name]).all() for name in left)
    assert any((first.ab[name] != other.ab[name]).any() for name in first.ab)


def cycle_error(fitted, targets):
    back_x = networks.apply(fitted.ba, networks.apply(fitted.ab, targets.x))
    back_y = networks.apply(fitted.ab, networks.apply(fitted.ba, targets.y))
    return ((back_x - targets.x) ** 2).sum(1).mean() + ((back_y - targets.y) ** 2).sum(1).mean()


def test_the_cycle_term_lowers_the_cycle_error():
    targets = problem(noise=0.1)
    without, within = (
        train(targets, "mlp", replace(OFF, cycle=weight), steps=150, learning_rate=5e-3, patience=99)
        for weight in (0, 1.0)
    )
    assert cycle_error(within, targets) < 0.8 * cycle_error(without, targets)


def test_the_smoothness_term_flattens_the_map():
    targets = problem()
    rough, smooth = (
        train(targets, "mlp", replace(OFF, smoothness=weight), steps=100, learning_rate=5e-3, patience=99)
        for weight in (0, 0.1)
    )
    slopes = [
        objective.smoothness_exact(partial(networks.apply, tensors(f.ab)), torch.from_numpy(targets.x)).item()
        for f in (rough, smooth)
    ]
    assert slopes[1] < 0.8 * slopes[0]


def test_the_default_smoothness_is_the_penalty_of_the_closed_form():
    # With it the linear start is where L_AB + L_smooth and L_BA + L_smooth are least: a whole-batch gradient of zero.
    targets = problem()
    held_x, held_y, pair = split(targets, 0.1, 0)
    start = train(targets, steps=0)
    ab, ba = tensors(start.ab), tensors(start.ba)
    penalties = [
        ridge(targets.x[~held_x], targets.to_y[~held_x])[2],
        ridge(targets.y[~held_y], targets.to_x[~held_y])[2],
    ]
    loss = Data(targets, held_x, held_y, pair).loss(ab, ba, OFF, penalties, [0, 0], 999, torch.Generator())
    loss.backward()
    for p in (*ab.values(), *ba.values()):
        assert p.grad.abs().max() < 1e-5


def test_another_seed_draws_another_held_out_part():
    assert (split(problem(), 0.1, 0)[0] != split(problem(), 0.1, 1)[0]).any()
    assert (split(problem(), 0.1, 0)[0] == split(problem(), 0.1, 0)[0]).all()
    assert rng(0, "maps", "held-out").random() == rng(0, "maps", "held-out").random()


@pytest.mark.parametrize("arch", ["mlp", "residual"])
def test_every_parameter_of_both_maps_is_trained(arch):
    # The targets bend, so that a bent map beats the linear start on the held-out rows.
    x, y = (problem(noise=0.01).x, problem(noise=0.01).y)
    targets = replace(problem(noise=0.01), to_y=np.abs(x[:, :4]), to_x=np.abs(y[:, [0, 1, 2, 3, 0, 1]]))
    start, end = (train(targets, arch, steps=steps, learning_rate=5e-3, patience=99) for steps in (0, 100))
    assert min(end.curve["held_out"]) < 0.8 * end.curve["held_out"][0]
    for before, after in ((start.ab, end.ab), (start.ba, end.ba)):
        assert before.keys() == after.keys()
        for name in before:
            assert np.abs(before[name] - after[name]).max() > 0, name
