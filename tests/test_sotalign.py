"""SOTAlign: KLOT's value and gradient against second implementations, the teacher's plan, and what is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ngw.maps.klot import Teacher, infonce
from ngw.methods._selection import matching
from ngw.methods._transport import pin
from ngw.methods.base import unit
from ngw.methods.cca import CCA
from ngw.methods.sotalign import SOTAlign
from ngw.ot.klot import klot, scaling
from ngw.seeds import torch_generator

EXACT = {"max_iter": 5000, "tol": 1e-13}


def affinities(n, m, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, (n, m))), torch.from_numpy(rng.uniform(-1, 1, (n, m)))


def uniform_plan(affinity, epsilon):
    """The plan with uniform marginals, by POT."""
    ot = pytest.importorskip("ot")
    n, m = affinity.shape
    plan = ot.sinkhorn(
        np.full(n, 1 / n), np.full(m, 1 / m), -affinity.numpy(), epsilon, method="sinkhorn_log", numItermax=10000,
        stopThr=1e-14,
    )  # fmt: skip
    return torch.from_numpy(plan)


def random_plan(n, m, seed=1):
    plan = np.random.default_rng(seed).exponential(size=(n, m)) ** 3
    plan[:, 1] = 0
    plan[2] = 0  # a row and a column without partners in the batch
    return torch.from_numpy(plan / plan.sum())


def test_divergence_is_the_kl_of_two_dense_plans():
    student, teacher = affinities(7, 5)
    p, target = uniform_plan(student, 0.3), uniform_plan(teacher, 0.1)
    expected = float((target * (target / p).log()).sum())
    assert float(klot(student, target, 0.3, **EXACT)) == pytest.approx(expected, rel=1e-9)


def test_divergence_of_a_plan_from_itself_is_zero_with_a_gradient_of_zero():
    affinity = affinities(6, 8)[0].requires_grad_()
    loss = klot(affinity, uniform_plan(affinity.detach(), 0.2), 0.2, **EXACT)
    loss.backward()
    assert abs(float(loss.detach())) < 1e-12
    assert float(affinity.grad.abs().max()) < 1e-11


def test_divergence_of_two_by_two_by_hand():
    # Uniform 2 x 2 plans are [[p, 1/2 - p], [1/2 - p, p]] with p / (1/2 - p) = exp(s / epsilon), s the mean gain.
    s, epsilon = 0.3, 0.5
    p = 0.5 / (1 + np.exp(-s / epsilon))
    target = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    affinity = torch.tensor([[s, 0.0], [0.0, s]], dtype=torch.float64, requires_grad=True)
    loss = klot(affinity, target, epsilon, **EXACT)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(np.log(0.5 / p), rel=1e-12)
    pull = (p - 0.5) / epsilon
    np.testing.assert_allclose(affinity.grad, [[pull, -pull], [-pull, pull]], rtol=1e-10)


@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_gradient_against_finite_differences(epsilon):
    affinity = affinities(5, 6)[0].requires_grad_()
    target = random_plan(5, 6)

    def loss(z):
        return 3 * klot(z, target, epsilon, **EXACT)

    assert torch.autograd.gradcheck(loss, (affinity,), eps=1e-6, atol=1e-6, rtol=1e-6)


def test_gradient_against_unrolled_sinkhorn():
    student, teacher = affinities(6, 4)
    target, epsilon = uniform_plan(teacher, 0.2), 0.5
    by_theorem, unrolled = student.clone().requires_grad_(), student.clone().requires_grad_()
    klot(by_theorem, target, epsilon, **EXACT).backward()
    f, g = torch.zeros(6, 1, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    for _ in range(300):
        f = -np.log(6) - torch.logsumexp(unrolled / epsilon + g, 1, keepdim=True)
        g = -np.log(4) - torch.logsumexp(unrolled / epsilon + f, 0, keepdim=True)
    (target * (target.log() - unrolled / epsilon - f - g)).sum().backward()
    np.testing.assert_allclose(by_theorem.grad, unrolled.grad, atol=1e-10)


def test_divergence_ignores_a_constant_a_row_and_a_column():
    affinity, target = affinities(5, 6)[0], random_plan(5, 6)
    moved = affinity + 40 * torch.arange(5.0)[:, None] - 70 * torch.arange(6.0)
    assert float(klot(moved, target, 0.1, **EXACT)) == pytest.approx(float(klot(affinity, target, 0.1, **EXACT)))


@pytest.mark.parametrize("epsilon", [0.01, 1.0])
def test_scaling_meets_the_marginals_zeros_among_them(epsilon):
    target = random_plan(30, 20).float()
    a, b = target.sum(1), target.sum(0)
    log_kernel, u, v = scaling(affinities(30, 20)[0].float() / epsilon, a, b, 5000, 1e-4)
    plan = u[:, None] * log_kernel.exp() * v
    np.testing.assert_allclose(plan.sum(1), a, atol=1e-6)
    assert float((plan.sum(0) - b).abs().sum()) < 2e-4
    assert float(plan[2].abs().max()) == float(plan[:, 1].abs().max()) == 0


def test_what_klot_refuses():
    with pytest.raises(ValueError, match="two matrices alike"):
        klot(torch.ones(2, 3), torch.ones(3, 2), 0.1)
    with pytest.raises(ValueError, match="epsilon > 0"):
        klot(torch.ones(2, 2), torch.ones(2, 2), 0.0)


def teacher(n=40, m=30, k=5, tol=1e-10):
    rng = np.random.default_rng(3)
    u, v = (unit(rng.standard_normal((size, 4)).astype(np.float32)) for size in (n, m))
    pairs = np.stack([np.arange(k), np.arange(k)[::-1]], 1)
    rest = pin(np.full(n, 1 / n), np.full(m, 1 / m), pairs)
    return Teacher(u, v, pairs, *rest, 0.1, max_iter=2000, tol=tol), pairs


def test_the_teachers_plan_has_the_clouds_marginals_and_its_blocks_are_its_own():
    plan, _ = teacher()
    whole = plan.block(torch.arange(40), torch.arange(30))
    np.testing.assert_allclose(whole.sum(1), 1 / 40, rtol=1e-4)
    np.testing.assert_allclose(whole.sum(0), 1 / 30, rtol=1e-4)
    i, j = torch.tensor([7, 0, 3]), torch.tensor([29, 4, 1, 2])
    np.testing.assert_allclose(plan.block(i, j), whole[i][:, j], rtol=1e-5)
    np.testing.assert_array_equal(plan.y_of, whole.argmax(1))
    np.testing.assert_array_equal(plan.x_of, whole.argmax(0))


def test_known_pairs_take_their_rows_mass_first():
    plan, pairs = teacher()
    whole = plan.block(torch.arange(40), torch.arange(30))
    np.testing.assert_allclose(whole[pairs[:, 0], pairs[:, 1]], 1 / 40, rtol=1e-6)
    assert float(whole[:5].sum()) == pytest.approx(5 / 40, rel=1e-6)


def test_where_every_row_is_a_pair_the_plan_is_the_pairs():
    u = unit(np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32))
    pairs = np.stack([np.arange(6), np.arange(6)], 1)
    plan = Teacher(u, u, pairs, *pin(np.full(6, 1 / 6), np.full(6, 1 / 6), pairs), 0.1)
    np.testing.assert_allclose(plan.block(torch.arange(6), torch.arange(6)), np.eye(6) / 6, atol=1e-7)
    assert plan.converged


def test_batches_bring_partners_together():
    plan, _ = teacher()
    i, j = plan.batch(16, torch_generator(0, "test"))
    assert max(len(i), len(j)) <= 16
    assert len(i.unique()) == len(i)
    meet = torch.isin(plan.y_of[i], j).sum() + torch.isin(plan.x_of[j], i).sum()
    assert int(meet) >= 16
    assert [len(z) for z in plan.batch(40, torch_generator(0, "test"))] == [40, 30]


def test_infonce_by_hand_and_a_rows_other_partner_is_no_negative():
    u = torch.eye(2, dtype=torch.float64)
    apart = infonce(u, u, torch.tensor([[0, 0], [1, 1]]), 0.5)
    assert float(apart) == pytest.approx(np.log(1 + np.exp(-2)), rel=1e-12)
    assert float(infonce(u, u, torch.tensor([[0, 0], [0, 1]]), 0.5)) == pytest.approx(0, abs=1e-12)


def views(n=300, noise=0.5, seed=0):
    """Two noisy linear views of one latent cloud: x [n, 40], y [n, 30], row i of both belongs together."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n + 100, 12))
    x = z @ rng.standard_normal((12, 40)) + noise * rng.standard_normal((n + 100, 40))
    y = z @ rng.standard_normal((12, 30)) + noise * rng.standard_normal((n + 100, 30))
    return (x[:n], y[:n]), (x[n:], y[n:])


