"""A dual encoder: two frozen encoders and the fitted method between them, images and texts in one space."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ngw import __version__, io, methods
from ngw.data import Classes
from ngw.dual import card, sides
from ngw.dual.encoding import encoded
from ngw.dual.files import pictures
from ngw.dual.sides import Source
from ngw.encoders import Encoder
from ngw.errors import InputError
from ngw.io import digests
from ngw.io.atomic import atomic, check_writable
from ngw.methods import Method
from ngw.tasks.classification.zero_shot import unit_means

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "ngw-dual-encoder-1"
CONFIG, WARP, CARD = "config.json", "warp.safetensors", "README.md"  # of a saved model's folder


class Classification(NamedTuple):
    """labels [n], each image's class, None if it can't be read; scores [n, c], its cosines to all classes."""

    labels: list[str | None]
    scores: np.ndarray


class DualEncoder:
    """Images and texts as unit rows of one space, [n, e]; the inner product of two is how well they fit.

    vision, text: a name (`effnet-lite0`, `minilm-l6`), a model's folder, a config entry {"kind": ...} or an encoder.
    warp: a fitted method, or the file that its `save` wrote.  about: facts about the fit, for the model card.

    Raises `InputError` if an encoder's width isn't the method's.
    """

    def __init__(
        self, vision: Source, text: Source, warp: str | os.PathLike | Method, about: Mapping[str, Any] | None = None
    ) -> None:
        self.vision, self.text = sides.build(vision, "vision"), sides.build(text, "text")
        self.warp = warp if isinstance(warp, Method) else methods.load(warp)
        self.warp._check_fitted()
        self.names = {"vision": sides.named(vision), "text": sides.named(text)}
        self.about = dict(about or {})
        self.digest: str | None = None  # of the folder that it was loaded from or saved to
        for encoder, mean, side in ((self.vision, self.warp.x_mean_, "x"), (self.text, self.warp.y_mean_, "y")):
            if encoder.width != len(mean):
                raise InputError(
                    f"{type(encoder).__name__}: expected features of width {len(mean)}, as the method was fitted on "
                    f"its side {side}, found {encoder.width}; name the encoder of the fit."
                )

    def encode_image(
        self, images: str | os.PathLike | Sequence[str | os.PathLike | Image], on_error: str = "stop"
    ) -> np.ndarray:
        """Unit rows [n, e] of image files or Pillow's images, or of all images of a folder, in its `pictures`' order.

        on_error: "stop" raises an `InputError` that names the first image that can't be read; "skip" warns of their
        number, and gives them rows of NaN.
        """
        return self.embed(self.vision, encoded(self.vision, _images(images), on_error))

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Unit rows [n, e] of texts. Warns of those that the encoder cuts."""
        texts = _texts(texts, "texts")
        cut = self.cut(texts)
        if cut:
            warnings.warn(
                f"{len(cut)} of {len(texts)} texts fill the encoder's {self.text.n_tokens} tokens, and the rest of "
                f"each is not read; the first is {texts[cut[0]]!r:.80}",
                stacklevel=2,
            )
        return self.embed(self.text, encoded(self.text, texts))

    def cut(self, texts: Sequence[str]) -> list[int]:
        """The places of texts that fill all tokens that the encoder reads, and of longer ones, whose end is lost."""
        return self.text.cut(texts)

    def classify(
        self, images: Any, classes: Sequence[str], templates: Sequence[str] = ("a photo of a {}.",),
        on_error: str = "stop",
    ) -> Classification:  # fmt: skip
        """The best class of each image, and its cosines to all.

        A class is the mean of its prompts' rows, at unit length; its prompts are the templates with its name in place
        of {} (Radford et al. 2021).  images, on_error: as in `encode_image`.
        """
        names, forms = _texts(classes, "classes"), _texts(templates, "templates")
        known = Classes(tuple(names), tuple(forms)).check("classify")
        u = self.encode_image(images, on_error)
        scores = u @ unit_means(self.encode_text(known.prompts()), len(names)).T
        labels = [None if np.isnan(row[0]) else names[int(row.argmax())] for row in scores]
        return Classification(labels, scores)

    def embed(self, encoder: Encoder, x: np.ndarray) -> np.ndarray:
        """An encoder's features [n, width] in the common space, [n, e]; rows of NaN stay NaN."""
        side = self.warp.embed_x if encoder is self.vision else self.warp.embed_y
        good = np.isfinite(x).all(1)
        if not good.any():
            return np.full((len(x), self.width), np.nan, np.float32)
        u = side(x[good])
        if good.all():
            return u
        rows = np.full((len(x), u.shape[1]), np.nan, np.float32)
        rows[good] = u
        return rows

    @property
    def width(self) -> int:
        """e, the dimensions of the common space."""
        return self.warp.embed_x(self.warp.x_mean_[None]).shape[1]

    def save(self, folder: str | os.PathLike) -> None:
        """Write config.json, the method's safetensors and a model card; an existing model is replaced whole."""
        check_replaceable(Path(folder))
        config: dict[str, Any] = {"format": FORMAT, "ngw": __version__}
        for side, encoder in (("vision", self.vision), ("text", self.text)):
            known = {"name": self.names[side], "entry": sides.entry_of(encoder), "sha256": sides.identity(encoder)}
            config[side] = known | {"width": encoder.width, "card": encoder.card()}
        config |= {"method": {"kind": self.warp._kind(), "options": self.warp.params()}, "width": self.width}
        config["about"] = self.about
        with atomic(folder) as temporary:
            temporary.mkdir()
            self.warp.save(temporary / WARP)
            io.write_text(temporary / CARD, card.text(config))
            io.write_record(temporary / CONFIG, config, [temporary / WARP])
            self.digest = digests.of(temporary / CONFIG)

    @classmethod
    def load(cls, folder: str | os.PathLike, vision: Source | None = None, text: Source | None = None) -> Self:
        """A model that `save` wrote, its files checked by their digests and the encoders by theirs.

        vision, text: the new place of an encoder's folder, if it has moved.

        Raises `InputError` if a file isn't whole, or an encoder's weights, options or tokenizer aren't those of the
        fit.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a dual encoder's folder, found none; `ngw align` writes one.")
        config = io.read_record(folder / CONFIG)
        if config.get("format") != FORMAT:
            raise InputError(f"{folder / CONFIG}: expected format {FORMAT}, found {config.get('format')!r}; fit again.")
        io.check_vouched(folder / CONFIG)
        sources = (vision or config["vision"]["entry"], text or config["text"]["entry"])
        model = cls(*sources, folder / WARP, config["about"])
        model.names = {side: config[side]["name"] for side in ("vision", "text")}
        for side, encoder in (("vision", model.vision), ("text", model.text)):
            wanted, current = config[side]["sha256"], sides.identity(encoder)
            if current != wanted:
                raise InputError(
                    f"{folder}: {side}: expected the {model.names[side]} of the fit, {wanted[:12]}, found another, "
                    f"{current[:12]}: its weights or its files differ; restore the old ones, or align again."
                )
        model.digest = digests.of(folder / CONFIG)
        return model


def _images(images: Any) -> list:
    """The images to encode: a folder's images, or the given images."""
    if isinstance(images, str | os.PathLike):
        if not Path(images).is_dir():
            raise InputError(f"{images}: expected a folder, or a list of images, found neither; put it into a list.")
        images = [str(Path(images) / name) for name in pictures(images)]
    items = [str(image) if isinstance(image, os.PathLike) else image for image in images]
    if not items:
        raise InputError("images: expected one or more, found none.")
    return items


def _texts(texts: Any, what: str) -> list[str]:
    """A list of texts, checked: none is empty."""
    if isinstance(texts, str):
        raise InputError(f"{what}: expected a list of texts, found the text {texts!r:.80}; put it into a list.")
    texts = list(texts)
    if not texts:
        raise InputError(f"{what}: expected one or more, found none.")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{what}: expected texts with words, found {text!r:.80}; mend it or leave it out.")
    return texts


def check_replaceable(folder: Path) -> None:
    """Check that a folder is new and can be written, empty or a model's, so that no other files are replaced."""
    if not folder.exists():
        return check_writable(folder)
    own = {CONFIG, WARP, CARD}
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    known = io.read_json(folder / CONFIG) if files and not files - own else {}
    if files and not (isinstance(known, dict) and known.get("format") == FORMAT):
        other = next(iter(sorted(files - own)), CONFIG)
        raise InputError(
            f"{folder}: expected a new folder, or a model's, found another file there, {other}; name another folder."
        )
