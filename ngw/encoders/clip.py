"""One side of a CLIP in the Hugging Face format: a published one, or one that the joint stage trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ngw import io
from ngw.encoders import _huggingface
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import Preprocessor, stack
from ngw.options import option

FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")


@dataclass(eq=False)
class Clip(Encoder):
    """Projected features of images or of texts, in the space that both share (`get_image_features`, ..._text_...).

    Images: as preprocessor_config.json says (Radford et al. 2021).  Texts: own tokenizer, cut before the end token.
    """

    n_tokens = 1  # the pooled feature; word and patch tokens aren't offered

    side: str = option("vision", among=("vision", "text"))
    model: str = "clip-vit-base-patch32"  # as `_huggingface.folder` takes it, with the four files of `FILES`
    width: int = 512  # of the shared space
    revision: str | None = None
    precision: str = option("float32", among=_huggingface.PRECISIONS)
    licence: str | None = None  # null: as the folder's model card says, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.modality, self.token_width = self.side, self.width
        self.preprocessing = "as preprocessor_config.json says" if self.side == "vision" else "own tokenizer"
        self.version = _huggingface.version(self.model, self.revision)

    def sources(self) -> list[str]:
        return _huggingface.sources(self.model)

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model card in the folder."""
        return _huggingface.about(self.model, self.revision)

    @cached_property
    def folder(self):
        """The folder of the files, checked to be a whole CLIP."""
        where = _huggingface.folder(self.model, self.revision)
        _huggingface.need(where, *FILES)
        if io.read_json(where / "config.json").get("model_type") != "clip":
            raise InputError(f"{where / 'config.json'}: expected model_type clip, found another; name another folder.")
        return where

    @cached_property
    def network(self):
        """The network, loaded once."""
        from transformers import CLIPModel

        return _huggingface.load(self.folder, CLIPModel, self.width, self.precision)

    @cached_property
    def tokenizer(self):
        """The text side's tokenizer."""
        config = self.network.config.text_config
        return _huggingface.tokenizer(self.folder, config.max_position_embeddings, config.vocab_size)

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """The image side's processing."""
        file = self.folder / "preprocessor_config.json"
        return Preprocessor(io.read_json(file), str(file))

    def view(self, path: str):
        """The part of an image file that the network sees, as a picture."""
        return self.preprocessor.view(path)

    def _rows(self, items: Sequence[str]):
        return _huggingface.tokens(self.tokenizer, items, self.model)

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of tokens of each text, with start and end tokens."""
        return np.array([sum(row.attention_mask) for row in self._rows(items)], np.int64)

    def prepare(self, items: Sequence[str]) -> Sequence[str] | np.ndarray:
        """Image files as pixels [b, 3, h, w]; texts as they are."""
        return stack(self.preprocessor.pixels, items) if self.modality == "vision" else items

    def encode(self, items: Sequence[str] | np.ndarray, tokens: bool = False) -> Encoding:
        """Pooled [b, width], of unit length; token features are not offered."""
        import torch

        from ngw.products import products

        if tokens:
            raise InputError(f"{self.model}: a CLIP gives pooled features only; take another encoder for fusion.")
        network = self.network
        with torch.inference_mode(), products():
            if self.modality == "vision":
                pixels = torch.from_numpy(items if isinstance(items, np.ndarray) else self.prepare(items))
                with _huggingface.sized(self.model):
                    features = network.get_image_features(pixel_values=pixels.to(network.device, network.dtype))
            else:
                rows = self._rows(list(items))
                parts = ([row.ids for row in rows], [row.attention_mask for row in rows])
                ids, mask = (torch.tensor(part, device=network.device) for part in parts)
                features = network.get_text_features(input_ids=ids, attention_mask=mask)
            features = getattr(features, "pooler_output", features).float()
            return Encoding(torch.nn.functional.normalize(features, dim=-1).cpu().numpy())
