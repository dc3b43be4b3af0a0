"""An image decoder in closed form: the best denoiser that sees only a window, over a latent's neighbours.

The best denoiser of a finite set of images can only reproduce them. A denoiser that sees only a window around each
place decides at each place which image's window the noisy one shows, and composes new pictures from the parts.
Convolutional diffusion models have been found to do this (the local score machine of Kamb and Ganguli, An analytic
theory of creativity in convolutional diffusion models, ICML 2025). The images are the latent's neighbours among the
training images, as in retrieval-augmented diffusion (Blattmann et al. 2022; Sheynin et al., kNN-Diffusion, 2023). By
Bayes' rule an image's share grows with two terms: the cosine of its latent, whitened so that directions of little
variance count too; and the likelihood of its coarse picture and its colours under ridge regressions from latents. If a
latent is the mean of a grid of an encoder's tokens, each place has its own shares, which grow with the cosine of the
token there. Nothing else is trained, and no pair is seen. A window as large as the picture gives the neighbours.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ngw import io
from ngw.device import device
from ngw.errors import InputError
from ngw.features import batches
from ngw.methods._whitened import whitening
from ngw.methods.base import unit
from ngw.tasks.images.codec import Codec, codec
from ngw.tasks.images.draft import closed_form
from ngw.tasks.images.options import ImagerOptions as Options
from ngw.tasks.images.sampling import Denoise, check_width, levels, sample

if TYPE_CHECKING:
    from ngw.encoders import Encoder

COARSE = 8  # cells of a coarse picture's side
TONES = 4  # of red, green and blue, by which colours are counted
KEYS = {  # of the arrays in a file
    "mean": "mean", "white": "white", "directions": "directions", "patch_directions": "places", "codes": "codes",
    "cues": "looks", "cue_map": "look",
}  # fmt: skip
SHORTLIST = 8  # candidates, nearest as a whole, for each neighbour; their tokens choose among them


class LocalScore:
    """The training images' codes [n, c, h, w], and their latents' directions [n, r] from the mean [d] by white [d, r].

    patch_directions [n, g * g, r]: of their tokens, the grid's rows first; zeros [n, 1, r] without a grid.
    cues [n, k]: the images' coarse pictures and colour counts, from the mean, each in units of the error with which a
    latent predicts it.  cue_map [r, k]: the ridge regression from directions to cues.

    Options: whiten, axes: `whitening`'s ridge and dims for the latents, whose variance is mostly the background's, not
    the objects'.  neighbours: the images that compose a picture.  temperature: an image's share at a place, before
    sampling, has the logarithm (cosine with its direction + cosine with its token there) / temperature + the cues'
    log-likelihood.  ridge: the regression's.  window: pixels of a side (of the latents' grid, with a `vae`).
    """

    def __init__(
        self, options: Options, mean: np.ndarray, white: np.ndarray, directions: np.ndarray,
        patch_directions: np.ndarray, codes: np.ndarray, cues: np.ndarray, cue_map: np.ndarray,
    ) -> None:  # fmt: skip
        self.options, self.codec = options, codec(options.size, options.vae)
        self.mean, self.white, self.directions, self.patch_directions = mean, white, directions, patch_directions
        self.codes, self.cues, self.cue_map = codes, cues, cue_map
        self.clean = levels().alphas_cumprod  # the clean image's share of the variance, by level

    @classmethod
    def of(
        cls, options: Options, paths: Sequence[str], latents: np.ndarray, encoder: Encoder | None = None
    ) -> LocalScore:
        """From image files and their own latents [n, d]; both are kept in half precision.

        encoder: the latents' encoder; its tokens tell places apart.  None: no tokens.
        """
        if len(paths) != len(latents):
            raise InputError(f"images: expected a latent each, found {len(paths)} images and {len(latents)} latents.")
        codes = codec(options.size, options.vae).encode(paths).half()
        mean = latents.mean(0, dtype=np.float64).astype(np.float32)
        white, _ = whitening(latents - mean, options.whiten, options.axes)
        directions = unit((latents - mean) @ white).astype(np.float16)
        patches = None if encoder is None else _patch_directions(encoder, paths, latents, mean, white)
        if patches is None:
            patches = np.zeros((len(paths), 1, white.shape[1]), np.float16)
        starts, plain = range(0, len(paths), 256), Codec(options.size)
        blocks = codes.split(256) if options.vae is None else (plain.pixels(paths[k : k + 256]) for k in starts)
        parts = [(_coarse(pixels), _colours(pixels)) for pixels in blocks]
        cues, maps = [], []
        for kind in map(np.concatenate, zip(*parts, strict=True)):
            fitted, predicted = closed_form(directions, kind, options.ridge)
            scale = _precision(kind - predicted) ** 0.5
            cues.append(scale * (kind - fitted["typical"]))
            maps.append(scale * fitted["map"])
        both = (np.concatenate(part, 1).astype(np.float32) for part in (cues, maps))
        return cls(options, mean, white, directions, patches, codes.numpy(), *both)

    def draw(self, latents: np.ndarray, ids: Sequence[int], seed: int) -> np.ndarray:
        """Pictures of latents [n, d], uint8 [n, h, w, 3], by `sample`; an item's depends on its id and seed only."""
        return sample(self._denoiser, self.codec, check_width(latents, len(self.mean)), ids, seed, self.options.steps)

    def neighbours(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the nearest training images [b, k], the nearest first, and their log shares [b, k, g, g]."""
        u = nn.functional.normalize((latents - torch.from_numpy(self.mean)) @ torch.from_numpy(self.white), dim=-1)
        cosines = u @ torch.from_numpy(self.directions).float().T
        apart = torch.cdist(u @ torch.from_numpy(self.cue_map), torch.from_numpy(self.cues)).square()
        k = min(self.options.neighbours, len(self.codes))
        near = (cosines / self.options.temperature - apart / 2).topk(min(SHORTLIST * k, len(self.codes)), dim=1)
        patches = torch.from_numpy(self.patch_directions)
        local = torch.stack([patches[rows].float() @ v for rows, v in zip(near.indices, u, strict=True)])
        shares = near.values[:, :, None] + local / self.options.temperature  # [b, shortlist, g * g]
        best = shares.logsumexp(2).topk(k, dim=1).indices
        shares = shares.gather(1, best[:, :, None].expand(-1, -1, shares.shape[2])).log_softmax(1)
        side = math.isqrt(shares.shape[2])
        return near.indices.gather(1, best), shares.unflatten(2, (side, side))

    def _denoiser(self, latents: Tensor) -> Denoise:
        """The denoiser of some latents [b, d]: each place's posterior mean over the neighbours."""
        rows, shares = self.neighbours(latents)
        images = torch.from_numpy(self.codes[rows.numpy()]).float().to(device())  # [b, k, c, h, w]
        shares = nn.functional.interpolate(shares.to(device()), images.shape[-2:], mode="bilinear")

        def denoise(codes: Tensor, level: Tensor) -> Tensor:
            clean = float(self.clean[int(level)])
            apart = (codes[:, None] - clean**0.5 * images).square().sum(2)  # [b, k, h, w]
            likely = shares - _window_sums(apart, self.options.window) / (2 * (1 - clean))
            return (likely.softmax(1)[:, :, None] * images).sum(1)

        return denoise

    @classmethod
    def restore(cls, options: Options, arrays: Mapping[str, np.ndarray]) -> LocalScore:
        """From the arrays that `save` wrote."""
        return cls(options, **{name: arrays[key] for name, key in KEYS.items()})

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
        """Write images, directions, regression and options as one safetensors file."""
        arrays = {key: getattr(self, name) for name, key in KEYS.items()}
        io.write_tensors(path, arrays, {"imager": json.dumps(asdict(self.options)), **metadata})


def _patch_directions(
    encoder: Encoder, paths: Sequence[str], latents: np.ndarray, mean: np.ndarray, white: np.ndarray
) -> np.ndarray | None:
    """The directions [n, g * g, r] of images' tokens from the latents' mean; None unless a latent is its tokens' mean.

    Tokens count as a square grid over the whole picture, since an encoder crops only a few pixels.
    """
    if encoder.n_tokens == 1 or math.isqrt(encoder.n_tokens) ** 2 != encoder.n_tokens:
        return None
    first: Any = encoder.encode(encoder.prepare(paths[:1]), tokens=True)
    if np.linalg.norm(first.tokens.mean(1) - latents[:1]) > 0.01 * np.linalg.norm(latents[:1]):
        return None
    directions = np.empty((len(paths), encoder.n_tokens, white.shape[1]), np.float16)
    for rows, part in batches(encoder, paths, tokens=True):
        z = (part.tokens - mean) @ white
        directions[rows] = z / np.linalg.norm(z, axis=2, keepdims=True).clip(1e-12)
    return directions


def _coarse(pixels: Tensor) -> np.ndarray:
    """Images' colours by place: the means of COARSE by COARSE cells, from [n, 3, h, w] in [-1, 1] to [n, k]."""
    cells = tuple(min(COARSE, side) for side in pixels.shape[2:])
    return nn.functional.adaptive_avg_pool2d(pixels.float(), cells).flatten(1).numpy()


def _colours(pixels: Tensor) -> np.ndarray:
    """Images' colours regardless of place: square roots of their shares (Hellinger's distance), [n, k]."""
    red, green, blue = ((pixels.float() + 1) / 2 * TONES).clamp(0, TONES - 1).long().flatten(2).unbind(1)
    colour = (red * TONES + green) * TONES + blue
    counts = torch.zeros(len(colour), TONES**3).scatter_add_(1, colour, torch.ones(colour.shape))
    return (counts / colour.shape[1]).sqrt().numpy()


def _precision(rest: np.ndarray) -> float:
    """The precision of residuals [n, k]: as many of one variance as their participation ratio; 0 if all are 0."""
    covariance = rest.T @ rest / len(rest)
    squares = np.square(covariance).sum()
    return float(np.trace(covariance) / squares) if squares > 0 else 0.0


def _window_sums(x: Tensor, window: int) -> Tensor:
    """For each place of [b, k, h, w] the sum over a square window around it, cut at the picture's edge."""
    places = [torch.arange(side, device=x.device) for side in x.shape[2:]]
    down, across = (((p[:, None] - p).abs() <= window // 2).to(x.dtype) for p in places)
    return down @ x @ across  # a seventh of the time of pooling, at 48 pixels and a window of 21
