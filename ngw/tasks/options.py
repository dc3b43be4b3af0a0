"""How decoders and answering networks are made and trained: options that are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ngw.errors import InputError

if TYPE_CHECKING:
    from ngw.training import Schedule


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    epochs: passes over the training questions; with fewer labels the steps are as many, over fewer questions.
    looks: at the held-out questions, evenly over the steps; at each a checkpoint.  patience: looks without a gain.
    held_out: share of the labelled images whose questions choose the step that is kept, and are not trained on.
    device: "auto" takes a GPU where there is one.
    """

    epochs: float = 4.0
    batch: int = 128
    learning_rate: float = 2e-3
    looks: int = 12
    patience: int = 4
    held_out: float = 0.1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        wrong = [k for k in ("epochs", "batch", "learning_rate", "looks", "patience") if not getattr(self, k) > 0]
        if wrong:
            raise InputError(f"training: {wrong[0]}: expected more than 0, found {getattr(self, wrong[0])}; mend it.")
        if not 0 < self.held_out < 1:
            raise InputError(f"training: held_out: expected a share in (0, 1), found {self.held_out}; mend it.")

    def schedule(self, questions: int) -> Schedule:
        """Steps for so many training questions (all of them, not the labelled ones alone)."""
        from ngw.training import Schedule

        steps = max(1, round(self.epochs * questions / self.batch))
        return Schedule(steps, self.learning_rate, max(1, -(-steps // self.looks)), self.patience)


@dataclass(frozen=True)
class CaptionerOptions:
    """How the captioner is made and trained.

    model: null for a small one from scratch, or a causal language model of `transformers` with its tokenizer, by folder
    or name@revision on the hub, which is then trained on.  dims, layers, heads: of the small one.  prefix: tokens made
    from the latent.
    noise: length of the noise that is added to a latent's direction, which has length 1.
    beams: of the search; length: the most tokens of a caption.
    """

    model: str | None = None
    dims: int = 128
    layers: int = 2
    heads: int = 4
    prefix: int = 4
    noise: float = 0.5
    epochs: float = 5.0
    batch: int = 32
    learning_rate: float = 2e-3
    looks: int = 8
    patience: int = 3
    held_out: float = 0.05
    beams: int = 3
    length: int = 24

    def __post_init__(self) -> None:
        for name in ("dims", "layers", "heads", "prefix", "epochs", "batch", "looks", "patience", "beams", "length"):
            if not getattr(self, name) > 0:
                raise InputError(f"captioner: {name}: expected more than 0, found {getattr(self, name)}; mend it.")
        if self.noise < 0 or not 0 < self.held_out < 1:
            raise InputError("captioner: expected noise of 0 or more and held_out in (0, 1), found others; mend them.")
        if self.model is None and self.dims % self.heads:
            raise InputError(f"captioner: heads: expected a divisor of dims, {self.dims}, found {self.heads}; mend it.")


@dataclass(frozen=True)
class ImagerOptions:
    """How the image decoder is made, trained and used.

    size: pixels of a side.  unclip: null, or a folder with a pretrained decoder of image embeddings, of which size,
    guidance and steps are all the options (`ngw.tasks.unclip`).  vae: null, or a folder with an autoencoder of
    `diffusers`, in whose latents the diffusion then runs.  network: transformer (of patches) or unet (1, 2 and 3 times
    dims wide), which are trained, or local, a closed form; steps: of sampling.

    Of local alone: whiten, axes, neighbours, temperature, window (`ngw.tasks.local_score`).  Of both: ridge: of the
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
