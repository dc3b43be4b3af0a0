"""How the image decoder is made, trained and used: options that are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.errors import InputError


@dataclass(frozen=True)
class ImagerOptions:
    """How the image decoder is made, trained and used.

    size: pixels of a side.  unclip: null, or a folder with a pretrained decoder of image embeddings, of which size,
    guidance and steps are all the options (`tasks.images.unclip`).  vae: null, or a folder with an autoencoder of
    `diffusers`, in whose latents the diffusion then runs.  network: transformer (of patches) or unet (1, 2 and 3 times
    dims wide), which are trained, or local, a closed form; steps: of sampling.

    Of local alone: whiten, axes, neighbours, temperature, window (`tasks.images.local_score`).  Of both: ridge: of the
    regression from latents to pictures, in units of the mean variance.  Of the trained: patch, dims, layers, heads: of
    the network.  tokens: made from the latent, for it to attend to.  noise: length of the noise on a direction of
    length 1.  drop: share of training images without their latent, for guidance.  average: decay of the moving average
    of weights.  guidance: 1 is none.
    """

    size: int = 32
    unclip: str | None = None
    vae: str | None = None
    network: str = "transformer"
    whiten: float = 4.0
    axes: int = 512
    neighbours: int = 8
    temperature: float = 0.025
    window: int = 21
    patch: int = 4
    dims: int = 96
    layers: int = 3
    heads: int = 4
    tokens: int = 4
    ridge: float = 1.0
    noise: float = 0.3
    drop: float = 0.1
    average: float = 0.99
    epochs: float = 12.0
    batch: int = 32
    learning_rate: float = 3e-3
    looks: int = 6
    patience: int = 3
    held_out: float = 0.04
    guidance: float = 1.5
    steps: int = 12

    def __post_init__(self) -> None:
        above = ("size", "patch", "dims", "layers", "heads", "tokens", "ridge", "epochs", "batch", "learning_rate")
        local = ("whiten", "axes", "neighbours", "temperature", "window")
        for name in (*above, "looks", "patience", "steps", "guidance", *local):
            if not getattr(self, name) > 0:
                raise InputError(f"imager: {name}: expected more than 0, found {getattr(self, name)}; mend it.")
        if not (0 <= self.drop < 1 and 0 <= self.average < 1 and self.noise >= 0 and 0 < self.held_out < 1):
            raise InputError("imager: expected drop and average in [0, 1), held_out in (0, 1), noise of 0 or more.")
        if self.network not in ("transformer", "unet", "local"):
            raise InputError(f"imager: network: expected transformer, unet or local, found {self.network!r}.")
        if not self.window % 2:
            raise InputError(f"imager: window: expected an odd number, found {self.window}; a window has a centre.")
        if self.dims % self.heads or (self.vae is None and self.size % self.patch):
            raise InputError("imager: expected heads that divide dims and a patch that divides size; mend them.")
