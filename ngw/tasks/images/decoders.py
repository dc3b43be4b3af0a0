"""The image decoder of a file: a trained network, the local score, or a pretrained decoder's folder."""

from __future__ import annotations

import json
import os
from typing import Any

import torch

from ngw import io
from ngw.device import device
from ngw.tasks.images.codec import codec
from ngw.tasks.images.options import ImagerOptions as Options


def load(path: str | os.PathLike) -> tuple[Any, dict[str, str]]:
    """An imager from the file that its `save` wrote, and its metadata."""
    arrays, head = io.read_tensors(path, "an image decoder", "imager")
    options = Options(**json.loads(head["imager"]))
    if options.unclip is not None:
        from ngw.tasks.images.unclip import Unclip

        return Unclip(options, **arrays), head
    if options.network == "local":
        from ngw.tasks.images.local_score import LocalScore

        return LocalScore.restore(options, arrays), head
    from ngw.tasks.images.diffusion import Imager

    model = Imager(options, codec(options.size, options.vae), arrays, 0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model.eval().to(device()), head
