"""One side of a CLIP in the Hugging Face format: a published one, or one that the joint stage trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ngw import io
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError

FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")


class Clip(Encoder):
    """Projected features of images or of texts, in the space that both share (`get_image_features`, ..._text_...).

    side: vision or text.  model: a folder with the four files of `FILES`.  width: of the shared space.
    Images: shortest side to `size`, bicubic by Pillow, centre crop, mean and deviation, as preprocessor_config.json
    says (Radford et al. 2021; transformers' CLIPImageProcessor).  Texts: own tokenizer, cut before the end token.
    """

    def __init__(
        self,
        side: str = "vision",
        model: str = "clip-vit-base-patch32",
        width: int = 512,
        licence: str = "MIT",
        training_data: str = "image-text pairs",
    ) -> None:
        if side not in ("vision", "text"):
            raise ValueError(f"side is vision or text, not {side!r}")
        self.modality, self.folder, self.width, self.token_width = side, model, width, width
        self.n_tokens = 1  # the pooled feature; word and patch tokens aren't offered
        self.licence, self.training_data, self.version = licence, training_data, model
        self.preprocessing = "as preprocessor_config.json says" if side == "vision" else "own tokenizer"
        self._loaded = None

    @property
    def loaded(self):
        """The network and, of texts, the tokenizer; loaded once."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self):
        from safetensors import SafetensorError
        from tokenizers import Tokenizer
        from transformers import CLIPModel

        folder = Path(self.folder)
        for file in FILES:
            if not (folder / file).is_file():
                raise InputError(f"{folder / file}: no such file; {folder} is not a whole CLIP folder: name another.")
        if io.read_json(folder / "config.json").get("model_type") != "clip":
            raise InputError(f"{folder / 'config.json'}: expected model_type clip, found another; name another folder.")
        try:
            model = CLIPModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
        except (OSError, ValueError, SafetensorError) as error:
            found = " ".join(str(error).split())
            raise InputError(f"{folder}: expected whole model files, found {found}; replace them.") from None
        if model.config.projection_dim != self.width:
            raise InputError(
                f"{folder}: expected width {self.width}, found {model.config.projection_dim}; mend `width`."
            )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(model.config.text_config.max_position_embeddings)
        tokenizer.enable_padding()
        self.preprocessor = io.read_json(folder / "preprocessor_config.json")
        return tokenizer, model

    def view(self, path: str):
        """What the network sees of an image file, as a picture."""
        from PIL import Image

        self.loaded  # noqa: B018 (reads the preprocessor)
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, SyntaxError) as error:
            raise InputError(
                f"{path}: expected a readable image, found {error}; replace it, or set on_error: skip."
            ) from None
        size, crop = _side(self.preprocessor["size"]), _side(self.preprocessor["crop_size"])
        scale = size / min(image.size)
        image = image.resize(
            (max(size, round(image.width * scale)), max(size, round(image.height * scale))), Image.Resampling.BICUBIC
        )
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        return image.crop((left, top, left + crop, top + crop))

    def preprocess(self, path: str) -> np.ndarray:
        """One image file as [3, crop, crop] float32."""
        pixels = np.asarray(self.view(path), np.float32) / 255
        mean, deviation = (np.float32(self.preprocessor[name]) for name in ("image_mean", "image_std"))
        return ((pixels - mean) / deviation).transpose(2, 0, 1)

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """How many tokens each text has, its marks included."""
        rows = self.loaded[0].encode_batch(list(items))
        return np.array([sum(row.attention_mask) for row in rows], np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Pooled [b, width], of unit length; token features are not offered."""
        import torch

        if tokens:
            raise InputError(f"{self.folder}: a CLIP gives pooled features alone; take another encoder for fusion.")
        tokenizer, model = self.loaded
        with torch.inference_mode():
            if self.modality == "vision":
                found = model.get_image_features(
                    pixel_values=torch.from_numpy(np.stack([self.preprocess(item) for item in items]))
                )
            else:
                rows = tokenizer.encode_batch(list(items))
                found = model.get_text_features(
                    input_ids=torch.tensor([row.ids for row in rows]),
                    attention_mask=torch.tensor([row.attention_mask for row in rows]),
                )
            found = getattr(found, "pooler_output", found)
            return Encoding(torch.nn.functional.normalize(found, dim=-1).numpy())


def _side(size) -> int:
    """Pixels, as preprocessor files write them: a number, {shortest_edge: ..} or {height: .., width: ..}."""
    return size if isinstance(size, int) else size.get("shortest_edge", size.get("height"))
