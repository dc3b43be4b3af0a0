"""Image encoders through `transformers`: a folder in the Hugging Face format (DINOv2, ViT), or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ngw import io
from ngw.encoders import _huggingface
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import Preprocessor, stack

if TYPE_CHECKING:
    from PIL.Image import Image


class TransformersVision(Encoder):
    """Last hidden states: patches as a grid of tokens, and the class token (or their mean) as the pooled feature.

    model: as `_huggingface.folder` takes it, with config.json, preprocessor_config.json and safetensors.
    pooling: "cls", after the last norm, as DINOv2's and ViT's own evaluations take it (Oquab et al. 2024; Dosovitskiy
    et al. 2021), or "mean" over the patches.  Register tokens (DINOv2 with registers) are left out.
    precision: of the network on a GPU; on a CPU float32 is the fast one.  compiled: by torch.compile.
    merged_with, merge_weight: another transformer of this shape, whose trunk's weights enter the mean by that weight.
    licence, training_data: null takes them from the folder's model card.
    """

    modality = "vision"

    def __init__(
        self,
        model: str = "facebook/dinov2-base",
        width: int = 768,
        revision: str | None = None,
        pooling: str = "cls",
        precision: str = "float32",
        pickle: bool = False,
        compiled: bool = False,
        merged_with: str | None = None,
        merge_weight: float = 0.5,
        licence: str | None = None,
        training_data: str | None = None,
    ) -> None:
        if pooling not in ("cls", "mean"):
            raise ValueError(f"pooling is cls or mean, not {pooling!r}")
        self.name, self.revision, self.pooling, self.pickle = model, revision, pooling, pickle
        self.precision = _huggingface.check_precision(precision)
        self.width = self.token_width = width
        self.licence, self.training_data = licence, training_data
        self.preprocessing = f"as preprocessor_config.json says, by Pillow; {pooling}"
        if not 0 <= merge_weight <= 1:
            raise ValueError(f"merge_weight is in [0, 1], not {merge_weight}")
        self.merged_with, self.merge_weight, self.compiled = merged_with, merge_weight, compiled
        self.version = model if revision is None else f"{model}@{revision}"
        self.version += "" if merged_with is None else f", merged with {merge_weight:g} of {merged_with}"

    def sources(self) -> list[str]:
        return _huggingface.sources(self.name, self.merged_with)

    def about(self) -> Mapping[str, str]:
        """What the model card in the folder says."""
        return _huggingface.about(self.name, self.revision, self.merged_with)

    @cached_property
    def folder(self):
        """Where the files lie, checked to be there."""
        where = _huggingface.folder(self.name, self.revision, self.pickle)
        weights = "pytorch_model.bin" if self.pickle else "*.safetensors"
        _huggingface.need(where, "config.json", "preprocessor_config.json", weights)
        return where

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """The folder's image processing."""
        file = self.folder / "preprocessor_config.json"
        return Preprocessor(io.read_json(file), str(file))

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        patch = io.read_json(self.folder / "config.json").get("patch_size")
        if not isinstance(patch, int) or patch < 1:
            raise InputError(f"{self.folder / 'config.json'}: expected a patch_size, found {patch}; is it a ViT's?")
        height, width = self.preprocessor.side()
        return height // patch, width // patch

    @property
    def n_tokens(self) -> int:  # type: ignore[override]  # known only from the folder, as late as possible
        """Patches an image."""
        return self.grid[0] * self.grid[1]

    @cached_property
    def model(self):
        """The network, loaded once."""
        from transformers import AutoModel

        how = (self.width, self.precision, self.pickle, self.compiled)
        network = _huggingface.load(self.folder, AutoModel, *how, **_huggingface.STATES)
        return _huggingface.merged(network, self.name, self.merged_with, self.merge_weight)

    def view(self, path: str) -> Image:
        """What the network sees of an image file."""
        return self.preprocessor.view(path)

    def prepare(self, items: Sequence[str]) -> np.ndarray:
        """Image files as pixels [b, 3, h, w]."""
        return stack(self.preprocessor.pixels, items)

    def encode(self, items: Sequence[str] | np.ndarray, tokens: bool = False) -> Encoding:
        """Features of image files, or of their pixels: pooled [b, width]; tokens [b, rows * columns, width]."""
        import torch

        model = self.model
        with torch.inference_mode():
            pixels = torch.from_numpy(items if isinstance(items, np.ndarray) else self.prepare(items))
            with _huggingface.sized(self.name):
                states = model(pixel_values=pixels.to(model.device, model.dtype))
            hidden = states.last_hidden_state.float()
            if hidden.shape[1] <= self.n_tokens:
                raise InputError(
                    f"{self.name}: expected {self.n_tokens} patches and a class token, found {hidden.shape[1]} states; "
                    "does preprocessor_config.json give the size that the network was made for?"
                )
            patches = hidden[:, -self.n_tokens :]
            pooled = (hidden[:, 0] if self.pooling == "cls" else patches.mean(1)).cpu().numpy()
        if not tokens:
            return Encoding(pooled)
        return Encoding(pooled, patches.cpu().numpy(), np.ones(patches.shape[:2], bool))
