"""The optimiser is torch's Adam with its cosine schedule, without torch's slow import."""

import subprocess
import sys

import pytest
import torch

from ngw.nn.optim import Adam


def loss(p, q):
    return (p.square() * torch.arange(1.0, 4.0)).sum() + (q - 2).abs().sum() + p.sum() * q.sum()


def test_steps_are_those_of_torch():
    ours = [torch.tensor([1.0, -2.0, 3.0]).requires_grad_(), torch.tensor([0.5]).requires_grad_()]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    optimiser = Adam(ours, learning_rate=0.1, steps=20, decay=[0.3, 0.0])
    groups = [{"params": theirs[:1], "weight_decay": 0.3}, {"params": theirs[1:]}]
    reference = torch.optim.Adam(groups, lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, 20)
    for _ in range(20):
        optimiser.step(loss(*ours))
        reference.zero_grad()
        loss(*theirs).backward()
        reference.step()
        schedule.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q)
    assert optimiser.rate == pytest.approx(0, abs=1e-12)


def test_a_step_does_not_import_the_compiler():
    code = (
        "import sys, torch; from ngw.nn.optim import Adam; p = torch.ones(2, requires_grad=True);"
        "Adam([p], 0.1, 3).step(p.square().sum()); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
