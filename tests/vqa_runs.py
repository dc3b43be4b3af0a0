"""Files of the stages before a fusion's training on tiny scenes, and the command line of that training."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ngw

from ngw import fusion
from ngw.cli import main

VISION, TEXT = {"kind": "efficientnet-lite"}, {"kind": "transformers-text"}
SMALL = {"dims": 8, "hidden": 8, "width": 8}
CROSS = {"kind": "cross-attention", **SMALL}
TRAINING = {"epochs": 4, "batch": 8, "looks": 4, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def made(scenes, tmp_path_factory) -> Path:
    """A folder with bases, token files, labels and a fitted aligner of the tiny scenes."""
    folder = tmp_path_factory.mktemp("vqa")
    for name, spec in (("vision", VISION), ("text", TEXT)):
        who = {"tables": scenes, "dataset": "scenes", "encoder": name, "spec": spec}
        assert main(ngw("basis", **who, dims=8, output=folder / f"{name}.basis")) == 0
        for split in ("train", "test"):
            output = folder / f"{name}.{split}"
            assert main(ngw("tokens", **who, split=split, basis=folder / f"{name}.basis", output=output)) == 0
        assert main(ngw("encode", **who, split="train", output=folder / f"{name}.pooled")) == 0
    assert main(ngw("labels", **{"tables": scenes, "min-count": 1, "output": folder / "labels"})) == 0
    who = {"labels": folder / "labels", "dataset": "scenes", "encoder": "text", "spec": TEXT}
    assert main(ngw("encode-answers", **who, output=folder / "answers")) == 0
    pair = (folder / "vision.pooled", folder / "text.pooled")
    who = {"method": "cca", "spec": {"kind": "cca"}, "pairs": "all", "seed": 0}
    assert main(ngw("fit", pair=pair, **who, output=folder / "aligner")) == 0
    return folder


def fuse(made, output, spec=CROSS, **changes):
    """The command line of a training."""
    files = {"images": ["vision.train", "vision.test"], "questions": ["text.train", "text.test"]}
    lists = {name: changes.pop(name, [made / file for file in found]) for name, found in files.items()}
    options = {"labels": made / "labels", "fusion": "f", "spec": spec, "share": "all", "seed": 0, "output": output}
    options |= {"training": TRAINING}
    if fusion.build(spec).aligned:
        options["model"] = made / "aligner"
    if fusion.build(spec).compares:
        options["answers"] = made / "answers"
    words = ngw("fuse", **(options | changes))
    return words + [word for name, paths in lists.items() for word in (f"--{name}", *map(str, paths))]
