"""Your own images and captions: a folder, and a csv with one caption a line."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ngw.data import SPLITS, Dataset, check_columns, finish, karpathy, table
from ngw.data._files import image_path, read_text
from ngw.errors import InputError, did_you_mean
from ngw.seeds import rng

COLUMNS = ("image", "caption")


def load(
    root: str | os.PathLike,
    captions: str = "captions.csv",
    images: str = "",
    shares: dict[str, float] | None = None,
    seed: int = 0,
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read root/captions.csv (UTF-8): columns `image`, a path below root/images, `caption`, and optionally `split`.

    An image's lines can be anywhere; ids follow the order of first appearance.  captions: the csv's name below root.
    shares: {"val": 0.1, "test": 0.1}, drawn by `seed` if there is no column `split`.  Other options as in
    `karpathy.load`.
    """
    file = Path(root) / captions
    rows = lines(file)
    base = Path(root) / images
    paths = [image_path(base, row["image"], f"{file}: line {line}") for line, row in rows]
    number = {path: k for k, path in enumerate(dict.fromkeys(paths))}
    shares = {"val": 0.1, "test": 0.1} if shares is None else shares
    if drawn := "split" not in rows[0][1]:
        _check_split(rows[0][1], file)
    splits = _drawn(list(number), shares, seed) if drawn else _given(rows, paths, file)
    captioned = zip(paths, (row["caption"] for _, row in rows), strict=True)
    kept, record = karpathy.first_captions(
        [(k, number[path], splits[path], text) for k, (path, text) in enumerate(captioned)], captions_per_image
    )
    return finish(
        Dataset(
            table("images", [(k, splits[path], path) for path, k in number.items()]),
            table("captions", kept),
            source=str(file),
            record=record | ({"splits_drawn_by_seed": seed} if drawn else {}),
        ),
        check_images, on_error, threads,
    )  # fmt: skip


def lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a csv of captions, each with the number of its last line."""
    header, rows = _read(file)
    if header and not set(COLUMNS) & set(header):
        raise InputError(
            f"{file}: expected the columns image and caption in line 1, found {', '.join(header)}; if that is "
            "a caption already, put a line `image,caption` above it, else rename the columns."
        )
    if not rows:
        raise InputError(f"{file}: expected one caption a line, found none; add captions.")
    check_columns(file, header, COLUMNS)
    width = len(rows[0][1].keys() - {None})
    for line, row in rows:
        if None in row or None in row.values() or not (row["image"] and row["caption"].strip()):
            raise InputError(
                f"{file}: line {line}: expected {width} fields and an image with its caption, found others; mend it."
            )
    return rows


def _read(file: Path) -> tuple[Sequence[str], list[tuple[int, dict[str, str]]]]:
    """The header of a csv, and its rows, each with the number of its last line."""
    text = read_text(file)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header: Sequence[str] = ()
    rows, end = [], 0  # end: the last line of the row before
    try:
        header = reader.fieldnames or ()
        end = reader.reader.line_num  # the reader's own number leaves out empty lines, and lines of a broken row
        for row in reader:
            end = reader.reader.line_num
            rows.append((end, row))
    except csv.Error as error:
        numbered = enumerate(io.StringIO(text, newline=""), 1)
        begin = next(number for number, line in numbered if number > end and line.strip("\r\n"))
        raise InputError(
            f"{file}: line {begin}: expected csv, found {error} in line {reader.reader.line_num}; mend the quotes."
        ) from None
    return header, rows


def _check_split(header: Iterable[str], file: Path) -> None:
    """Refuse a column whose name is nearly `split`, since splits would be drawn instead."""
    for name in header:
        if difflib.get_close_matches(name.strip().lower(), ["split"], cutoff=0.8):
            raise InputError(f"{file}: expected a column 'split' or none, found {name!r}. Did you mean 'split'?")


def _given(rows: list[tuple[int, dict[str, str]]], paths: list[str], file: Path) -> dict[str, str]:
    """Each image's split, by its path; all its lines must agree."""
    split_of: dict[str, str] = {}
    for path, (line, row) in zip(paths, rows, strict=True):
        if row["split"] not in SPLITS:
            raise InputError(
                f"{file}: line {line}: split {row['split']!r} is unknown.{did_you_mean(row['split'], SPLITS)}"
            )
        if split_of.setdefault(path, row["split"]) != row["split"]:
            raise InputError(
                f"{file}: line {line}: image {row['image']!r}: expected split {split_of[path]!r}, as before, found "
                f"{row['split']!r}; give all its lines one split."
            )
    return split_of


def check_shares(shares: Mapping[str, float]) -> None:
    """Check the shares of val and test, each between 0 and 1."""
    if not isinstance(shares, Mapping):
        raise InputError(f"folder: shares: expected e.g. {{val: 0.1, test: 0.1}}, found {shares!r}; mend it.")
    for split, share in shares.items():
        if (
            split not in SPLITS[1:]
            or isinstance(share, bool)
            or not isinstance(share, int | float)
            or not 0 < share < 1
        ):
            raise InputError(f"folder: shares: expected val and test in (0, 1), found {split}: {share!r}; mend them.")


def _drawn(names: list[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """A split for each image: in a seeded order the first are test, the next val, the rest train."""
    check_shares(shares)
    order = [names[k] for k in rng(seed, "folder", "splits").permutation(len(names))]
    counts = {split: max(1, round(shares[split] * len(names))) for split in ("test", "val") if split in shares}
    if sum(counts.values()) >= len(names):
        raise InputError(
            f"folder: shares: expected images left to train on, found {len(names)} in all and {sum(counts.values())} "
            "held out; lower the shares."
        )
    splits = [split for split, count in counts.items() for _ in range(count)]
    return dict(zip(order, splits + ["train"] * (len(names) - len(splits)), strict=True))
