"""The options of the image decoder, its training and its sampling, checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.errors import InputError
from ngw.options import check, option


@dataclass(frozen=True)
class ImagerOptions:
    """The options of the image decoder, its training and its sampling."""

    size: int = option(32, above=0)  # pixels of a side
    # A folder with a pretrained decoder of image embeddings, or null (`tasks.images.unclip`). It reads only three other
    # options: size, guidance and steps.
    unclip: str | None = None
    vae: str | None = None  # a folder with an autoencoder of `diffusers`, in whose latents the diffusion runs, or null
    # Trained: a transformer of patches, or a unet (1, 2 and 3 times dims wide). A closed form: local.
    network: str = option("transformer", among=("transformer", "unet", "local"))
    # Only for local (`tasks.images.local_score`).
    whiten: float = option(4.0, above=0)
    axes: int = option(512, above=0)
    neighbours: int = option(8, above=0)
    temperature: float = option(0.025, above=0)
    window: int = option(21, above=0)
    # For the trained networks.
    patch: int = option(4, above=0)
    dims: int = option(96, above=0)
    layers: int = option(3, above=0)
    heads: int = option(4, above=0)
    tokens: int = option(4, above=0)  # made from the latent; the network attends to them
    ridge: float = option(1.0, above=0)  # for all networks: from latents to pictures, in units of the mean variance
    # Training.
    noise: float = option(0.3, least=0)  # length of the noise on a direction, which has length 1
    drop: float = option(0.1, least=0, below=1)  # share of training images shown without their latent, for guidance
    average: float = option(0.99, least=0, below=1)  # decay of the moving average of weights
    epochs: float = option(12.0, above=0)  # passes over the training images
    batch: int = option(32, above=0)
    learning_rate: float = option(3e-3, above=0)
    looks: int = option(6, above=0)  # evaluations on held-out images, evenly over the steps
    patience: int = option(3, above=0)  # evaluations without a gain, after which training ends
    held_out: float = option(0.04, above=0, below=1)  # share of the training images
    # Sampling.
    guidance: float = option(1.5, above=0)  # 1 is none
    steps: int = option(12, above=0)

    def __post_init__(self) -> None:
        check(self, "imager")
        if not self.window % 2:
            raise InputError(f"imager: window: expected an odd number, found {self.window}; a window needs a centre.")
        if self.dims % self.heads or (self.vae is None and self.size % self.patch):
            raise InputError("imager: expected heads that divide dims and a patch that divides size; mend them.")
