"""Text to image by a pretrained decoder of image embeddings (unCLIP), if the vision encoder is the decoder's own.

Nothing is trained: Kandinsky 2.2's decoder (through diffusers) reads T_BA(z_B) in place of an image's embedding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ngw import io
from ngw.device import device
from ngw.encoders import _huggingface
from ngw.errors import InputError
from ngw.seeds import rng, torch_generator
from ngw.tasks.images.options import ImagerOptions as Options
from ngw.tasks.images.sampling import check_width

CLASS = "KandinskyV22Pipeline"


class Unclip:
    """A decoder's folder, the mean [d] of the images' embeddings, and their mean distance from it."""

    def __init__(self, options: Options, mean: np.ndarray, length: np.ndarray | float) -> None:
        self.options, self.mean, self.length = options, np.asarray(mean, np.float32), np.ravel(length)[0]
        self._pipeline = None

    @classmethod
    def of(cls, options: Options, latents: np.ndarray) -> Unclip:
        """A decoder for the space of these image embeddings [n, d]."""
        mean = latents.mean(0, dtype=np.float64)
        decoder = cls(options, mean, np.linalg.norm(latents - mean, axis=1).mean())
        decoder.check()
        return decoder

    def check(self) -> None:
        """Raise an `InputError` unless the folder holds a decoder of embeddings of this width."""
        folder = Path(str(self.options.unclip))
        for file in ("model_index.json", "unet/config.json"):
            if not (folder / file).is_file():
                raise InputError(f"{folder / file}: no such file; {folder} is no decoder's folder: mend `unclip`.")
        name = io.read_json(folder / "model_index.json").get("_class_name")
        width = io.read_json(folder / "unet/config.json").get("encoder_hid_dim")
        if name != CLASS or width != len(self.mean):
            raise InputError(
                f"{folder}: expected a {CLASS} for embeddings of width {len(self.mean)}, found a {name} for {width}; "
                "take the vision encoder that this decoder was trained with."
            )

    @property
    def pipeline(self):
        """The decoder, loaded once; on a GPU in half precision."""
        if self._pipeline is None:
            import torch
            from diffusers import KandinskyV22Pipeline, UNet2DConditionModel, VQModel

            kind = torch.float16 if device() == "cuda" else torch.float32
            folder, how = Path(str(self.options.unclip)), {"dtype": kind, "use_safetensors": True}
            parts = {
                name: _huggingface.pretrained(network, folder / name, **how)
                for name, network in (("unet", UNet2DConditionModel), ("movq", VQModel))
            }
            loaded = KandinskyV22Pipeline.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **parts
            )
            self._pipeline = loaded.to(device())
            self._pipeline.set_progress_bar_config(disable=True)
        return self._pipeline

    def draw(self, latents: np.ndarray, ids: Sequence[int], seed: int) -> np.ndarray:
        """Pictures of embeddings [n, d], uint8 [n, size, size, 3]; an item's noise is a function of its id and seed.

        Embeddings are scaled to the images' mean distance from their mean, since regressed maps shrink it.
        Guidance points away from the mean.
        """
        import torch
        from tqdm import tqdm

        u = check_width(latents, len(self.mean)) - self.mean
        u *= self.length / np.linalg.norm(u, axis=1, keepdims=True).clip(1e-12)
        side, decoder, drawn = self.options.size, self.pipeline, []
        like = {"device": decoder.device, "dtype": decoder.unet.dtype}
        shape = (1, decoder.unet.config.in_channels, *2 * (_latent_side(side, decoder.movq_scale_factor),))
        for number, embedding in tqdm(zip(ids, self.mean + u, strict=True), total=len(ids), desc="draw", unit="image"):
            noise = rng(seed, "imaging", "first noise", int(number)).standard_normal(shape)
            drawn.append(decoder(
                image_embeds=torch.tensor(embedding[None]).to(**like), latents=torch.tensor(noise).to(**like),
                negative_image_embeds=torch.tensor(self.mean[None]).to(**like), height=side, width=side,
                num_inference_steps=self.options.steps, guidance_scale=self.options.guidance, output_type="np",
                generator=torch_generator(seed, "imaging", "solver", int(number)),
            ).images[0])  # fmt: skip
        return (np.stack(drawn) * 255).round().astype(np.uint8)

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
        """Write what the folder doesn't have."""
        arrays = {"mean": self.mean, "length": np.array([self.length])}
        io.write_tensors(path, arrays, {"imager": json.dumps(asdict(self.options)), **metadata})


def _latent_side(size: int, factor: int) -> int:
    """The latents of a side, by the pipeline's formula."""
    return -(-size // factor**2) * factor
