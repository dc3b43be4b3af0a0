"""The stages index, search and serve: a folder of images to a search engine."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np

from ngw.arguments import POSITIONAL, count
from ngw.cli import stage
from ngw.dual import index as indices
from ngw.dual.align import OnError
from ngw.dual.encoder import DualEncoder
from ngw.dual.index import Index
from ngw.errors import InputError
from ngw.io.atomic import atomic, check_writable

Folder = Annotated[Path, POSITIONAL, "folder of images; subfolders and linked ones are read too"]
IndexFile = Annotated[Path, POSITIONAL, "index, written by `ngw index`"]
ModelFolder = Annotated[Path | None, "the model's folder, if it has moved since"]

JPEG = 65_500  # pixels of a side, at most


@stage("Encode a folder's images into an index, or bring one up to date.")
def index(
    folder: Folder,
    model: Annotated[Path, "a dual encoder's folder, written by `ngw align --output`"],
    output: Annotated[Path, "the index, one file"], on_error: OnError = "stop",
) -> None:  # fmt: skip
    """The index command: new and changed images are encoded, missing ones are dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        indices.update(output, folder, DualEncoder.load(model), model, on_error)
    _say("index", caught)


@stage("Find an index's images by words, or by an image.")
def search(
    index: IndexFile,
    query: Annotated[Sequence[str], POSITIONAL, "words"] = (),
    image: Annotated[Path | None, "find images similar to this one, instead of words"] = None,
    top: Annotated[int, count, "how many images are shown"] = 12,
    sheet: Annotated[Path | None, "write a contact sheet of them (png, jpg)"] = None,
    model: ModelFolder = None,
) -> None:  # fmt: skip
    """The search command: the best images, best first, a line each."""
    words = " ".join(query)
    if bool(words.strip()) == (image is not None):
        raise InputError("expected words, or --image and an image, found both or neither; give one.")
    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{sheet}: expected a name that ends in .png or .jpg; name another.")
    known, encoder = opened(index, model)
    if sheet is not None:
        _check_sheet(sheet, min(top, len(known)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        queries = encoder.encode_text([words]) if image is None else encoder.encode_image([image])
    _say("search", caught)
    (rows,), (scores,) = known.nearest(queries, top)
    paths = [known.path(row) for row in rows]
    gone = [path for path in paths if not path.is_file()]
    if len(gone) == len(paths):
        raise InputError(
            f"{index}: {gone[0]}: no such file, nor any other of the {len(gone)} best images; restore them, or index "
            "again."
        )
    for path, score in zip(paths, scores, strict=True):
        print(f"{score:.3f}  {path}")
    if gone:
        print(f"ngw search: {len(gone)} of {len(paths)} are gone, {gone[0]} first; index again.", file=sys.stderr)
    if sheet is not None:
        _write_sheet(sheet, list(zip(paths, scores, strict=True)))


@stage("Serve a search page for an index, to this machine only.")
def serve(
    index: IndexFile,
    port: Annotated[int, "port of 127.0.0.1; 0: any free one"] = 8765,
    model: ModelFolder = None,
    approximate: Annotated[bool, "search a graph of neighbours (faiss) instead of all images"] = False,
) -> None:
    """The serve command: a page with a search box, until it is interrupted or terminated."""
    from ngw.dual.approximate import Approximate
    from ngw.dual.serve import ADDRESS, Server

    known, encoder = opened(index, model)
    nearest = Approximate(known.vectors).nearest if approximate else None
    encoder.encode_text(["an image"])  # loads the network before the first request
    with Server(known, encoder, port, nearest) as server:
        print(f"{len(known):,} images at http://{ADDRESS}:{server.server_port}/ (stop: Ctrl-C)", flush=True)
        signal.signal(
            signal.SIGTERM, signal.default_int_handler
        )  # as Ctrl-C, which doesn't reach a shell's background jobs
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def opened(index: Path, model: Path | None = None) -> tuple[Index, DualEncoder]:
    """An index and the model that computed its rows."""
    known = Index.read(index)
    where = Path(known.model) if model is None else model
    if model is None and not where.is_dir():
        raise InputError(f"{index}: expected its model at {where}, found none there; give its place by --model.")
    encoder = DualEncoder.load(where)
    known.check_model(encoder, index, where)
    return known, encoder


def _check_sheet(path: Path, n: int) -> None:
    """Check, before the search, that a sheet of n images can be written."""
    from ngw.dual.sheet import size

    check_writable(path)
    if path.suffix.lower() != ".png" and max(size(n)) > JPEG:
        raise InputError(
            f"{path}: expected a sheet of at most {JPEG:,} pixels, where a JPEG ends, found {max(size(n)):,} for {n:,} "
            "images; name a .png, or lower --top."
        )


def _write_sheet(path: Path, results: Sequence[tuple[Path, np.floating]]) -> None:
    from ngw.dual.sheet import sheet

    page = sheet([(file, f"{k}. {file.name}  {score:.3f}") for k, (file, score) in enumerate(results, 1)])
    with atomic(path) as temporary:
        page.save(temporary, "PNG" if path.suffix.lower() == ".png" else "JPEG")


def _say(name: str, caught: Sequence[warnings.WarningMessage]) -> None:
    for warning in caught:
        print(f"ngw {name}: {warning.message}", file=sys.stderr)
