"""A fitted method's maps inside a fusion: they carry tokens as the method does, frozen or tuned, in any basis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_networks import OPAQUE, WARPS, close, clouds, fitted, network, tokens

from ngw import fusion, methods
from ngw.errors import InputError
from ngw.fusion import Basis, token_unit

D_A, D_B, B, T, S = 6, 5, 3, 4, 5  # widths of the clouds, items, tokens a side


def kinds_of_maps():
    return [(kind, None) for kind in methods.kinds() if kind not in ("joint", "outside", "weight-averaging")] + [
        ("warp", index) for index in range(len(WARPS))
    ]


@pytest.mark.parametrize(("kind", "index"), kinds_of_maps())
def test_maps_are_the_methods_own(kind, index):
    method, (x, y, _) = fitted(kind, index), clouds()
    maps = fusion.align(method)
    assert maps.form == ("opaque" if kind in OPAQUE else "affine" if index is None else "layers")
    for found, z, image in ((maps.ab, x, method.transform(x)), (maps.ba, y, method.inverse_transform(y))):
        grid = torch.tensor(z[:12], dtype=torch.float32).reshape(3, 4, -1)  # tokens of three items
        error = np.abs(found(grid).detach().numpy().reshape(12, -1) - image[:12]).max()
        assert error <= 1e-5 * np.abs(image).max()


@pytest.mark.parametrize(("kind", "index"), [("warp", None), ("warp", 0), ("warp", 1), ("relative", None)])
def test_frozen_maps_get_no_gradient_and_fine_tuned_ones_do(kind, index):
    maps = fusion.align(fitted(kind, index))
    net = network({"kind": "cross-attention"}, maps=maps)
    net(*tokens()).square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in net.maps.parameters())
    if kind == "relative":
        with pytest.raises(InputError, match="only NumPy applies; take tune: frozen"):
            network({"kind": "cross-attention"}, maps=maps, tune="fine")
        return
    net = network({"kind": "gated"}, maps=maps, tune="fine")
    net(*tokens()).square().sum().backward()
    for way in (net.maps.ab, net.maps.ba):
        assert sum(p.grad.abs().sum() for p in way.parameters()) > 0
    assert not any(p.requires_grad for p in maps.parameters())  # the network tunes a copy


def test_whitening_is_never_tuned():
    names = {key for key, _ in fusion.align(fitted("warp", 0)).tuned("fine").named_parameters()}
    assert names == {f"{way}.1.p.{key}" for way in ("ab", "ba") for key in ("w1", "b1", "w2", "b2", "w3", "b3")}


def basis(z, p, seed=0):
    """A random orthonormal basis of p directions, through a point that isn't the mean."""
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((z.shape[1], p)))[0]
    return Basis(axes.astype(np.float32), (z.mean(0) + 1).astype(np.float32))


@pytest.mark.parametrize(("kind", "index"), [("warp", None), ("warp", 1), ("relative", None)])
@pytest.mark.parametrize("sides", ["a", "b", "ab"])
def test_in_a_basis_maps_are_the_same_on_its_span(kind, index, sides):
    method, (x, y, _) = fitted(kind, index), clouds()
    a = basis(x, 3) if "a" in sides else None
    b = basis(y, D_B, seed=1) if "b" in sides else None  # all of B's space: nothing is lost on the way
    maps = fusion.align(method, a, b)
    c = np.random.default_rng(2).standard_normal((7, 3 if a else D_A)).astype(np.float32)
    z = a.mean + c @ a.axes.T if a else c
    image = method.transform(z)
    found = maps.ab(torch.tensor(c)).detach().numpy()
    np.testing.assert_allclose(b.mean + found @ b.axes.T if b else found, image, atol=1e-4)
    assert maps.widths == (3 if a else D_A, D_B)


def test_in_a_basis_of_the_target_the_image_is_projected():
    x, y, _ = clouds()
    b = basis(y, 2)
    found = fusion.align(fitted(), None, b).ab(torch.tensor(x[:9], dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(found, (fitted().transform(x[:9]) - b.mean) @ b.axes, atol=1e-4)


def test_tokens_are_carried_in_units_of_the_pooled_features():
    # T'(c) = unit_b T(c / unit_a), and back.
    x, y, _ = clouds()
    maps = fusion.align(fitted("warp"), Basis(np.eye(D_A), np.zeros(D_A), 2), Basis(np.eye(D_B), np.zeros(D_B), 6))
    for found, z, image in (
        (maps.ab, 2 * x, 6 * fitted("warp").transform(x)),
        (maps.ba, 6 * y, 2 * fitted("warp").inverse_transform(y)),
    ):
        np.testing.assert_allclose(found(torch.tensor(z, dtype=torch.float32)).detach(), image, atol=1e-3)


def test_the_unit_of_tokens_by_hand():
    # Means (0, 6) and (8, 0) over pooled (0, 1) and (1, 0): 7, the least-squares gain. The masked token doesn't count.
    z, pooled = np.array([[[0, 5], [0, 7]], [[8, 0], [99, 9]]], np.float16), np.array([[0.0, 1], [1, 0]])
    mask = np.array([[True, True], [True, False]])
    assert token_unit(z, mask, pooled) == 7
    with pytest.raises(InputError, match="expected means that point where pooled features do, found a gain of -7"):
        token_unit(z, mask, -pooled)


def test_a_loaded_method_gives_the_same_maps(tmp_path):
    fitted().save(tmp_path / "model.safetensors")
    again = fusion.align(methods.load(tmp_path / "model.safetensors"))
    assert all((p == q).all() for p, q in zip(again.parameters(), fusion.align(fitted()).parameters(), strict=True))


def test_a_network_comes_back_from_its_state():
    net, given = network({"kind": "cross-attention", "tune": "fine"}, seed=3), tokens()
    twin = network({"kind": "cross-attention", "tune": "fine"}, maps=fusion.align(fitted("ridge")))
    twin.load_state_dict(net.state_dict())
    close(twin(*given), net(*given), 0)
