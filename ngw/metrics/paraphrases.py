"""METEOR's paraphrase table, narrowed to the words of a data set's captions: METEOR starts without reading the rest.

The table of METEOR 1.5 has 5 million English phrase pairs, which every run of it reads in 5 s of processor time. A pair
matters only where both phrases occur, so pairs with a word that no caption has can be left out: the scores are the
same. Texts with other words need the whole table; `covering` says which do.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from ngw import io
from ngw.errors import InputError

_RUN = re.compile(r"[^\W_]+")


def words(texts: Iterable[str]) -> set[str]:
    """The runs of letters and digits in texts, in lower case."""
    return set(chain.from_iterable(_RUN.findall(text.lower()) for text in texts))


def narrow(whole: str | os.PathLike, known: set[str], output: str | os.PathLike) -> int:
    """Write the pairs of a table (gzip; three lines a pair: probability, phrase, phrase) whose words are all known.

    Returns their number.
    """
    fits: dict[str, bool] = {}  # phrases repeat often

    def spelled(phrase: str) -> bool:
        fit = fits.get(phrase)
        if fit is None:
            fit = fits[phrase] = known.issuperset(_RUN.findall(phrase))
        return fit

    count = 0
    with (
        gzip.open(whole, "rt", encoding="utf-8", newline="\n") as lines,
        io.atomic(output) as temporary,
        gzip.GzipFile(temporary, "wb", mtime=0) as narrowed,
    ):
        for probability, phrase, other in zip(lines, lines, lines, strict=True):
            if spelled(phrase) and spelled(other):
                narrowed.write((probability + phrase + other).encode())
                count += 1
    return count


def write(whole: str | os.PathLike, texts: Iterable[str], table: Path) -> int:
    """Narrow a table to these texts' words, written beside it as `.json`. Returns the number of pairs left."""
    known = words(texts)
    count = narrow(whole, known, table)
    io.write_record(table.with_suffix(".json"), {"words": sorted(known)}, [table])
    return count


def covering(table: Path, texts: Iterable[str]) -> Path | None:
    """The table if it covers the words of these texts, else None."""
    if not table.is_file():
        raise InputError(f"{table}: no such file; run the paraphrases stage, or score without it.")
    record = table.with_suffix(".json")
    io.check_vouched(record, table)
    return table if words(texts) <= set(io.read_record(record)["words"]) else None
