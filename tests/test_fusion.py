"""Fusion: the formula of proposal 2.4 by hand, masks that hide, and maps that are the fitted method's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusion_networks import SMALL, close, clouds, every, exchanging, fitted, full, network, tokens

from ngw import fusion, methods
from ngw.errors import InputError
from ngw.fusion import Basis, Tokens
from ngw.fusion._network import average
from ngw.fusion.cross_attention import attend

D_A, D_B, B, T, S = 6, 5, 3, 4, 5  # widths of the clouds, items, tokens a side


# CrossAttn


def test_with_one_key_attention_gives_the_key():
    q, k = torch.randn(2, 3, 4), torch.randn(2, 1, 4)
    close(attend(q, k, full(2, 1)), k.expand(2, 3, 4))


def test_two_keys_by_hand():
    # d = 4, so logits are q k' / 2: with q = (2 log 3, 0, 0, 0) they are log 3 and 0, and the weights 3/4 and 1/4.
    q = torch.tensor([[[2 * np.log(3.0), 0, 0, 0]]], dtype=torch.float32)
    k = torch.tensor([[[1.0, 0, 8, 0], [0, 4, 0, 0]]])
    close(attend(q, k, full(1, 2)), torch.tensor([[[0.75, 1, 6, 0]]]))


def test_attention_is_the_formula():
    q, k = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    close(attend(q, k, full(2, 5)), torch.softmax(q @ k.transpose(1, 2) / 2, 2) @ k)


def test_a_query_without_keys_takes_nothing_and_gradients_stay_finite():
    q, k = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 2, 4, requires_grad=True)
    out = attend(q, k, torch.tensor([[False, False], [True, False]]))
    assert (out[0] == 0).all()
    close(out[1], k[1, :1].expand(3, 4))
    out.sum().backward()
    assert q.grad.isfinite().all()
    assert (k.grad[0] == 0).all()
    assert k.grad[1, 0].tolist() == pytest.approx([3] * 4)  # three queries take it whole


# The trunk


def test_h_a_is_the_proposals_formula():
    z_a, mask_a, z_b, mask_b = tokens()
    net = network({"kind": "cross-attention"}, alpha=0.3, alpha_b=0.4)
    t_ba = torch.from_numpy(fitted().inverse_transform(z_b[0].numpy()).astype(np.float32))
    q, k = net.project["a"](z_a[0]), net.project["a"](t_ba)
    hand = 0.3 * q + 0.7 * torch.softmax(q @ k.T / np.sqrt(SMALL["dims"]), 1) @ k
    close(net.mixed(z_a, mask_a, z_b, mask_b)["a"][0][0], hand)
    assert net.alphas() == pytest.approx({"a": 0.3, "b": 0.4})


def test_gates_take_the_mean_and_pooled_attention_the_only_key():
    z_a, mask_a, z_b, mask_b = tokens()
    for spec in ({"kind": "gated"}, {"kind": "cross-attention", "pooled": True, "alpha_b": 0.5}):
        net = network(spec)
        own = average(z_b, mask_b)[:, None] if net.spec.pooled else z_b
        # Procrustes is affine, so that the mean of the mapped tokens is the map of their mean.
        mean = net.maps.ab(average(z_a, mask_a))[:, None]
        h, mask = net.mixed(z_a, mask_a, z_b, mask_b)["b"]
        close(h[mask], ((net.project["b"](own) + net.project["b"](mean)) / 2)[mask])


def test_the_output_by_hand():
    # LayerNorm of (3, 1) and of (5, 9) is (1, -1) and (-1, 1): means 0 without a mask, (1, -1) where the first counts.
    net = fusion.build({"kind": "image-only", "dims": 2, "hidden": 1, "width": 1}).network(Tokens(2), Tokens(1))
    with torch.no_grad():
        for layer, weight in ((net.project["a"], torch.eye(2)), (net.ffn[0], torch.tensor([[1.0, 0]]))):
            layer.weight.copy_(weight)
            layer.bias.zero_()
        net.ffn[2].weight.fill_(10)
        net.ffn[2].bias.fill_(0.5)
    z = torch.tensor([[[3.0, 1], [5, 9]]])
    gelu = 0.841345  # of 1: Phi(1)
    for mask, expected in (((True, True), 0.5), ((True, False), 0.5 + 10 * gelu)):
        close(net(z, torch.tensor([mask]), None, None), torch.tensor([[expected]]), 1e-4)


@every
def test_shape_and_finite_gradients(spec):
    net = network(spec)
    h = net(*tokens())
    assert h.shape == (B, SMALL["width"])
    h.square().sum().backward()
    for key, p in net.named_parameters():
        if not key.startswith("maps."):
            assert p.grad.abs().sum() > 0, key
            assert p.grad.isfinite().all(), key


@every
@pytest.mark.parametrize("junk", [1e6, float("nan"), float("inf")])
def test_masked_tokens_change_nothing(spec, junk):
    net, (z_a, mask_a, z_b, mask_b) = network(spec), tokens()
    h = net(z_a, mask_a, z_b, mask_b)
    dirty = [z.masked_fill(~mask[..., None], junk) for z, mask in ((z_a, mask_a), (z_b, mask_b))]
    close(net(dirty[0], mask_a, dirty[1], mask_b), h, 1e-6)


@every
def test_the_order_of_tokens_changes_nothing(spec):
    net, (z_a, mask_a, z_b, mask_b) = network(spec), tokens()
    i, j = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 1, 0, 3, 2])
    close(net(z_a[:, i], mask_a[:, i], z_b[:, j], mask_b[:, j]), net(z_a, mask_a, z_b, mask_b))


@every
def test_an_item_does_not_depend_on_its_batch(spec):
    net, given = network(spec), tokens()
    close(net(*(part[1:2] for part in given)), net(*given)[1:2])


@exchanging
def test_at_alpha_1_a_side_ignores_the_other(spec):
    net, (z_a, mask_a, z_b, mask_b) = network(spec), tokens()
    net.logits.data.copy_(torch.tensor([1e4, 0]))
    assert net.alphas() == {"a": 1, "b": 0.5}
    h, mask = net.mixed(z_a, mask_a, z_b, mask_b)["a"]
    own = average(z_a, mask_a)[:, None] if net.spec.pooled else z_a
    close(h[mask], net.project["a"](own)[mask])
    close(net.mixed(z_a, mask_a, z_b * 2, mask_b)["a"][0], h, 0)
    here, there = (net.mixed(z, mask_a, z_b, mask_b)["b"][0] for z in (z_a, z_a * 2))
    assert (here - there).abs().max() > 1e-3  # the other alpha is its own


@exchanging
def test_without_the_other_sides_tokens_a_side_stands_alone(spec):
    # h_A = alpha z_A, which LayerNorm brings to LayerNorm(z_A): what alpha = 1 gives, but for LayerNorm's 1e-5.
    net, (z_a, mask_a, z_b, mask_b) = network(spec), tokens()
    alone, mask = net.mixed(z_a, mask_a, z_b, mask_b & False)["a"]
    net.logits.data.fill_(1e4)
    own, _ = net.mixed(z_a, mask_a, z_b, mask_b)["a"]
    close(net.norm["a"](alone[mask]), net.norm["a"](own[mask]), 1e-3)


@exchanging
def test_each_side_sees_the_other(spec):
    net, (z_a, mask_a, z_b, mask_b) = network(spec), tokens()
    before, after = (net.mixed(z_a, mask_a, z, mask_b)["a"][0] for z in (z_b, z_b * 2))
    assert (before - after).abs().max() > 1e-3


def test_one_side_alone_reads_nothing_of_the_other():
    z_a, mask_a, z_b, mask_b = tokens()
    net = network({"kind": "image-only"})
    close(net(z_a, mask_a, None, None), net(z_a, mask_a, z_b, mask_b), 0)
    net = network({"kind": "question-only"})
    close(net(None, None, z_b, mask_b), net(z_a, mask_a, z_b, mask_b), 0)


def test_concatenation_is_cross_attention_at_alpha_1():
    given, cross, plain = tokens(), network({"kind": "cross-attention"}), network({"kind": "concat"})
    cross.logits.data.fill_(1e4)  # one seed, one trunk
    close(plain(*given), cross(*given))


def test_gradients_are_the_finite_differences():
    net = network({"kind": "cross-attention", "tune": "fine"}).double()
    given = tokens()

    def loss():
        return net(*given).square().sum()

    loss().backward()
    step = 1e-5
    for key, p in net.named_parameters():
        at = (0,) * p.ndim
        with torch.no_grad():
            p[at] += step
            up = loss()
            p[at] -= 2 * step
            slope = (up - loss()) / (2 * step)
            p[at] += step
        assert p.grad[at].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-6), key


# Initial weights


@every
def test_seeds_reproduce_whatever_was_drawn_before(spec):
    given, state = tokens(), torch.random.get_rng_state()
    first = network(spec)(*given)
    assert (torch.random.get_rng_state() == state).all()  # nothing is drawn from the shared generator
    torch.rand(3)
    close(network(spec)(*given), first, 0)
    assert (network(spec, seed=1)(*given) - first).abs().max() > 1e-3


@pytest.mark.parametrize("dims", [4, 6, 16])
def test_projected_tokens_start_at_mean_0_and_variance_1(dims):
    x = (clouds()[0] * 50 + 1000).reshape(30, 5, D_A)
    mask = np.random.default_rng(0).random((30, 5)) < 0.8
    about = Tokens.of(x, mask)
    net = fusion.build({"kind": "concat", "dims": dims}).network(about, about)
    z = net.project["a"](torch.tensor(x[mask], dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    assert (z**2).mean() == pytest.approx(1, rel=1e-4 if dims >= D_A else 0.7)  # below, a random part of the variance
    if dims >= D_A:  # angles about the mean are kept
        v = (x[mask] - about.mean) / about.scale * np.sqrt(dims)
        np.testing.assert_allclose(z @ z.T, v @ v.T, atol=1e-2)


# What is refused


def test_wrong_tokens_are_refused():
    net, (z_a, mask_a, z_b, mask_b) = network({"kind": "concat"}), tokens()
    with pytest.raises(InputError, match=r"z_b: expected tokens \[batch, tokens, 5\], found \[3, 5, 4\]"):
        net(z_a, mask_a, z_b[..., :4], mask_b)
    with pytest.raises(InputError, match=r"z_a: expected tokens .* found \[3, 6\]"):
        net(z_a[:, 0], mask_a, z_b, mask_b)
    with pytest.raises(InputError, match=r"mask_a: expected bool \[3, 4\], found torch.float32 \[3, 4\]"):
        net(z_a, mask_a.float(), z_b, mask_b)


def test_wrong_maps_are_refused():
    with pytest.raises(InputError, match="CrossAttention: expected T_AB and T_BA, found none"):
        fusion.build({"kind": "cross-attention"}).network(Tokens(D_A), Tokens(D_B))
    maps = fusion.align(fitted())
    with pytest.raises(InputError, match="expected maps between tokens of 6 and 4 features, found 6 and 5"):
        fusion.build({"kind": "gated"}).network(Tokens(D_A), Tokens(4), maps)
    with pytest.raises(InputError, match="Concat: expected no maps"):
        fusion.build({"kind": "concat"}).network(Tokens(D_A), Tokens(D_B), maps)
    with pytest.raises(InputError, match="basis a: expected 6 features"):
        fusion.align(fitted(), Basis(np.eye(4, 2), np.zeros(4)))
    with pytest.raises(InputError, match="expected a fitted method"):
        fusion.align(methods.build({"kind": "ridge"}))


def test_wrong_bases_and_tokens_are_refused():
    with pytest.raises(InputError, match="basis: expected orthonormal columns"):
        Basis(2 * np.eye(4, 2), np.zeros(4))
    with pytest.raises(InputError, match=r"expected axes \[d, p\] and mean \[d\], found \[2, 4\] and \[4\]"):
        Basis(np.eye(2, 4), np.zeros(4))
    with pytest.raises(InputError, match="expected a positive unit, found 0"):
        Basis(np.eye(4, 2), np.zeros(4), 0)
    with pytest.raises(InputError, match="tokens: expected some inside the mask"):
        Tokens.of(np.zeros((2, 3, 4)), np.zeros((2, 3), bool))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "cross-atention"}, "Did you mean 'cross-attention'"),
        ({"kind": "gated", "pooled": True}, "'gated' has no option 'pooled'"),
        ({"kind": "concat", "dims": 0}, "dims is 1 or more"),
        ({"kind": "cross-attention", "alpha": 1.0}, "alpha is a share in"),
        ({"kind": "cross-attention", "tune": "full"}, "tune is frozen or fine"),
        ({"kind": "cross-attention", "tune": "fine", "aligned": False}, "drop one of the two"),
    ],
)
def test_wrong_options_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        fusion.build(spec)


def test_a_spec_tells_its_options():
    assert fusion.build({"kind": "gated"}).params() == {
        "dims": 256, "hidden": 512, "width": 512, "alpha": 0.5, "tune": "frozen",
    }  # fmt: skip
