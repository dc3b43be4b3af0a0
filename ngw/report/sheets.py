"""The stages that show examples: sheets of captions and of pictures, clouds before and after, retrieval both ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from ngw import io
from ngw.arguments import Model, Output, Records, Tables, Text, Vision
from ngw.cli import stage
from ngw.record import Record
from ngw.report.stages import write_figure
from ngw.seeds import rng

if TYPE_CHECKING:
    from PIL.Image import Image

SHEET = 8  # images on a sheet
CLOUD, PLAN = 300, 48  # test pairs of the clouds and of the plan
QUERIES, CANDIDATES = 5, 3  # each way
EPSILON = 0.02  # of the plan that is shown, in units of the mean cost
SIDE = 224  # pixels of an image


def _shown(tables: Path) -> tuple[dict[int, str], dict[int, str]]:
    """The file and the first caption of each image of a data set."""
    images = io.read_table(tables / "images.parquet", ["image_id", "path"])
    known = io.read_table(tables / "captions.parquet", ["image_id", "text"])
    first = dict(zip(known["image_id"][::-1], known["text"][::-1], strict=True))
    return dict(zip(images["image_id"], images["path"], strict=True)), first


def _picture(path: str) -> Image | str:
    """The centre of an image file, or the file's name where a data set has features but no images.

    Not the encoder's own view: features that were computed elsewhere have no encoder here.
    """
    from ngw.tasks.images.codec import square

    return square(path, SIDE) if Path(path).is_file() else Path(path).name


@stage("Draw clouds before and after alignment, and retrieval examples.")
def alignment_figures(model: Model, vision: Vision, text: Text, tables: Tables, output: Output) -> None:
    """The alignment figures stage: test images and captions drawn at random, as a fitted method aligns them."""
    from ngw import features, methods, ot
    from ngw.features.clouds import owners
    from ngw.report import alignment, examples
    from ngw.report.frames import in_words

    aligner, head = methods.load_with_metadata(model)
    a, b = features.read(vision), features.read(text)
    owner, u, v = owners(a, b), *aligner.embed(a.x, b.x)
    first = np.unique(owner, return_index=True)[1]  # each image's first caption
    rows = rng(0, "alignment", "images").permutation(len(a.ids))[:CLOUD]
    pairs = (a.x[rows], b.x[first[rows]], u[rows], v[first[rows]])
    plan = ot.sinkhorn(pairs[2][:PLAN], pairs[3][:PLAN], cost="cosine", epsilon=EPSILON).dense()
    who = f"{head['method']}, {head['pairs']} pairs{in_words(head['unpaired'])}"
    where = f"{a.metadata['dataset']}.{a.metadata['encoder']}.{b.metadata['encoder']}"
    write_figure(alignment.clouds_figure(alignment.Seen(*pairs, plan), who), f"alignment.{where}", output)

    paths, _ = _shown(tables)
    texts = dict(zip(*io.read_table(tables / "captions.parquet", ["caption_id", "text"]).values(), strict=True))
    images, captions = rows[:QUERIES], first[rows[QUERIES : 2 * QUERIES]]
    to_text = examples.nearest(u[images], v, images[:, None] == owner, CANDIDATES)
    to_image = examples.nearest(v[captions], u, owner[captions][:, None] == np.arange(len(u)), CANDIDATES)
    views = {
        row: _picture(paths[int(a.ids[row])])
        for row in {*images.tolist(), *(row for nearest in to_image for row, _ in nearest)}
    }
    words = [texts[int(i)] for i in b.ids]
    sheet = examples.retrieval_sheet(
        [examples.ranked(views[row], nearest, words) for row, nearest in zip(images, to_text, strict=True)],
        [examples.ranked(words[row], nearest, views) for row, nearest in zip(captions, to_image, strict=True)],
        who,
    )
    write_figure(sheet, f"retrieval-examples.{where}", output)


@stage("Draw images with each method's caption.")
def caption_sheet(
    tables: Tables, vision: Vision, text: Annotated[str, "the text encoder's name, for the file's"], records: Records,
    output: Output,
) -> None:  # fmt: skip
    """The caption sheet stage: test images drawn at random, a reference, and the caption of each method's run."""
    from ngw import features
    from ngw.report import examples

    cloud = features.read(vision)
    path, reference = _shown(tables)
    captions = {}
    for file in records:
        rows = io.read_table(file.parent.parent / "predictions" / "captioning.parquet", ["image_id", "caption"])
        captions[Record.read(file)["method"]] = dict(zip(rows["image_id"], rows["caption"], strict=True))
    ids = [i for i in cloud.ids.tolist() if all(i in of for of in captions.values())]
    order = rng(0, "captions", "sheet").permutation(len(ids))[:SHEET]
    items = [
        examples.Captioned(_picture(path[i]), reference[i], {name: of[i] for name, of in captions.items()})
        for i in (ids[k] for k in order)
    ]
    name = f"captions.{cloud.metadata['dataset']}.{cloud.metadata['encoder']}.{text}"
    write_figure(examples.caption_sheet(items), name, output)


@stage("Draw captions with each method's picture.")
def image_sheet(
    tables: Tables, vision: Vision, text: Annotated[str, "the text encoder's name, for the file's"], records: Records,
    output: Output,
) -> None:  # fmt: skip
    """The image sheet stage: test captions drawn at random, their real images, and the picture of each method's run."""
    from PIL import Image

    from ngw import features
    from ngw.report import examples
    from ngw.tasks.images import codec as pictures

    cloud = features.read(vision)
    path, caption = _shown(tables)
    drawn = {Record.read(f)["method"]: pictures.read(f.parent / "predictions" / "images.zip") for f in records}
    ids = sorted(set.intersection(*map(set, drawn.values())))
    chosen = [ids[k] for k in rng(0, "images", "sheet").permutation(len(ids))[:SHEET]]
    items = [
        examples.Drawn(caption[i], _picture(path[i]), {name: Image.open(of[i]) for name, of in drawn.items()})
        for i in chosen
    ]
    name = f"images.{cloud.metadata['dataset']}.{cloud.metadata['encoder']}.{text}"
    write_figure(examples.image_sheet(items), name, output)
