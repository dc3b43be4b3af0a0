"""The sampling of a diffusion decoder: noise levels, and the way from an item's own noise to its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ngw.device import device
from ngw.errors import InputError
from ngw.products import products
from ngw.seeds import rng

if TYPE_CHECKING:
    from ngw.tasks.images.codec import Codec

AT_ONCE = 64  # pictures drawn at once
NOISE_STEPS = 1000
Denoise = Callable[[Tensor, Tensor], Tensor]  # from noisy codes [b, c, h, w] and their level [] to clean ones


def levels() -> Any:
    """The noise levels of training and sampling: the squared cosine of Nichol and Dhariwal 2021."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=NOISE_STEPS, beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False
    )


def check_width(latents: np.ndarray, width: int) -> np.ndarray:
    """Latents, if they are [n, width]; otherwise an `InputError`."""
    if latents.ndim != 2 or latents.shape[1] != width:
        raise InputError(f"latents: expected [n, {width}], found {list(latents.shape)}; map them to the image space.")
    return latents


@torch.no_grad()
@products()
def sample(
    denoiser: Callable[[Tensor], Denoise], codec: Codec, latents: np.ndarray, ids: Sequence[int], seed: int, steps: int
) -> np.ndarray:
    """Pictures of latents [n, d], uint8 [n, h, w, 3], by DPM-Solver++ (Lu et al. 2022), which adds no noise of its own.

    denoiser: makes a denoiser for some latents [b, d], on the device of the sampling.  ids: an item's first noise is a
    function of its id and the seed.
    """
    from diffusers import DPMSolverMultistepScheduler
    from tqdm import tqdm

    solver, decoded, starts = (
        DPMSolverMultistepScheduler.from_config(levels().config),
        [],
        range(0, len(latents), AT_ONCE),
    )
    for first in tqdm(starts, desc="draw", unit="batch", mininterval=1, disable=len(starts) < 2):
        chosen = slice(first, first + AT_ONCE)
        denoise = denoiser(torch.tensor(latents[chosen], dtype=torch.float32))
        noise = [rng(seed, "imaging", "first noise", int(i)).standard_normal(codec.shape) for i in ids[chosen]]
        codes = torch.tensor(np.stack(noise), dtype=torch.float32, device=device())
        solver.set_timesteps(steps, device=device())
        for level in solver.timesteps:
            codes = solver.step(codec.clip(denoise(codes, level)), level, codes).prev_sample
        decoded.append(codec.decode(codes))
    return np.concatenate(decoded)