def test_unpaired_rows_improve_on_the_teacher_by_held_out_retrieval():
    (x, y), (new_x, new_y) = views()
    order = np.random.default_rng(1).permutation(len(y))
    pairs = np.stack([np.arange(20), np.argsort(order)[:20]], 1)
    student, pairs_only = SOTAlign(batch=128).fit(x, y[order], pairs), CCA().fit(x, y[order], pairs)
    score = matching(*student.embed(new_x, new_y))
    assert score > matching(*pairs_only.embed(new_x, new_y)) + 0.1
    assert score > 0.6


def test_maps_predict_the_other_view():
    (x, y), (new_x, new_y) = views(noise=0.1)
    method = SOTAlign(epsilon_teacher=0.05, batch=128, whiten=None).fit(x, y, np.arange(60))
    for image, truth in ((method.transform(new_x), new_y), (method.inverse_transform(new_y), new_x)):
        assert ((image - truth) ** 2).sum() < 0.25 * ((truth - truth.mean(0)) ** 2).sum()


def test_no_step_gives_the_teachers_own_space():
    (x, y), (new_x, new_y) = views()
    method = SOTAlign(steps=0, epsilon_teacher=0.05, whiten=None).fit(x, y, np.arange(40))
    for mine, cca in zip(method.embed(new_x, new_y), CCA().fit(x, y, np.arange(40)).embed(new_x, new_y), strict=True):
        np.testing.assert_allclose(mine, cca, atol=1e-3)


def test_epsilon_is_chosen_unless_given():
    (x, y), _ = views(n=60)
    assert SOTAlign(steps=2).fit(x, y, np.arange(10)).epsilon_teacher_ in (0.02, 0.04)
    assert SOTAlign(steps=2, epsilon_teacher=0.3).fit(x, y, np.arange(10)).epsilon_teacher_ == 0.3


@pytest.mark.parametrize("k", [4, 60])
def test_fewest_and_all_pairs(k):
    (x, y), (new_x, new_y) = views(n=60)
    method = SOTAlign(steps=3).fit(x, y, np.arange(k))
    assert all(np.isfinite(z).all() for z in (*method.embed(new_x, new_y), method.transform(new_x)))
