"""What the maps minimise: each term of proposal 2.3 and 2.5 by hand, and the estimates against their exact values."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from ngw.maps import networks, objective
from ngw.maps.fit import Data, Targets, Training
from ngw.maps.objective import Weights

OFF = Weights(cycle=0, injectivity=0, smoothness=0, paired=0)


def tensors(p):
    return {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}


def test_squared_error_by_hand():
    # |(0, 0) - (1, 0)|^2 = 1 and |(3, 4)|^2 = 25, so 13 a row.
    assert objective.squared_error(torch.tensor([[0.0, 0], [3, 4]]), torch.tensor([[1.0, 0], [0, 0]])) == 13


def test_injectivity_by_hand():
    # On the line, images 0, 1, 3 and margin 2.5: distances 1, 2, 3, hinges 1.5, 0.5, 0. Either shift meets each of the
    # three unordered pairs once, so both shifts, and L_inj over all i != j, are 2 / 3.
    image = torch.tensor([[0.0], [1], [3]])
    for shift in (1, 2):
        assert objective.injectivity(image, 2.5, shift).item() == pytest.approx(2 / 3)


def test_injectivity_over_all_shifts_is_the_sum_over_all_pairs():
    image = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    margin = float(torch.cdist(image, image).mean())  # some pairs within, some beyond
    whole = sum(
        (margin - (a - b).norm()).clamp_min(0) for i, a in enumerate(image) for j, b in enumerate(image) if i != j
    )
    shifts = [objective.injectivity(image, margin, shift) for shift in range(1, 7)]
    assert sum(shifts).item() / 6 == pytest.approx(float(whole) / 42)


def test_injectivity_of_a_collision_is_the_margin_with_a_finite_gradient():
    image = torch.ones(2, 3, requires_grad=True)
    loss = objective.injectivity(image, 0.5, 1)
    loss.backward()
    assert loss.item() == pytest.approx(0.5, abs=1e-5)
    assert image.grad.isfinite().all()
    assert objective.injectivity(torch.tensor([[0.0], [9]]), 0.5, 1) == 0


def test_mean_distance_by_hand():
    # 0 -> 4 -> 1 -> 0 around: 4, 3, 1.
    assert objective.mean_distance(torch.tensor([[0.0], [4], [1]]), 1) == pytest.approx(8 / 3)


def test_smoothness_of_a_linear_map_is_the_norm_of_its_matrix():
    p = tensors({"w": np.array([[1.0, 2], [3, 4]]), "b": np.zeros(2)})
    z = torch.randn(5, 2, dtype=torch.float64)
    assert objective.smoothness(p, z, networks.apply(p, z), None).item() == 30  # 1 + 4 + 9 + 16
    assert objective.smoothness_exact(partial(networks.apply, p), z).item() == pytest.approx(30)


def curved(d_in=4, d_out=3, seed=0):
    """A smooth map, tanh(z A) B, in float64, and five rows."""
    g = torch.Generator().manual_seed(seed)
    a, b, z = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((d_in, 6), (6, d_out), (5, d_in)))
    return lambda rows: torch.tanh(rows @ a) @ b, z


def test_exact_smoothness_equals_finite_differences():
    t, z = curved()
    step, total = 1e-6, 0.0
    for axis in torch.eye(4, dtype=torch.float64):
        total += ((t(z + step * axis) - t(z - step * axis)) / (2 * step)).square().sum()
    assert objective.smoothness_exact(t, z).item() == pytest.approx(total.item() / 5, rel=1e-7)


def test_exact_smoothness_of_a_network_with_kinks_by_hand():
    # relu(z) twice, then times 3: slope 3 right of 0, none left of it; one row of each: 9 / 2.
    p = {k: torch.ones(1, 1) * (3 if k == "w3" else 1) for k in ("w1", "w2", "w3")}
    p |= {k: torch.zeros(1) for k in ("b1", "b2", "b3")}
    z = torch.tensor([[-1.0], [2.0]])
    assert objective.smoothness_exact(partial(networks.apply, p), z) == 4.5
    z.requires_grad_()
    assert objective.smoothness(p, z, networks.apply(p, z), torch.Generator().manual_seed(0)) == 4.5


def test_hutchinson_over_all_sign_probes_is_the_exact_penalty():
    # The mean over all 2^3 sign vectors is the expectation itself: no bias, to rounding.
    t, z = curved()
    probes = torch.tensor(list(product([-1.0, 1.0], repeat=3)), dtype=torch.float64)
    z.requires_grad_()
    estimates = [objective.hutchinson(z, t(z), probe.expand(5, 3)) for probe in probes]
    assert sum(estimates).item() / 8 == pytest.approx(objective.smoothness_exact(t, z).item(), rel=1e-10)


def test_hutchinson_with_random_probes_is_unbiased_and_spreads_as_it_must():
    p = tensors(networks.init("residual", 4, 3, 8, np.random.default_rng(0), (np.eye(4, 3), np.zeros(3))))
    with torch.no_grad():
        p["w3"] += 0.5
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    image = networks.apply(p, z)
    exact = objective.smoothness_exact(partial(networks.apply, p), z).item()
    generator = torch.Generator().manual_seed(2)
    draws = np.array([objective.smoothness(p, z, image, generator).item() for _ in range(800)])
    assert draws.std() > 0
    assert abs(draws.mean() - exact) < 4 * draws.std() / np.sqrt(len(draws))


def test_hutchinson_of_a_diagonal_map_is_exact_with_one_probe():
    scale = torch.tensor([1.0, -2.0, 3.0])
    for seed in range(5):
        probe = torch.randint(0, 2, (4, 3), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1
        z = torch.randn(4, 3, requires_grad=True)
        assert objective.hutchinson(z, z * scale, probe) == 14  # 1 + 4 + 9


def test_hutchinson_trains_the_map():
    # Over all sign probes the gradient of |w|^2 is 2 w.
    w = torch.tensor([[1.0, 2], [3, 4]], dtype=torch.float64, requires_grad=True)
    z = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    for probe in torch.tensor([[1.0, 1], [1, -1]], dtype=torch.float64):
        (objective.hutchinson(z, z @ w, probe.expand(3, 2)) / 2).backward(inputs=[w])
    np.testing.assert_allclose(w.grad, 2 * w.detach())


def test_weights_and_training_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="cycle is 0 or more, not -1"):
        Weights(cycle=-1)
    with pytest.raises(ValueError, match="margin is 0 or more, not nan"):
        Weights(margin=float("nan"))
    with pytest.raises(ValueError, match="batch 2 or more"):
        Training(batch=1)
    with pytest.raises(ValueError, match="held_out is a share"):
        Training(held_out=1.0)


def test_total_loss_is_the_sum_of_its_terms_computed_by_numpy():
    # Two training rows a side, so that a batch is the whole and the only shift is 1; row 2 is held out.
    stream = np.random.default_rng(0)
    x, y, to_y, to_x = (stream.standard_normal((3, d)).astype(np.float32) for d in (3, 2, 2, 3))
    held = np.array([False, False, True])
    data = Data(Targets(x, y, to_y, to_x, np.array([[0, 1], [2, 2]])), held, held, np.array([False, True]))
    w, v = stream.standard_normal((3, 2)).astype(np.float32), stream.standard_normal((2, 3)).astype(np.float32)
    ab, ba = {"w": w, "b": np.ones(2, np.float32)}, {"w": v, "b": np.zeros(3, np.float32)}
    weights = Weights(cycle=0.5, injectivity=2.0, smoothness=None, paired=3.0)
    found = data.loss(tensors(ab), tensors(ba), weights, [0.1, 0.2], [9.0, 8.0], 5, torch.Generator()).item()

    def there(z):
        return z @ w + 1

    def error(a, b):
        return ((a - b) ** 2).sum(1).mean()

    a, b = x[:2], y[:2]
    l_ab, l_ba = error(there(a), to_y[:2]), error(b @ v, to_x[:2])
    cycle = error(there(a) @ v, a) + error(there(b @ v), b)
    gaps = [np.linalg.norm(np.diff(z, axis=0)) for z in (there(a), b @ v)]
    injectivity = max(0, 9 - gaps[0]) + max(0, 8 - gaps[1])
    smoothness = 0.1 * (w**2).sum() + 0.2 * (v**2).sum()
    paired = error(there(x[:1]), y[1:2]) + error(y[1:2] @ v, x[:1])
    assert found == pytest.approx(l_ab + l_ba + 0.5 * cycle + 2 * injectivity + smoothness + 3 * paired, rel=1e-5)
    plain = data.loss(tensors(ab), tensors(ba), OFF, [0, 0], [9.0, 8.0], 5, torch.Generator()).item()
    assert plain == pytest.approx(l_ab + l_ba, rel=1e-5)
    apart = error(there(x[2:]), to_y[2:]) + error(y[2:] @ v, to_x[2:])
    assert data.held_out_loss(tensors(ab), tensors(ba)) == pytest.approx(apart, rel=1e-5)
