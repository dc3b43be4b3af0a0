"""One's own images and captions: a folder, and a csv with a line a caption."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ngw.data import SPLITS, Dataset, finish, table
from ngw.errors import InputError, did_you_mean
from ngw.seeds import rng

COLUMNS = ("image", "caption")


def load(
    root: str | os.PathLike,
    captions: str = "captions.csv",
    images: str = "",
    shares: dict[str, float] | None = None,
    seed: int = 0,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read root/captions.csv (UTF-8): columns `image`, a path below root/images, `caption`, and `split` if it has one.

    An image's lines may stand anywhere; ids are the order of first appearance.  shares: {"val": 0.1, "test": 0.1}, what
    is drawn by `seed` where there is no column `split`.  Other options as `karpathy.load`'s.
    """
    file = Path(root) / captions
    rows = _lines(file)
    number = {name: k for k, name in enumerate(dict.fromkeys(row["image"] for row in rows))}
    shares = {"val": 0.1, "test": 0.1} if shares is None else shares
    splits = _given(rows, file) if "split" in rows[0] else _drawn(list(number), shares, seed)
    base = (Path(root) / images).resolve()
    paths = {}
    for name in number:
        path = (base / name).resolve()
        if not path.is_relative_to(base):
            raise InputError(f"{file}: image {name!r}: expected a path below {base}, found one outside; mend it.")
        paths[name] = str(Path(root) / images / name)
    return finish(
        Dataset(
            table("images", [(k, splits[name], paths[name]) for name, k in number.items()]),
            table("captions", [(k, number[r["image"]], splits[r["image"]], r["caption"]) for k, r in enumerate(rows)]),
            source=str(file),
        ),
        check_images, on_error, threads,
    )  # fmt: skip


def _lines(file: Path) -> list[dict[str, str]]:
    """The lines of the csv, by column."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; check root and captions in the config.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8, found {error.reason} at byte {error.start}; save it anew.") from None
    except csv.Error as error:
        raise InputError(f"{file}: expected csv, found {error}; mend the quotes.") from None
    if not rows:
        raise InputError(f"{file}: expected a line a caption, found none; write some.")
    missing = [column for column in COLUMNS if column not in rows[0]]
    if missing:
        raise InputError(
            f"{file}: expected a column {missing[0]!r}, found {', '.join(map(str, rows[0]))}; name it in line 1."
        )
    width = len(rows[0].keys() - {None})
    for k, row in enumerate(rows, 2):
        if None in row or None in row.values() or not row["image"]:
            raise InputError(f"{file}: line {k}: expected {width} fields and an image, found others; mend it.")
    return rows


def _given(rows: list[dict[str, str]], file: Path) -> dict[str, str]:
    """Each image's split, as its lines say, all alike."""
    found: dict[str, str] = {}
    for k, row in enumerate(rows, 2):
        if row["split"] not in SPLITS:
            raise InputError(
                f"{file}: line {k}: split {row['split']!r} is unknown.{did_you_mean(row['split'], SPLITS)}"
            )
        if found.setdefault(row["image"], row["split"]) != row["split"]:
            raise InputError(
                f"{file}: line {k}: image {row['image']!r}: expected split {found[row['image']]!r}, as before, found "
                f"{row['split']!r}; give all its lines one."
            )
    return found


def _drawn(names: list[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """A split for each image: the first of a seeded order are test, then val, the rest train."""
    for split, share in shares.items():
        if (
            split not in SPLITS[1:]
            or isinstance(share, bool)
            or not isinstance(share, int | float)
            or not 0 < share < 1
        ):
            raise InputError(f"folder: shares: expected val and test in (0, 1), found {split}: {share!r}; mend them.")
    order = [names[k] for k in rng(seed, "folder", "splits").permutation(len(names))]
    counts = {split: max(1, round(shares[split] * len(names))) for split in ("test", "val") if split in shares}
    if sum(counts.values()) >= len(names):
        raise InputError(
            f"folder: shares: expected images left to train on, found {len(names)} in all and {sum(counts.values())} "
            "held out; lower the shares."
        )
    splits = [split for split, count in counts.items() for _ in range(count)]
    return dict(zip(order, splits + ["train"] * (len(names) - len(splits)), strict=True))
