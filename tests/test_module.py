"""The workflow in another one: deployed by snakedeploy, a module beside rules of one's own, a baseline from outside."""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from tiny_repository import ROOT, edit
from tiny_study import TABLE, config, repository, run, snakemake, write_config

from ngw import io

pytestmark = pytest.mark.workflow
ADDRESS = "https://github.com/somebody/ngw"
PAGES = [(ROOT / f"docs/how-to/{page}.md").read_text(encoding="utf-8") for page in ("deploying", "outside")]
snakedeploy = pytest.mark.skipif(
    importlib.util.find_spec("snakedeploy") is None, reason="snakedeploy isn't installed: pip install '.[dev]'"
)


def block(start: str) -> str:
    """The Python of the pages that begins so."""
    texts = [text for page in PAGES for text in re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL)]
    (text,) = [text for text in texts if text.startswith(start)]
    return text


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """A repository to deploy from, in a folder that nothing else knows."""
    return repository(tmp_path_factory.mktemp("somebody") / "ngw")


def deploy(source: str, folder: Path, *options: str, **environment: str) -> None:
    code = "from snakedeploy.client import main; main()"
    done = run(folder, sys.executable, "-c", code, "deploy-workflow", source, str(folder), *options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "config/config.yaml").is_symlink()
    assert (folder / "config/config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    assert (folder / "profiles/slurm/config.yaml").is_file()
    write_config(folder / "config/config.yaml", config())


@snakedeploy
@pytest.mark.long
def test_a_tag_is_deployed_into_an_empty_folder_and_gives_a_table_and_a_report(elsewhere, tmp_path):
    # As from the catalog, by git's and Snakemake's own ways; git alone takes another repository for the address.
    rewrite = f"url.{elsewhere.as_uri()}.insteadOf"
    there = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": rewrite, "GIT_CONFIG_VALUE_0": ADDRESS}
    deploy(ADDRESS, tmp_path, "--tag", "v0.1.0", **there)
    assert (
        'github("somebody/ngw", path="workflow/Snakefile", tag="v0.1.0")'
        in (tmp_path / "workflow/Snakefile").read_text()
    )
    done = snakemake(tmp_path, **there)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ridge" in (tmp_path / TABLE).read_text()
    done = snakemake(tmp_path, "--report", "report.html", **there)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Retrieval" in (tmp_path / "report.html").read_text()


@snakedeploy
def test_a_folder_is_deployed_with_its_path_mended(elsewhere, tmp_path):
    deploy(str(elsewhere), tmp_path, "--tag", "v0.1.0")
    edit(tmp_path / "workflow/Snakefile", '"workflow/Snakefile"', f'"{elsewhere}/workflow/Snakefile"')
    done = snakemake(tmp_path, "--dry-run", PYTHONPATH=str(elsewhere))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^retrieval +[12]$", done.stdout + done.stderr, re.MULTILINE)


@pytest.mark.long
def test_a_module_has_another_workflow_s_config_and_rules_beside_its_own(tmp_path):
    (tmp_path / "Snakefile").write_text(block("from ngw.project"))
    write_config(tmp_path / "config.yaml", {"mine": 1, "alignment": config()})
    lint = snakemake(tmp_path, "--lint")  # environments and images are given to the module's own rules alone
    assert re.findall(r"^Lints for rule (\w+)", lint.stdout + lint.stderr, re.MULTILINE) == ["best"]
    done = snakemake(tmp_path)  # the main workflow's default target
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results/best.txt").read_text().count("\n") == 1
    assert "ngw" in (tmp_path / TABLE).read_text()


def outside(folder: Path, values: dict) -> None:
    """A study with the page's baseline, as the page has it."""
    done = run(folder.parent, sys.executable, "-m", "ngw", "init", str(folder))
    assert done.returncode == 0, done.stderr
    (folder / "rules").mkdir()
    (folder / "rules/my_baseline.smk").write_text(block("RUN ="))
    (folder / "my_baseline.py").write_text(block("import sys"))
    with open(folder / "Snakefile", "a") as file:
        file.write('\n\ninclude: "rules/my_baseline.smk"\n')
    values["methods"]["my-baseline"] = {"kind": "outside"}
    write_config(folder / "config.yaml", values)


def methods_of(folder: Path, table: str) -> set[str]:
    with open(folder / f"results/tables/{table}.csv", newline="") as file:
        return {row["method"] for row in csv.DictReader(file)}


@pytest.mark.long
def test_a_baseline_from_outside_is_a_rule_and_an_entry(tmp_path):
    folder, values = tmp_path / "study", config()
    values["tables"]["retrieval"]["methods"] = ["ngw", "my-baseline"]
    values["tables"]["identifiability"] = {"methods": ["my-baseline"], "pairs": 16}
    outside(folder, values)
    done = run(folder, sys.executable, "-m", "ngw", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in ("retrieval", "efficiency", "identifiability"):
        assert "my-baseline" in methods_of(folder, table), table
    (record,) = folder.glob("results/runs/**/my-baseline/**/metrics/retrieval.json")
    assert io.read_json(record)["cost"]["train_seconds"] > 0
    again = run(folder, sys.executable, "-m", "ngw", "run", "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.long
def test_a_baseline_from_outside_has_a_row_in_every_table(tmp_path):
    folder = tmp_path / "study"
    values = yaml.safe_load((ROOT / "tests/config.yaml").read_text(encoding="utf-8"))
    values["run"] |= {"pairs": [16], "unpaired": ["shared", "foreign"]}
    tables, name = values["tables"], "my-baseline"
    tables["retrieval"] = {"methods": ["ngw", name]}
    tables["classification"] = {"methods": [name], "sets": ["scenes-places"]}
    tables["identifiability"]["methods"] = tables["generation"]["methods"] = [name]
    tables["ablations"]["vary"] = [{"method": name, "option": "setting", "values": ["shared", "foreign"]}]
    fusions = [f"ngw-fusion~aligner={name}"]
    tables["vqa"] |= {"fusions": fusions, "curve": fusions, "examples": fusions}
    outside(folder, values)
    done = run(folder, sys.executable, "-m", "ngw", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in ("retrieval", "efficiency", "classification", "identifiability", "generation"):
        assert name in methods_of(folder, table), table
    assert name in (folder / "results/tables/ablations.csv").read_text()
    assert name in (folder / "results/tables/vqa.csv").read_text()


def test_rules_without_their_package_say_what_to_install(elsewhere, tmp_path):
    block_it = tmp_path / "sitecustomize.py"  # the package is nowhere, as far as Python knows
    block_it.write_text(
        "import sys\nclass Gone:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'ngw':\n            raise ModuleNotFoundError('gone', name='ngw')\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    done = snakemake(elsewhere, "--dry-run", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert "pip install 'ngw[bench]' into the environment that runs Snakemake" in done.stdout + done.stderr


def test_a_clone_s_rules_are_refused_with_another_clone_s_package(elsewhere):
    done = snakemake(elsewhere, "--dry-run")  # PYTHONPATH has this checkout's package
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"expected the package beside these rules, in {elsewhere}, found the one in {ROOT}" in said
    assert f"put PYTHONPATH={elsewhere} before the command" in said
    own = snakemake(elsewhere, "--dry-run", "--configfile", "tests/config.yaml", PYTHONPATH=str(elsewhere))
    assert own.returncode == 0, own.stdout + own.stderr


def test_rules_of_another_version_than_the_package_are_refused(elsewhere, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(elsewhere, old, symlinks=True)
    shutil.rmtree(old / "ngw")  # rules alone, as they are deployed
    edit(old / "rules/common.smk", "import json", "# older\nimport json")
    done = snakemake(old, "--dry-run", "--snakefile", "workflow/Snakefile")
    assert done.returncode != 0
    assert f"expected the rules of the package, 0.1.0 in {ROOT}" in done.stdout + done.stderr
