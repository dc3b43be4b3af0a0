"""Products and convolutions by oneDNN are torch's own up to rounding; products in their derivatives, too."""

from __future__ import annotations

import pytest
import torch

from ngw import products as module
from ngw.encoders._convolution import Convolution
from ngw.products import products

torch.manual_seed(0)
LAYER = torch.nn.Linear(24, 40)
CASES = {
    "linear": lambda x: LAYER(x),
    "bias by name": lambda x: torch.nn.functional.linear(x, LAYER.weight, bias=LAYER.bias),
    "all by name": lambda x: torch.nn.functional.linear(input=x, weight=LAYER.weight),
    "no bias": lambda x: torch.nn.functional.linear(x, LAYER.weight),
    "at": lambda x: x @ LAYER.weight.T,
    "matmul": lambda x: torch.matmul(x, LAYER.weight.T),
    "mm": lambda x: torch.mm(x[0], LAYER.weight.T),
    "batched": lambda x: x @ x.mT,
    "vector": lambda x: x @ LAYER.weight[0],
    "rows apart": lambda x: x[:, ::2] @ LAYER.weight.T,
}


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """As on an AMD, and for small products too."""
    monkeypatch.setattr(module, "_on_amd", lambda: True)
    monkeypatch.setattr(module, "LEAST", 0)


@pytest.mark.parametrize("case", CASES)
def test_values_and_derivatives_are_those_of_torch(case):
    def all_of_them():
        x = torch.linspace(-1, 1, 3 * 8 * 24).reshape(3, 8, 24).sin().requires_grad_()
        value = CASES[case](x)
        (first,) = torch.autograd.grad(value.pow(3).sum(), x, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [x, LAYER.weight], allow_unused=True)
        return [z for z in (value, first, *second) if z is not None]

    expected = all_of_them()
    with products():
        found = all_of_them()
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.detach().abs().max()))


def test_a_product_by_oneDNN_is_told_by_its_gradient():
    x = torch.ones(8, 24, requires_grad=True)
    assert "Product" not in repr((x @ LAYER.weight.T).grad_fn.next_functions)
    with products():
        assert "Product" in repr((x @ LAYER.weight.T).grad_fn.next_functions)
        assert "Product" not in repr((x.double() @ LAYER.weight.T.double()).grad_fn)


def test_the_context_ends():
    with products():
        pass
    assert "Product" not in repr((torch.ones(8, 24) @ LAYER.weight.T).grad_fn)


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("relu6", [True, False])
def test_a_convolution_of_oneDNN_is_its_parts_one_behind_the_other(monkeypatch, available, relu6):
    conv = torch.nn.Conv2d(6, 6, 3, stride=2, groups=3).requires_grad_(False)
    padding, x = torch.nn.ZeroPad2d((0, 1, 2, 1)), torch.linspace(-9, 9, 2 * 6 * 7 * 5).sin().mul(9).reshape(2, 6, 7, 5)
    expected = conv(padding(x))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: available)
    found = Convolution(padding, conv, relu6)(x)
    torch.testing.assert_close(found, torch.nn.functional.relu6(expected) if relu6 else expected)
