"""Anderson mixing: exact on linear maps, harmless where it has nothing to offer."""

import torch

from ngw.ot.anderson import Anderson


def iterate(function, x, steps, weights=None, plain=False):
    mixer = Anderson(torch.ones_like(x) if weights is None else weights)
    for _ in range(steps):
        r = function(x) - x
        x = x + r if plain else mixer.step(x, r, float(r.norm()))
    return x


def test_solves_a_linear_map_in_one_step_a_dimension():
    # On x -> A x + c with 4 unknowns it is GMRES (Walker and Ni 2011): exact after 4 + 2 steps; plain needs hundreds.
    generator = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator))[0]
    a = q @ torch.diag(torch.tensor([0.99, 0.9, 0.5, -0.5], dtype=torch.float64)) @ q.T
    c, x = torch.randn(2, 4, dtype=torch.float64, generator=generator)
    solution = torch.linalg.solve(torch.eye(4, dtype=torch.float64) - a, c)
    assert (iterate(lambda z: a @ z + c, x, 6) - solution).norm() < 1e-6
    assert (iterate(lambda z: a @ z + c, x, 6, plain=True) - solution).norm() > 1e-2


def test_survives_a_singular_history():
    # x -> x / 2 in every coordinate: all differences are parallel, the normal equations have rank one.
    x = iterate(lambda z: z / 2, torch.full((5,), 8.0, dtype=torch.float64), 30)
    assert torch.isfinite(x).all()
    assert x.norm() < 1e-6


def test_restarts_with_more_plain_steps_each_time_the_error_grows():
    mixer = Anderson(torch.ones(1, dtype=torch.float64))
    x = torch.zeros(1, dtype=torch.float64)
    for error, plain in ((1.0, 0), (3.0, 0), (7.0, 1), (15.0, 3)):  # 2^k plain steps, of which this is one
        mixer.step(x, x + 1, error)
        assert mixer.plain == plain
        assert (len(mixer.points) == 0) == (error > 1)


def test_goes_back_to_the_best_point_after_a_leap_of_the_error():
    mixer = Anderson(torch.ones(1, dtype=torch.float64))
    x = torch.zeros(1, dtype=torch.float64)
    for point, error, new in (
        (0.0, 1.0, 1.0),
        (5.0, 1e-3, None),
        (9.0, 5e-2, 10.0),
        (20.0, 1e-4, None),
        (7.0, 1.0, 21.0),
    ):
        step = mixer.step(x + point, x + 1, error)
        assert new is None or step.item() == new  # plain steps: from 9, though 5 was better, but from 20 after 7


def test_clips_a_wild_extrapolation():
    # Residuals that hardly change promise a fixed point very far away.
    mixer = Anderson(torch.ones(1, dtype=torch.float64), furthest=30.0)
    x = torch.zeros(1, dtype=torch.float64)
    for k in range(4):
        new = mixer.step(x, 1 + 1e-9 * k + 0 * x, 1.0)
        assert 0 < (new - x).abs().item() <= 30.0
        x = new
