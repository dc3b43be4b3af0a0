"""Text to image: a diffusion decoder that learns from images alone to draw an image latent's picture; T_BA maps texts
to it.

A denoiser is conditioned on a latent's direction from the images' mean: a network of `diffusers`, trained here, or one
in closed form (`local_score`). No decoder ever sees a pair. In training the latent is the image's own, with noise, so
that the decoder tolerates the gap to latents that come from texts. The network starts from a draft, a blurred picture
by a ridge regression from directions to pictures; in training, by a regression that never saw this image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ngw import io
from ngw.device import device
from ngw.errors import InputError
from ngw.nn.training import Schedule, Trained, train
from ngw.seeds import entropy, rng, torch_generator
from ngw.tasks.images.draft import closed_form
from ngw.tasks.images.options import ImagerOptions as Options
from ngw.tasks.images.sampling import NOISE_STEPS, Denoise, check_width, levels, sample
from ngw.tasks.vqa.labels import held_out

if TYPE_CHECKING:
    from ngw.tasks.images.codec import Codec

MOST_WEIGHT = 10.0  # of one noise level in the loss


class Batch(NamedTuple):
    """Clean codes [b, c, h, w], noise, noise levels [b], directions [b, d], the closed form's codes, and the rows
    trained without their latent [b]."""

    codes: Tensor
    noise: Tensor
    levels: Tensor
    latents: Tensor
    drafts: Tensor
    free: Tensor


class Imager(nn.Module):
    """A denoiser of codes, conditioned on tokens made from a direction and on the closed form's draft."""

    def __init__(self, options: Options, codec: Codec, arrays: Mapping[str, np.ndarray], seed: int) -> None:
        super().__init__()
        from ngw.tasks.images.networks import denoiser

        self.options, self.codec = options, codec
        for name in ("mean", "map", "typical"):  # [d]; [d, c h w]; [c h w], the codes' mean
            self.register_buffer(name, torch.tensor(arrays[name], dtype=torch.float32))
        width = len(self.mean)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(entropy(seed, "imaging", "weights") % 2**63)
            self.denoiser = denoiser(options, codec)
            self.prefix = nn.Sequential(
                nn.Linear(width, 2 * options.dims),
                nn.GELU(),
                nn.Linear(2 * options.dims, options.tokens * options.dims),
            )
            self.empty = nn.Parameter(torch.zeros(options.tokens, options.dims))
        self.levels = levels()

    def direction(self, latents: Tensor) -> Tensor:
        """Latents [b, d] as unit vectors from the images' mean."""
        return nn.functional.normalize(latents - self.mean, dim=-1)

    def draft(self, directions: Tensor) -> Tensor:
        """The closed form's codes [b, c, h, w]."""
        return (self.typical + directions @ self.map).unflatten(-1, self.codec.shape)

    def denoise(self, noisy: Tensor, levels: Tensor, directions: Tensor, drafts: Tensor, free: Tensor) -> Tensor:
        """The expected clean codes of noisy ones; rows that are `free` don't see their latent."""
        states = self.prefix(directions * directions.shape[1] ** 0.5).unflatten(-1, self.empty.shape)
        states = torch.where(free[:, None, None], self.empty, states)
        start = torch.where(free[:, None, None, None], self.typical.unflatten(-1, self.codec.shape), drafts)
        change = self.denoiser(torch.cat([noisy, start], 1), timestep=levels, encoder_hidden_states=states).sample
        return start + change

    def forward(self, batch: Batch) -> Tensor:
        """Squared error with the weights of the velocity (Salimans and Ho 2022), at most `MOST_WEIGHT`."""
        noisy = self.levels.add_noise(batch.codes, batch.noise, batch.levels)
        denoised = self.denoise(noisy, batch.levels, batch.latents, batch.drafts, batch.free)
        weight = (1 / (1 - self.levels.alphas_cumprod.to(batch.levels.device)[batch.levels])).clamp(max=MOST_WEIGHT)
        return (weight * (denoised - batch.codes).square().mean((1, 2, 3))).mean()

    @torch.no_grad()
    def draw(self, latents: np.ndarray, ids: Sequence[int], seed: int) -> np.ndarray:
        """Pictures of latents [n, d], uint8 [n, h, w, 3], by `sample`; an item's depends on its id and the seed alone.

        With classifier-free guidance (Ho and Salimans 2022).
        """
        self.eval()
        return sample(self._denoiser, self.codec, check_width(latents, len(self.mean)), ids, seed, self.options.steps)

    def _denoiser(self, latents: Tensor) -> Denoise:
        """The guided denoiser of some latents [b, d]."""
        directions, guidance = self.direction(latents.to(self.mean.device)), self.options.guidance
        drafts = self.draft(directions)
        seen, unseen = (torch.full((len(latents),), free, device=drafts.device) for free in (False, True))

        def denoise(codes: Tensor, level: Tensor) -> Tensor:
            at = level.expand(len(codes))
            clean = self.denoise(codes, at, directions, drafts, seen)
            if guidance == 1:
                return clean
            plain = self.denoise(codes, at, directions, drafts, unseen)
            return plain + guidance * (clean - plain)

        return denoise

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
        """Write weights and options as one safetensors file."""
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        io.write_tensors(path, arrays, {"imager": json.dumps(asdict(self.options)), **metadata})


