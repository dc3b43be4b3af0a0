"""A stage's code: what its import closure holds, that every rule has it, and that nothing else ran."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_repository import edit

from ngw.cli import stages
from ngw.fingerprints import code
from ngw.tools.plan import JOBS

ROOT = Path(__file__).parents[1]
COMMAND_LINE = {"__main__.py", "arguments.py", "cli.py", "schema.py", "tasks/batch.py", "fingerprints/code.py"}
# As ngw.fingerprints.code.LEFT_OUT, with reasons, says.
LEFT_OUT = COMMAND_LINE | {"errors.py", "record/origin.py", "__init__.py"}
RULES = {
    rule: block
    for path in sorted((ROOT / "rules").rglob("*.smk"))
    for rule, block in re.findall(
        r"^(?:use )?rule (?:\w+ as )?(\w+)[^\n]*:\n(.*?)(?=^\S|\Z)", path.read_text(), re.M | re.S
    )
}


SOME = [
    ["ngw.tasks.stages:fit", "ngw.methods.ridge"],
    ["ngw.tasks.stages:transport", "ngw.methods.warp"],
    ["ngw.tasks.stages:encode", "ngw.encoders.glove"],
    ["ngw.tasks.vqa.stages:vqa"],
    ["ngw.tasks.captions.stages:train_captioner"],
]


def fingerprints(package: Path, stages: list[list[str]] = SOME) -> dict[str, str]:
    """Of a copy of the package, the fingerprint of some stages."""
    program = (
        "import json; from ngw.fingerprints import code; "
        f"print(json.dumps({{s[0]: code.fingerprint(*s) for s in {stages}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=package.parent, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_closure_holds_what_is_imported_wherever_it_stands():
    fit = code.files("ngw.tasks.stages:fit", "ngw.methods.ridge")
    assert {
        "tasks/stages.py",
        "methods/ridge.py",
        "methods/base.py",
        "seeds.py",
        "features/store.py",
        "features/clouds.py",
        "io/__init__.py",
    } <= fit
    assert "maps/linear.py" in fit  # which ridge.py imports
    assert "methods/cca.py" not in fit
    assert not fit & LEFT_OUT
    assert "nn/training.py" in code.files("ngw.tasks.captions.stages:train_captioner")  # imported inside a function
    assert "tasks/captions/decoder.py" not in code.files(
        "ngw.tasks.captions.stages:paraphrases"
    )  # of another stage's function
    assert "encoders/_merge.py" in code.files("ngw.tasks.stages:encode", "ngw.encoders.transformers_text")


def test_a_closure_of_no_such_stage_is_refused():
    with pytest.raises(ValueError, match=r"stages\.py: 'fitt' isn't defined there\. Did you mean 'fit'\?"):
        code.fingerprint("ngw.tasks.stages:fitt")
    with pytest.raises(ValueError, match=r"ngw\.stagges: expected a module"):
        code.fingerprint("ngw.stagges:fit")


def test_an_edit_changes_the_fingerprints_that_reach_it_and_no_other(tmp_path):
    shutil.copytree(ROOT / "ngw", tmp_path / "ngw", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".snakemake").mkdir()  # where fingerprints are kept, of one state of the package
    before = fingerprints(tmp_path / "ngw")

    def changed(file: str, old: str, new: str) -> set[str]:
        edit(tmp_path / "ngw" / file, old, new)
        after = fingerprints(tmp_path / "ngw")
        edit(tmp_path / "ngw" / file, new, old)
        return {stage.split(":")[1] for stage in before if before[stage] != after[stage]}

    future = "from __future__ import annotations"
    assert changed("methods/ridge.py", future, future + "\n# edited") == {"fit"}
    assert changed("methods/cca.py", future, future + "\n# edited") == {"transport"}
    assert changed("seeds.py", future, future + "\n# edited") == {"fit", "transport", "train_captioner"}
    all_of_them = {stage.split(":")[1] for stage in before}
    assert len(all_of_them) == 5
    assert changed("io/__init__.py", future, future + "\n# edited") == all_of_them
    assert changed("errors.py", future, future + "\n# edited") == set()
    # Of a module of stages the definition that is reached counts, those that it calls, and no other.
    assert changed("tasks/stages.py", '@stage("Fit a', '# edited\n@stage("Fit a') == set()
    assert changed("tasks/stages.py", "model.fit(", "model.fit (") == {"fit"}
    assert changed("tasks/stages.py", "def _read_plan(", "def _read_plan (") == set()  # of the maps stage
    assert changed("tasks/clouds.py", "def train_clouds(", "def train_clouds (") == {"fit", "transport"}
    (tmp_path / "ngw/seeds.py").touch()
    assert fingerprints(tmp_path / "ngw") == before


def test_a_relative_import_and_what_stands_in_a_block_count_too(tmp_path):
    shutil.copytree(ROOT / "ngw", tmp_path / "ngw", ignore=shutil.ignore_patterns("__pycache__"))
    ridge, stages, future = "methods/ridge.py", "tasks/stages.py", "from __future__ import annotations"
    (tmp_path / "ngw/methods/_own.py").write_text("FACTOR = 1.0\n")
    edit(tmp_path / "ngw" / ridge, future, f"{future}\n\nfrom ._own import FACTOR  # noqa: F401")
    edit(tmp_path / "ngw" / stages, future, f"{future}\n\nif True:\n    EXTRA = 1")
    edit(tmp_path / "ngw" / stages, "    usage = meter.Meter()", "    usage = meter.Meter(), EXTRA", count=1)
    before = fingerprints(tmp_path / "ngw")
    edit(tmp_path / "ngw/methods/_own.py", "1.0", "3.0")
    after = fingerprints(tmp_path / "ngw")
    assert {stage for stage in before if before[stage] != after[stage]} == {"ngw.tasks.stages:fit"}
    edit(tmp_path / "ngw" / stages, "EXTRA = 1", "EXTRA = 2")
    assert "ngw.tasks.stages:fit" in {k for k, text in fingerprints(tmp_path / "ngw").items() if text != after[k]}


def test_fingerprints_are_computed_once_where_snakemake_runs(tmp_path):
    shutil.copytree(ROOT / "ngw", tmp_path / "ngw", ignore=shutil.ignore_patterns("__pycache__"))
    fit, fuse = [["ngw.tasks.stages:fit", "ngw.methods.ridge"]], [["ngw.tasks.vqa.stages:fuse"]]
    kept = tmp_path / ".snakemake/ngw-code.json"
    first = fingerprints(tmp_path / "ngw", fit)
    assert not kept.parent.exists()
    kept.parent.mkdir()
    assert fingerprints(tmp_path / "ngw", fit) == first
    digest = first["ngw.tasks.stages:fit"].rpartition(":")[2]
    edit(kept, digest, "of the kept file", count=-1)
    again = fingerprints(tmp_path / "ngw", fit + fuse)
    assert again["ngw.tasks.stages:fit"].endswith(":of the kept file")
    assert list(json.loads(kept.read_text())["fingerprints"].values()) == list(again.values())
    kept.write_text("{")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        fingerprints(tmp_path / "ngw", fit)
    assert re.search(r"ngw-code\.json: expected JSON, found .*; delete it", failed.value.stderr)


def test_a_template_counts_with_its_module(tmp_path):
    shutil.copytree(ROOT / "ngw", tmp_path / "ngw", ignore=shutil.ignore_patterns("__pycache__"))
    stages = [["ngw.report.stages:page"], ["ngw.report.stages:stages"]]
    before = fingerprints(tmp_path / "ngw", stages)
    edit(tmp_path / "ngw" / "report" / "page.html", "<main>", "<main >")
    after = fingerprints(tmp_path / "ngw", stages)
    assert {stage for stage in before if before[stage] != after[stage]} == {"ngw.report.stages:page"}


@pytest.mark.parametrize(
    "rule", sorted(rule for rule, block in RULES.items() if "-m ngw" in block or "params:" in block)
)
def test_every_rule_has_the_fingerprint_of_the_stage_that_it_runs(rule):
    block = RULES[rule]
    stage = re.search(r'code=code\(\s*"([\w.]+):(\w+)"', block)
    assert stage is not None, block
    module, function = stage.groups()
    command = re.search(r"-m ngw (?:batch )?([\w-]+)", block)
    if command is not None:
        assert command[1] == function.replace("_", "-")
        assert module == stages()[command[1]].module


def test_every_rule_that_the_cluster_and_the_plan_size_exists():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert {*profile["set-resources"], *profile["set-threads"], *JOBS} <= set(RULES)


def test_every_decorated_function_is_a_stage():
    decorated = [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), node.name.replace("_", "-"))
        for path in (ROOT / "ngw").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(mark, ast.Call) and ast.unparse(mark.func) == "stage" for mark in node.decorator_list)
    ]
    assert sorted(decorated) == sorted((module, name) for name, (module, _) in stages().items())


BARS = {"tools/bars/__init__.py", "tools/bars/snakemake_logger_plugin_ngw/__init__.py"}
DUAL = {f"dual/{path.name}" for path in (ROOT / "ngw/dual").glob("*.py")}
REHEARSAL = {f"rehearsal/{path.name}" for path in (ROOT / "ngw/rehearsal").glob("*.py")}
NO_STAGE = {  # reached by no rule: commands for people, and what the workflow itself is read with
    "config/jobs.py", "config/runs.py", *BARS, *DUAL, *REHEARSAL, "fingerprints/__init__.py", "fingerprints/outside.py",
    "tools/plan.py", "tools/measured.py", "tools/sizes.py", "tools/study.py", "tools/exchange.py", "report/export.py",
    "comparison/__init__.py", "comparison/table.py", *COMMAND_LINE,
}  # fmt: skip


def test_every_module_is_reached_by_a_stage_or_named():
    stages = {match for block in RULES.values() for match in re.findall(r'code=code\(\s*"([\w.:]+)"', block)}
    kinds = [
        f"ngw.{package}.{path.stem}"
        for package in ("data", "encoders", "fusion", "methods")
        for path in (ROOT / "ngw" / package).glob("[a-z]*.py")
    ]
    reached = set().union(*(code.files(stage, *kinds) for stage in stages))
    modules = {path.relative_to(ROOT / "ngw").as_posix() for path in (ROOT / "ngw").rglob("*.py")}
    assert modules - reached - LEFT_OUT == NO_STAGE - LEFT_OUT


def test_every_rule_of_a_command_is_seen():
    text = "".join(path.read_text() for path in (ROOT / "rules").rglob("*.smk"))
    assert sum("-m ngw" in block for block in RULES.values()) == text.count("-m ngw ")


@pytest.mark.workflow
def test_no_stage_runs_a_file_that_its_fingerprint_lacks(finished):
    # What each job of the tiny run executed, against what Snakemake noted for its outputs.
    noted = {}
    for path in (finished / ".snakemake/metadata").rglob("*"):
        made = json.loads(path.read_text()) if path.is_file() else {}
        if "-m ngw" in (made.get("shellcmd") or ""):
            words = shlex.split(made["shellcmd"].partition(" > ")[0])
            noted[tuple(words[words.index("-m") :])] = made
    traces = [json.loads(path.read_text()) for path in (finished / "traces").glob("*.json")]
    assert len(traces) > 80
    rules = set()
    # `make quick`, with which a first `make` begins, made some outputs that were made again afterwards.
    again = [trace["command"][3] for trace in traces if tuple(trace["command"][1:]) not in noted]
    assert "collate" in again
    assert "encode" not in again
    for trace in [trace for trace in traces if tuple(trace["command"][1:]) in noted]:
        made = noted[tuple(trace["command"][1:])]
        rules.add(made["rule"])
        told = {entry.split(":")[0] for entry in " ".join(made["params"]).replace("'", " ").split() if ".py:" in entry}
        kinds = ("methods/", "fusion/", "encoders/", "data/")  # the page checks the config, and so makes each kind once
        ran = {file for file in trace["ran"] if made["rule"] != "page" or not file.startswith(kinds)}
        ran -= {
            "options.py"
        } - told  # it makes a field where a class is defined, in modules that the stage doesn't use too
        assert not ran - told - LEFT_OUT, made["shellcmd"]
    assert {
        "data",
        "encode",
        "fit",
        "transport",
        "maps",
        "retrieval",
        "fuse",
        "generate_captions",
        "generate_images",
        "tables",
    } <= rules
