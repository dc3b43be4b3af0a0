"""Every command that a page names is run, in a copy of the repository at tiny sizes; a few are run by other tests."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_repository import ROOT, run

from ngw import io
from ngw.cli import stages

pytestmark = pytest.mark.workflow
PAGES = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINE = re.compile(
    r"^    ((?:make|snakemake|python|pip|ngw)\b(?:.*\\\n)*.*)$|`((?:make|snakemake|python|pip) [^`<]+)`", re.MULTILINE
)
REPORT = "test_workflow::test_snakemakes_own_report_has_tables_and_figures_and_is_quiet_in_a_browser"
PAPER = "test_download_needs::test_all_that_the_paper_needs_comes_by_one_command_and_the_rule_then_finds_it_offline"
REHEARSAL = "test_rehearsal::test_the_whole_paper_is_rehearsed_and_its_plan_told_by_it"
TUTORIAL = "test_search_tutorial::test_the_tutorial_is_followed"
METHOD = "test_own_method::test_a_method_of_ten_lines_comes_into_the_table_and_no_other_is_fitted_again"
ELSEWHERE = {  # the test, or the fixture, that runs a command which isn't run here; CI: a line of .ci/run
    "make": "conftest::finished",
    "make quick": "conftest::finished",  # with which `make` begins
    "make test": "CI",
    "make test-long": "CI",
    "make test-slurm": "CI",
    "snakemake --profile slurm download": PAPER,
    "python -m ngw download paper.yaml": PAPER,
    "python -m ngw download paper.yaml --accept-licences": PAPER,
    "python -m ngw download coco vqa2 flickr30k": (
        "test_download::test_what_a_form_stands_before_is_told_with_its_address_once_the_rest_is_there"
    ),
    "python tests/slurm/load.py": "slurm/test_load::test_no_job_of_a_full_queue_is_lost",
    "snakemake --profile slurm": "slurm/test_cluster::test_a_run_through_slurm_gives_the_local_table",
    "snakemake --report report.html": REPORT,
    "python -m build": "test_release::test_both_packages_are_built_without_a_warning_and_pass_twine",
    "snakemake --sdm conda": "test_envs::test_conda_plans_the_environment",
    "python benchmarks/sinkhorn.py --size full --output DIRECTORY": (
        "test_benchmarks::test_transport_reaches_the_accuracy_of_its_peer"
    ),
    "python benchmarks/validation.py results/features/scenes effnet-lite0 minilm-l6 --methods ngw ngw~robust=false": (
        "test_benchmarks::test_methods_are_ranked_on_validation_items_and_on_training_items_held_out"
    ),
    "python benchmarks/objects.py": "test_benchmarks::test_a_classifier_says_what_the_pictures_show",
    "python benchmarks/judge.py": "test_benchmarks::test_the_judge_is_judged_by_real_pairs",
    "python -m ngw align --images photos --captions captions.csv --output my-model": TUTORIAL,
    "python -m ngw index photos --model my-model --output photos.index": TUTORIAL,
    "python -m ngw search photos.index two dogs on a beach --top 12 --sheet found.png": TUTORIAL,
    "python -m ngw serve photos.index": TUTORIAL,
    "snakemake --cores 2 --configfile examples/quick.yaml my-study.yaml": METHOD,
    "python benchmarks/search.py --size full": "test_benchmarks::test_searches_and_their_peers_find_the_same_pictures",
    "python -m ngw rehearse paper.yaml --folder DIRECTORY --share 0.1": REHEARSAL,
    "python -m ngw plan paper.yaml --measured DIRECTORY": REHEARSAL,
    "python benchmarks/scale.py DIRECTORY": "test_benchmarks::test_the_paper_s_size_runs_on_a_small_one",
}
# pip has no network here: it looks whether what is installed is what the command wants, and installs nothing.
OFFLINE = ["--dry-run", "--no-build-isolation", "--no-index", "--quiet"]
LONG = {  # a word of commands that run a workflow of their own, or benchmarks
    "all-ablations", "bench", "examples/same-modality.yaml", "examples/text-text.yaml", "examples/easy-vqa.yaml",
}  # fmt: skip
SMALLER = {"300": "16"}  # pairs of the 48 images
STAGES = set(stages()) - {"status"}
MADE = {  # a word of a command: what it leaves in the copy
    "all-ablations": "results/tables/ablations-full.md",
    "cca.safetensors": "cca.safetensors",
    "warp.safetensors": "warp.safetensors",
    "docs": "site/index.html",
    "bench": "results/benchmarks-sinkhorn/sinkhorn.png",
    "examples/same-modality.yaml": "results/similarity/scenes/effnet-lite0__effnet-lite1.json",
    "examples/text-text.yaml": "results/similarity/scenes/minilm-l6__glove-50d.json",
    "examples/easy-vqa.yaml": "results/labels/easy-vqa.safetensors",
}


def commands() -> list[list[str]]:
    """The words of the pages' commands, each command once, without comments."""
    texts = [re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL) for page in PAGES]
    lines = [(match[1] or match[2]).replace("\\\n", " ") for text in texts for match in LINE.finditer(text)]
    return [list(words) for words in dict.fromkeys(tuple(shlex.split(line, comments=True)) for line in lines)]


