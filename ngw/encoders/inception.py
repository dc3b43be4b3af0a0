"""The Inception network of 2015, whose features define FID, by torch-fidelity's port and weights."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np

from ngw.device import device
from ngw.encoders._huggingface import whole
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import read

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
PREFIX = "6726825d"  # of that file's SHA-256, as in its name
KNOWN = {"licence": "Apache-2.0", "training_data": "ImageNet-1k (ILSVRC 2012), with labels"}
PACKAGE = "torch_fidelity"


@dataclass(eq=False)
class Inception(Encoder):
    """Pooled features before the last layer, [b, 2048], as Heusel et al. (2017) and torchmetrics take them.

    The network resizes pictures itself, bilinear as TensorFlow 1 does.
    """

    modality = "vision"
    width = token_width = 2048
    n_tokens = 1  # the pooled feature; FID needs no others
    preprocessing = "RGB in 0 to 255; to 299 pixels inside the network (TensorFlow 1's bilinear)"

    weights: str | None = None  # the file on disk; null downloads it into torch's cache
    sha256: str = PREFIX  # the beginning of its checksum

    def __post_init__(self) -> None:
        super().__post_init__()
        self.version = f"inception-2015-12-05-{self.sha256[:8]}"

    def sources(self) -> list[str]:
        return [] if self.weights is None else [self.weights]

    def about(self) -> Mapping[str, str]:
        """Licence and training data of that file; nothing for another."""
        return KNOWN if self.sha256.startswith(PREFIX) else {}

    @cached_property
    def network(self):
        """The network, loaded once."""
        module = _module()
        module.load_state_dict_from_url = lambda *_, **__: self._state()  # its own loader unpickles anything
        with whole(self.weights or URL, "Inception's weights", "name others"):
            network = module.FeatureExtractorInceptionV3("inception", ["2048"])
        return network.eval().requires_grad_(False).to(device())

    def _state(self) -> dict:
        """The weights, checked: tensors and nothing else."""
        import torch

        if self.weights is None:
            return torch.hub.load_state_dict_from_url(URL, check_hash=True, weights_only=True, progress=False)
        if not Path(self.weights).is_file():
            raise InputError(f"{self.weights}: no such file; take it from {URL}.")
        with open(self.weights, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(self.sha256):
            raise InputError(
                f"{self.weights}: expected a file whose SHA-256 begins with {self.sha256}, found {digest[:12]}; "
                f"take it from {URL}."
            )
        return torch.load(self.weights, map_location="cpu", weights_only=True)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of image files; all images of a batch have one size."""
        import torch

        if tokens:
            raise InputError(
                "inception: expected to give pooled features only, found a request for tokens; name another encoder."
            )
        network = self.network
        device = next(network.parameters()).device
        pixels = torch.from_numpy(np.stack([np.asarray(read(item)) for item in items]))
        with torch.inference_mode():
            return Encoding(network(pixels.permute(0, 3, 1, 2).to(device))[0].cpu().numpy())


def _module() -> ModuleType:
    """torch-fidelity's file of this network, without the package's `__init__`, which imports torchvision."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise InputError(f"{PACKAGE}: no such package; pip install --no-deps torch-fidelity.")
    before = sys.modules.get(PACKAGE)
    if before is None:
        bare = ModuleType(PACKAGE)
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules[PACKAGE] = bare
    try:
        return importlib.import_module(f"{PACKAGE}.feature_extractor_inceptionv3")
    finally:
        if before is None:
            del sys.modules[PACKAGE]
