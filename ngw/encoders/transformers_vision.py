"""Image encoders through `transformers`: a folder in the Hugging Face format (DINOv2, ViT), or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ngw import io
from ngw.encoders import _huggingface
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import Preprocessor, stack
from ngw.options import option

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(eq=False)
class TransformersVision(Encoder):
    """Last hidden states: patches as a grid of tokens, and the class token (or their mean) as the pooled feature.

    Register tokens (DINOv2 with registers) are left out.
    """

    modality = "vision"

    # As `_huggingface.folder` takes it, with config.json, preprocessor_config.json and safetensors.
    model: str = "facebook/dinov2-base"
    width: int = 768
    revision: str | None = None
    # cls, after the last norm, as DINOv2's and ViT's own evaluations take it (Oquab et al. 2024; Dosovitskiy et al.
    # 2021), or mean over the patches.
    pooling: str = option("cls", among=("cls", "mean"))
    precision: str = option("float32", among=_huggingface.PRECISIONS)  # on a GPU; on a CPU float32 is the fast one
    pickle: bool = False  # whether weights in pytorch_model.bin are allowed
    compiled: bool = False  # by torch.compile
    merged_with: str | None = None  # another transformer of this shape, whose trunk's weights enter the mean
    merge_weight: float = option(0.5, least=0, most=1)  # of the other in the mean
    licence: str | None = None  # null: as the folder's model card says, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_width = self.width
        self.preprocessing = f"as preprocessor_config.json says, by Pillow; {self.pooling}"
        self.version = _huggingface.version(self.model, self.revision, self.merged_with, self.merge_weight)

    def sources(self) -> list[str]:
        return _huggingface.sources(self.model, self.merged_with)

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model card in the folder."""
        return _huggingface.about(self.model, self.revision, self.merged_with)

    @cached_property
    def folder(self):
        """The folder of the files, checked to be whole."""
        where = _huggingface.folder(self.model, self.revision, self.pickle)
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
    def network(self):
        """The network, loaded once."""
        from transformers import AutoModel

        how = (self.width, self.precision, self.pickle, self.compiled)
        network = _huggingface.load(self.folder, AutoModel, *how, **_huggingface.STATES)
        return _huggingface.merged(network, self.model, self.merged_with, self.merge_weight)

    def view(self, path: str) -> Image:
        """The part of an image file that the network sees."""
        return self.preprocessor.view(path)

    def prepare(self, items: Sequence[str]) -> np.ndarray:
        """Image files as pixels [b, 3, h, w]."""
        return stack(self.preprocessor.pixels, items)

    def encode(self, items: Sequence[str] | np.ndarray, tokens: bool = False) -> Encoding:
        """Features of image files, or of their pixels: pooled [b, width]; tokens [b, rows * columns, width]."""
        import torch

        from ngw.products import products

        network = self.network
        with torch.inference_mode(), products():
            pixels = torch.from_numpy(items if isinstance(items, np.ndarray) else self.prepare(items))
            with _huggingface.sized(self.model):
                states = network(pixel_values=pixels.to(network.device, network.dtype))
            hidden = states.last_hidden_state.float()
            if hidden.shape[1] <= self.n_tokens:
                raise InputError(
                    f"{self.model}: expected {self.n_tokens} patches and a class token, found {hidden.shape[1]} "
                    "states; does preprocessor_config.json give the size that the network was made for?"
                )
            patches = hidden[:, -self.n_tokens :]
            pooled = (hidden[:, 0] if self.pooling == "cls" else patches.mean(1)).cpu().numpy()
        if not tokens:
            return Encoding(pooled)
        return Encoding(pooled, patches.cpu().numpy(), np.ones(patches.shape[:2], bool))
