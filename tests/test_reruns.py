"""Reruns after each change of a finished run: the jobs that depend on the change, and no others."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_repository import edit, scheduled, snakemake

from ngw.tools import status

pytestmark = pytest.mark.workflow


PACKAGE = Path(__file__).parents[1] / "ngw"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
SOME = {  # the others take minutes: `make test-long`
    "methods/base.py", "seeds.py", "features/store.py", "data/scenes.py", "encoders/_merge.py", "nn/training.py",
    "tasks/latents.py", "errors.py",
}  # fmt: skip


@pytest.fixture(scope="module")
def ours(finished, tmp_path_factory) -> Path:
    """A further copy, whose files are changed and put back."""
    folder = tmp_path_factory.mktemp("ours") / "repository"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


def reversed_keys(value):
    """The same config, the keys of each of its mappings in the opposite order."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


def edited(text: str) -> str:
    """A module whose every definition has changed, without a change of what it does."""
    lines = text.splitlines(keepends=True)
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = node.body[0]
            lines[first.lineno - 1] = f"{' ' * first.col_offset}# edited\n{lines[first.lineno - 1]}"
    return "".join(lines) + "\n# edited\n"


def stale(folder: Path, file: str) -> set[str]:
    """The outputs of the jobs whose noted fingerprint has a file of the package, and of all that is made from these."""
    noted = {}
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            name = "".join(part.removeprefix("@") for part in path.relative_to(folder / ".snakemake/metadata").parts)
            noted[base64.urlsafe_b64decode(name).decode()] = json.loads(path.read_text())
    found = {name for name, made in noted.items() if re.search(rf"(?:'| ){re.escape(file)}:", " ".join(made["params"]))}
    while True:
        further = {name for name, made in noted.items() if found & set(made["input"])} - found
        if not further:
            return found
        found |= further


def test_a_second_run_has_nothing_to_do(finished):
    assert scheduled(finished) == {}


def test_a_touched_file_reruns_nothing(copy):
    for path in (copy / "ngw/methods/ridge.py", copy / "ngw/ot/sinkhorn.py"):
        path.touch()
    assert scheduled(copy) == {}


def test_the_order_of_keys_changes_nothing(copy):
    for path in (copy / "config.yaml", copy / "tests/config.yaml"):
        values = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(reversed_keys(values), sort_keys=False))
        assert yaml.safe_load(path.read_text()) == values
    assert scheduled(copy) == {}


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=[] if file in SOME else pytest.mark.long) for file in MODULES]
)
def test_an_edited_module_reruns_what_reaches_it_and_nothing_else(ours, file):
    path = ours / "ngw" / file
    text = path.read_text()
    path.write_text(edited(text))
    done = snakemake(ours, "--dry-run")
    path.write_text(text)
    assert done.returncode == 0, done.stderr
    always = {"all", "all_vqa", "all_generation"}
    remade = {
        output for job in status.jobs(done.stdout + done.stderr) if job.rule not in always for output in job.outputs
    }
    assert remade == stale(ours, file)
    assert file not in SOME or (remade == set()) == (file == "errors.py")


def test_an_edited_method_reruns_that_method_only(copy):
    edit(copy / "ngw/methods/ridge.py", "import numpy as np", "import numpy as np\n\n# edited")
    jobs = scheduled(copy)
    assert {job for job in jobs if not job.endswith(("tables", "figures"))} == {"fit", "retrieval"}
    assert {"tables", "figures"} <= jobs.keys()
    assert (jobs["fit"], jobs["retrieval"]) == ({"ridge"}, {"all~"})  # which keeps what it has scored of others


def test_an_edited_building_block_reruns_what_is_built_of_it(copy):
    edit(copy / "ngw/methods/cca.py", "from dataclasses", "# edited\nfrom dataclasses")
    jobs = scheduled(copy)
    assert jobs["fit"] == {"cca", "oracle", "cca~"}  # those that only the ablations want stand apart
    assert jobs["transport"] == {"ngw", "ngw-raw", "ngw~map=residual", "ngw~"}  # whose costs are built from it
    assert jobs["fuse"] == {"ngw-fusion", "ngw-fusion~aligner=cca"}  # concat has no aligner
    assert "tokens" not in jobs


def test_an_edited_or_changed_fusion_reruns_that_fusion_only(copy):
    edit(copy / "ngw/fusion/concat.py", "from ngw.fusion.base", "# edited\nfrom ngw.fusion.base")
    jobs = scheduled(copy)
    assert jobs["fuse"] == {"concat"}
    assert jobs.keys() == {"fuse", "vqa", "vqa_tables", "vqa_figures", "vqa_examples"}
    edit(copy / "tests/config.yaml", "aligner: ngw, dims: 8", "aligner: ngw, dims: 9")
    assert scheduled(copy)["fuse"] == {"concat", "ngw-fusion", "ngw-fusion~aligner=cca"}


def test_other_foreign_captions_rerun_their_setting_alone(copy):
    edit(copy / "tests/config.yaml", "seed: 2", "seed: 3")
    planned = snakemake(copy, "--dry-run")
    jobs = [job for job in status.jobs(planned.stdout + planned.stderr) if job.rule in ("transport", "maps", "fit")]
    done = "results/runs/scenes/effnet-lite0__minilm-l6/{}~/runs.{}.json"
    files = {done.format(*names) for names in (("ngw", "transport"), ("ngw", "maps"), ("cca", "fit"))}
    assert {output for job in jobs for output in job.outputs} == files
    assert scheduled(copy)["encode"] == {""}  # the captions alone, no image of theirs
    assert planned.stdout.count("results/features/scenes-elsewhere/train/minilm-l6.safetensors") >= 1


def test_a_changed_hyperparameter_reruns_that_method_only(copy):
    edit(copy / "tests/config.yaml", "cca: {kind: cca}", "cca: {kind: cca, ridge: 0.5}")
    jobs = scheduled(copy)
    assert (jobs["fit"], jobs["retrieval"]) == ({"cca", "cca~"}, {"all~", "all~~"})
    assert "transport" not in jobs
    assert "encode" not in jobs


def test_a_new_seed_adds_its_runs_and_makes_no_other_anew(copy):
    runs = copy / "results/runs/scenes/effnet-lite0__minilm-l6/ridge/pairs16/shared"
    before = (runs / "seed0/model.safetensors").stat().st_mtime_ns
    edit(copy / "tests/config.yaml", "seeds: [0]\n  pairs: [0, 16, all]", "seeds: [0, 1]\n  pairs: [0, 16, all]")
    target = runs.parents[1] / "runs.fit.json"
    done = snakemake(copy, "--show-failed-logs", "--", str(target.relative_to(copy)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (runs / "seed1/model.safetensors").exists()
    assert (runs / "seed0/model.safetensors").stat().st_mtime_ns == before
