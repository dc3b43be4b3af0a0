"""Everything that the pages name exists: modules, functions, files, stages, links between pages."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ngw.cli import stages as stages_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
FILE = re.compile(r"`((?:ngw|tests|rules|docs|examples|benchmarks|profiles|workflow|envs)/[\w./-]+\.\w+)`")
OWN = re.compile(r"/(?:my_\w+|mine)\.")  # files that a reader is to write
DOTTED = re.compile(r"`(ngw(?:\.\w+)+)`")
STAGE = re.compile(r"(?:python -m ngw|`ngw) ([a-z][a-z-]+)")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_files_that_a_page_names_are_there(page):
    missing = [name for name in FILE.findall(page.read_text()) if not (ROOT / name).is_file() and not OWN.search(name)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_links_of_a_page_lead_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link.split("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_modules_and_functions_that_a_page_names_are_there(page):
    for name in set(DOTTED.findall(page.read_text())):
        parts = name.split(".")
        for k in range(len(parts), 0, -1):  # the longest part that is a module, then its attributes
            try:
                found = importlib.import_module(".".join(parts[:k]))
            except ModuleNotFoundError:
                continue
            for attribute in parts[k:]:
                found = getattr(found, attribute)
            break


def test_the_stages_that_pages_name_exist():
    stages = set(stages_of())
    named = {name for page in PAGES for name in STAGE.findall(page.read_text())}
    assert named - stages == set()
    assert len(named) > 3


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("[!i]*.md")), ids=lambda page: page.stem)
def test_a_decision_has_context_choice_evidence_and_date_and_is_listed(page):
    text = page.read_text(encoding="utf-8")
    assert re.match(r"# .+\n\n\*\d+ .*20\d\d", text)
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", text, re.MULTILINE)
    assert parts[:3] == ["Context", "Choice", "Evidence"]
    assert f"]({page.name})" in (ROOT / "docs/decisions/index.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The pages as `make docs` builds them: a broken link ends it."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs isn't installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]  # not --quiet: it isn't strict then
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # `strict` in mkdocs.yml
    return folder


def test_the_site_has_every_page(site):
    pages = {page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= {page.relative_to(site).with_suffix("") for page in site.rglob("*.html")}


def test_a_page_asks_no_network_for_anything(site):
    loaded = re.compile(r"""<(?:(?:script|img|iframe)[^>]* src|link[^>]* href)=["']?(https?:[^"' >]+)""")
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page
    for style in (site / "assets").rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:", style.read_text(encoding="utf-8")), style


def shown(address: str) -> str:
    """A page as a browser has it after its scripts, none of which complained."""
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command = [*browser, "--virtual-time-budget=10000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_sets_every_equation(site):
    page = site / "explanation/method.html"
    written = page.read_text(encoding="utf-8").count('class="arithmatex"')
    text = shown(page.as_uri())
    assert written > 20
    assert text.count('class="katex-mathml"') == written
    assert "katex-error" not in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_the_search_finds_a_page_from_the_disk(site):
    text = shown(f"{(site / 'index.html').as_uri()}?q=disjoint")
    found = re.findall(r'<a href="([^"?#]+)[^"]*" class="md-search-result__link"', text)
    assert any(address.endswith("explanation/disjoint.html") for address in found)
