"""A release beside its code: the config's page, the catalog's file, citation, changelog, CI, packages."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from tiny_repository import tiny_repository

import ngw
from ngw.cli import stages

ROOT = Path(__file__).parents[1]


def need(module: str):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module.replace('_', '-')} isn't installed: pip install '.[dev]'")


def python(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_page_of_the_config_is_that_of_the_schema():
    page = runpy.run_path(str(ROOT / "docs/config.py"))["page"]()
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == page, "run python docs/config.py"


def test_the_page_of_the_command_line_is_that_of_the_stages():
    page = runpy.run_path(str(ROOT / "docs/cli.py"))["page"]()
    assert (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8") == page, "run python docs/cli.py"
    assert set(stages()) == set(re.findall(r"^### ([\w-]+)$", page, re.MULTILINE))


def test_every_key_of_the_default_config_stands_on_the_page():
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    keys, free = set(re.findall(r"`([\w.\[\]]+)`\*{0,2} \|", page)), ("datasets", "encoders", "methods", "fusions")

    def check(node, at):
        for key, value in node.items() if isinstance(node, dict) else ():
            name = key if f"{at}{key}" in keys else "NAME"
            assert name == key or at in (*(f"{one}." for one in free), "scorers.", "run.foreign."), f"{at}{key}"
            if (
                at not in [f"{one}." for one in free]
                and at != "run.foreign."
                and f"{at}{name}" != "scorers.NAME.training"
            ):
                check(value, f"{at}{name}.")

    check(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")), "")


def test_the_config_of_the_catalog_is_the_one_at_the_top():
    assert (ROOT / "config/config.yaml").samefile(ROOT / "config.yaml")


def test_the_catalog_is_told_how_the_workflow_is_used():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert usage["software-stack-deployment"] == {"conda": True, "apptainer": True, "apptainer+conda": False}
    assert usage["report"] is True
    for file in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / file).is_file()


def test_the_version_is_the_package_s_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == ngw.__version__
    assert f"## {ngw.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_ci_calls_make_and_publishes_the_site():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == ["make test", "make docs quick", "cp results/index.html site/report.html"]
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"test", "docs", "quick"} <= set(targets)


@need("check_jsonschema")
@pytest.mark.parametrize(
    ("schema", "file"), [("github-workflows", ".github/workflows/ci.yml"), ("citation-file-format", "CITATION.cff")]
)
def test_a_file_of_others_formats_is_valid(schema, file, tmp_path):
    done = python("check_jsonschema", "--builtin-schema", f"vendor.{schema}", file)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / file).read_text() + "nonsense: 1\n")
    assert python("check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(broken)).returncode == 1


@need("build")
@need("twine")
def test_both_packages_are_built_without_a_warning_and_pass_twine(tmp_path):
    copy, out = tiny_repository(tmp_path / "ngw"), tmp_path / "dist"
    done = python("build", "--no-isolation", "--outdir", str(out), ".", cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    wheel, source = out / f"ngw-{ngw.__version__}-py3-none-any.whl", out / f"ngw-{ngw.__version__}.tar.gz"
    assert "ngw/project/workflow/Snakefile" in zipfile.ZipFile(wheel).namelist()  # built from the source package
    with tarfile.open(source) as archive:
        assert f"ngw-{ngw.__version__}/rules/common.smk" in archive.getnames()
    done = python("twine", "check", "--strict", str(wheel), str(source))
    assert done.returncode == 0, done.stdout
