"""The trainer: a run that was killed ends as an unbroken one, the best weights are kept, and nothing is left behind."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from ngw.errors import InputError
from ngw.nn.training import Prefetcher, Schedule, train
from ngw.seeds import torch_generator

SCHEDULE = Schedule(steps=20, learning_rate=0.1, every=3, patience=99)


class Problem:
    """Least squares on a batch that is a function of the step; `fails_at` is the step whose batch can't be had."""

    def __init__(self, fails_at=None):
        self.p = {"w": torch.ones(3, requires_grad=True), "b": torch.tensor(0.0, requires_grad=True)}
        self.fails_at, self.asked = fails_at, []

    def batch(self, step):
        self.asked.append(step)
        if step == self.fails_at:
            raise OSError("the disk is gone")
        x = torch.randn(8, 3, generator=torch_generator(0, "test", step))
        return x, x @ torch.tensor([1.0, -2.0, 0.5]) + 3

    def loss(self, batch):
        x, y = batch
        return ((x @ self.p["w"] + self.p["b"] - y) ** 2).mean()

    def held_out(self):
        with torch.no_grad():
            return float(self.loss(self.batch(10_000)))

    def train(self, schedule=SCHEDULE, **options):
        return train(self.p, self.batch, self.loss, self.held_out, schedule, **options)


@pytest.mark.parametrize(("fails_at", "average"), [(4, 0), (9, 0.9), (19, 0), (19, 0.5)])
def test_a_killed_run_ends_as_an_unbroken_one(tmp_path, fails_at, average):
    schedule = replace(SCHEDULE, average=average)
    whole, broken, again = Problem(), Problem(fails_at), Problem()
    unbroken = whole.train(schedule)
    with pytest.raises(OSError, match="the disk is gone"):
        broken.train(schedule, checkpoint=tmp_path / "c", identity="run")
    assert (tmp_path / "c").is_file()
    resumed = again.train(schedule, checkpoint=tmp_path / "c", identity="run")
    assert again.asked[0] == fails_at // 3 * 3  # the last look before the failure
    for name in whole.p:
        assert torch.equal(whole.p[name], again.p[name])
    assert resumed.curve["held_out"] == unbroken.curve["held_out"]
    assert resumed.curve["step"] == unbroken.curve["step"] == [0, 3, 6, 9, 12, 15, 18, 20]
    assert resumed.step == unbroken.step
    assert list(tmp_path.iterdir()) == []


def test_the_kept_weights_are_the_moving_average_of_the_trained_ones():
    plain, averaged, seen = Problem(), Problem(), []
    schedule = Schedule(steps=6, learning_rate=0.1, every=1, patience=99)
    inner = plain.held_out
    plain.held_out = lambda: (seen.append(plain.p["w"].detach().clone()), inner())[1]
    plain.train(schedule)
    told = averaged.train(replace(schedule, average=0.3))
    by_hand = seen[0]
    for step, w in enumerate(seen[1:], 1):
        decay = min(0.3, step / (9 + step))
        by_hand = decay * by_hand + (1 - decay) * w
    assert told.step == 6
    torch.testing.assert_close(averaged.p["w"].detach(), by_hand)


def test_a_checkpoint_of_another_run_is_not_taken_up(tmp_path, capsys):
    with pytest.raises(OSError, match="gone"):
        Problem(10).train(checkpoint=tmp_path / "c", identity="one")
    other = Problem()
    other.train(checkpoint=tmp_path / "c", identity="two")
    assert other.asked[:2] == [10_000, 0] or other.asked[:2] == [0, 10_000]
    assert "starting anew" in capsys.readouterr().out


def test_the_weights_that_were_best_on_held_out_data_are_kept():
    problem, seen = Problem(), []

    def held_out():  # best at the third look, whatever the weights
        seen.append({name: p.detach().clone() for name, p in problem.p.items()})
        return [5.0, 4.0, 1.0, 2.0, 3.0, 2.0][len(seen) - 1]

    schedule = Schedule(steps=30, learning_rate=0.1, every=2, patience=3)
    found = train(problem.p, problem.batch, problem.loss, held_out, schedule)
    assert found.stopped
    assert found.step == 4
    assert found.curve["step"] == [0, 2, 4, 6, 8, 10]
    assert found.record()["steps"] == 10
    assert torch.equal(problem.p["w"], seen[2]["w"])


def test_training_learns():
    problem = Problem()
    found = problem.train(Schedule(steps=200, learning_rate=0.2, every=50, patience=9))
    assert found.curve["held_out"][0] > 5
    assert found.curve["held_out"][-1] < 1e-2
    assert found.curve["train"][0] is None  # no batch before the first look
    assert not found.stopped


@pytest.mark.parametrize(("where", "words"), [("loss", "step 0: expected a finite loss"), ("held", "held-out loss")])
def test_what_is_not_finite_is_refused(where, words):
    problem = Problem()
    loss = (lambda batch: problem.loss(batch) * float("nan")) if where == "loss" else problem.loss
    held_out = (lambda: float("inf")) if where == "held" else problem.held_out
    with pytest.raises(InputError, match=words):
        train(problem.p, problem.batch, loss, held_out, SCHEDULE)


def test_batches_come_in_order_once_each_and_waiting_is_told():
    asked = []

    def slow(step):
        asked.append(step)
        time.sleep(0.02)
        return step

    ahead = Prefetcher(slow, 3, 7)
    assert [ahead.take(step) for step in range(3, 7)] == [3, 4, 5, 6]
    ahead.close()
    assert asked == [3, 4, 5, 6]
    assert ahead.waited > 0.05
    quick = Prefetcher(lambda step: step, 0, 3)
    for step in range(3):
        time.sleep(0.01)
        quick.take(step)
    quick.close()
    assert quick.waited < 0.005