def fit(
    paths: Sequence[str], latents: np.ndarray, image_ids: np.ndarray, options: Options, seed: int,
    checkpoint: Path | None = None, identity: str = "",
) -> tuple[Imager, Trained]:  # fmt: skip
    """Train an imager on image files and their own latents [n, d]; held-out images choose the step."""
    from ngw.tasks.images.codec import codec

    if len(paths) != len(latents):
        raise InputError(f"images: expected a latent for each, found {len(paths)} images and {len(latents)} latents.")
    coded = codec(options.size, options.vae)
    codes = coded.encode(paths)
    mean = latents.mean(0, dtype=np.float64)
    u = latents - mean
    arrays, drafts = closed_form(
        u / np.linalg.norm(u, axis=1, keepdims=True).clip(1e-12), codes.flatten(1).numpy(), options.ridge
    )
    model = Imager(options, coded, {"mean": mean, **arrays}, seed)
    drafts = torch.tensor(drafts, dtype=torch.float32).view_as(codes)
    held = held_out(image_ids, options.held_out, seed)
    training, kept = np.flatnonzero(~held), np.flatnonzero(held)[:256]
    size = min(options.batch, len(training))
    directions, where = model.direction(torch.tensor(latents, dtype=torch.float32)), device()
    model.to(where)

    def made(rows: np.ndarray, address: str, step: int, noise: float, drop: float) -> Batch:
        draw = torch_generator(seed, "imaging", address, step)
        near = directions[rows] + noise / directions.shape[1] ** 0.5 * torch.randn(
            len(rows), directions.shape[1], generator=draw
        )
        parts = (
            codes[rows], torch.randn(codes[rows].shape, generator=draw),
            torch.randint(NOISE_STEPS, (len(rows),), generator=draw), nn.functional.normalize(near, dim=-1),
            drafts[rows], torch.rand(len(rows), generator=draw) < drop,
        )  # fmt: skip
        return Batch(*(part.to(where) for part in parts))

    def batch(step: int) -> Batch:
        rows = training[rng(seed, "imaging", "rows", step).integers(len(training), size=size)]
        return made(rows, "batch", step, options.noise, options.drop)

    def error() -> float:
        with torch.no_grad():
            return float(model(made(kept, "held out", 0, 0.0, 0.0)))

    steps = max(1, round(options.epochs * len(training) / size))
    schedule = Schedule(
        steps, options.learning_rate, max(1, -(-steps // options.looks)), options.patience, options.average
    )
    trained = train(dict(model.named_parameters()), batch, model, error, schedule, checkpoint, identity, label="imager")
    return model.eval(), trained