@pytest.fixture(scope="module")
def reader(finished, tmp_path_factory) -> Path:
    """A copy after `make`, with what a reader brings: two arrays. Of easy-VQA, whose package is large, a part."""
    folder = tmp_path_factory.mktemp("a reader") / "ngw repository"
    shutil.copytree(finished, folder, symlinks=True)
    draw = np.random.default_rng(0)
    points = draw.standard_normal((1400, 8))
    for name, width in (("images", 24), ("texts", 16)):
        np.save(folder / f"{name}.npy", points @ draw.standard_normal((8, width)))
    package = Path(find_spec("easy_vqa").submodule_search_locations[0])
    (folder / "easy_vqa").mkdir()
    (folder / "easy_vqa/__init__.py").touch()
    for split, count in (("train", 40), ("test", 12)):
        place = folder / "easy_vqa/data" / split
        (place / "images").mkdir(parents=True)
        entries = io.read_json(package / "data" / split / "questions.json")
        io.write_json(place / "questions.json", [entry for entry in entries if entry[2] < count])
        for number in range(count):
            shutil.copy(package / f"data/{split}/images/{number}.png", place / "images")
    return folder


def test_the_pages_have_commands_of_every_kind():
    assert {words[0] for words in commands()} == {"make", "snakemake", "python", "pip"}
    assert ["make"] in commands()
    assert set(ELSEWHERE) <= {" ".join(words) for words in commands()}


def test_make_prints_the_tables_and_where_the_page_is(finished):
    printed = (finished.parents[1] / "make.out").read_text(encoding="utf-8")
    assert "results/index.html" in printed
    assert (finished / "results/tables/retrieval.txt").read_text(encoding="utf-8") in printed


@pytest.mark.parametrize("words", [words for words in commands() if " ".join(words) in ELSEWHERE], ids=" ".join)
def test_another_test_runs_the_command_of_a_page(words):
    place = ELSEWHERE[" ".join(words)]
    if place == "CI":
        lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
        assert words in [line.split() for line in lines]
    else:
        file, name = place.split("::")
        tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"))
        assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


HERE = [
    pytest.param(words, marks=pytest.mark.long if LONG & set(words) else ())
    for words in commands()
    if " ".join(words) not in ELSEWHERE
]


@pytest.mark.parametrize("words", HERE, ids=" ".join)
def test_a_command_of_a_page_runs(words, reader):
    command = [SMALLER.get(word, word) for word in words]
    if words[0] == "pip":
        command = [sys.executable, "-m", *command, *OFFLINE]
    elif words[:3] == ["python", "-m", "ngw"] and words[3:] in ([name] for name in STAGES):
        command.append("--help")  # a stage by its name alone
    done = run(reader, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in words:
        assert word not in MADE or (reader / MADE[word]).is_file()
