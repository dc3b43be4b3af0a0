"""One training by several processes: as one process would, to rounding; mixed precision; a batch in parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ngw import io
from ngw.errors import InputError
from ngw.methods import build
from ngw.nn.training import Schedule, train
from ngw.tasks.joint import clip

TINY = {"kind": "joint", "size": 16, "patch": 8, "dims": 16, "layers": 1, "heads": 2, "width": 8, "crop": 1.0}
TINY |= {"steps": 40, "batch": 8, "looks": 4, "words": 12, "learning_rate": 5e-3, "held_out": 0.2}
ROOT = Path(__file__).parents[1]


def batch(b=6):
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, 12, (b, 5), generator=draw)
    tokens[:, 0], tokens[:, -1] = 2, 3
    return clip.Batch(torch.randn(b, 3, 16, 16, generator=draw), tokens)


SCRIPT = """
import json, sys
import numpy as np
from PIL import Image
from ngw import io
from ngw.methods import build
from ngw.nn import distributed
from ngw.tasks.joint import clip

distributed.start()
spec, folder, out = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
names = ["red", "green", "blue", "white"] * 10
paths = [f"{folder}/{k}.png" for k in range(40)]
model, _, trained = clip.fit(paths, [[f"a {n} thing"] for n in names], np.arange(40), build(spec), 0)
assert distributed.size() == int(sys.argv[4]), distributed.size()
if distributed.first():
    arrays = {n: p.detach().numpy() for n, p in model.named_parameters()}
    io.write_tensors(out, arrays, {"trained": json.dumps(trained.record())})
"""


@pytest.mark.long
def test_two_processes_train_what_one_does(tmp_path):
    colours = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
    for k in range(40):
        Image.new("RGB", (20, 20), list(colours.values())[k % 4]).save(tmp_path / f"{k}.png")
    (tmp_path / "script.py").write_text(SCRIPT)
    found = {}
    for count, launch in ((1, []), (2, ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"])):
        out = tmp_path / f"{count}.safetensors"
        command = [sys.executable, *launch, tmp_path / "script.py", json.dumps(TINY), tmp_path, out, str(count)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        found[count] = io.read_tensors(out, "weights", "trained")
    (one, told), (two, also) = found[1], found[2]
    told, also = (json.loads(head["trained"]) for head in (told, also))
    assert told["step"] == also["step"] > 0  # the weights that are kept have moved
    np.testing.assert_allclose(also["curve"]["held_out"], told["curve"]["held_out"], rtol=1e-4)
    for name, value in one.items():
        if name.endswith("k_proj.bias"):
            continue  # attention doesn't depend on it: its gradient is rounding
        np.testing.assert_allclose(two[name], value, atol=1e-4, err_msg=name)


def test_parts_of_a_batch_have_the_gradient_of_the_whole():
    model = clip.network(build(TINY), 12, 0)
    found = {}
    for parts in (1, 3):
        loss = clip.contrastive(model, batch(), parts)
        found[parts] = [loss, *torch.autograd.grad(loss, list(model.parameters()))]
    for whole, part in zip(found[1], found[3], strict=True):
        torch.testing.assert_close(part, whole)


def test_mixed_precision_keeps_weights_in_float32():
    seen, losses = [], {}
    for precision in ("float32", "bfloat16"):
        model = clip.network(build(TINY), 12, 0)

        def loss(b, model=model):
            found = clip.contrastive(model, b)
            seen.append(model.visual_projection(torch.randn(1, 16)).dtype)
            return found

        schedule = Schedule(80, 5e-3, 80, 3, precision=precision)
        train(dict(model.named_parameters()), lambda step: batch(), loss, lambda: -len(seen), schedule)
        losses[precision] = clip.contrastive(model, batch()).item()
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert seen[-1] is getattr(torch, precision)
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.3)
    assert losses["bfloat16"] < 0.5 * np.log(6)


def test_a_precision_that_is_none_is_refused():
    with pytest.raises((InputError, ValueError), match="precision is float32 or bfloat16, not 'int8'"):
        build(TINY | {"precision": "int8"})
