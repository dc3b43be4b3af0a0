"""Every kind of table on the page: its captions, heads and settings, and the way from its rows to their runs."""

from __future__ import annotations

import re

import pytest
import test_report_ablations
import test_report_classification
import test_report_generation
import test_report_identifiability
import test_report_vqa
from retrieval_runs import runs as of_retrieval

from ngw.report import page
from ngw.report.frames import read_csv
from ngw.report.records import cell
from ngw.report.runs import Run
from ngw.report.summary import SOURCES, Summary, summary
from ngw.report.tables import ablations, identifiability, retrieval

FOUND = "smallest detectable difference"
ROWS = {  # methods whose rows lead to their runs, and rows that have none
    "retrieval": ({"ngw", "ngw~epsilon=0.1", "cca", "ridge", "random", "oracle"}, {FOUND}),
    "efficiency": ({"ngw", "ngw~epsilon=0.1", "cca", "ridge", "random", "oracle"}, set()),
    "classification": (
        {"ngw", "cca", "random"},
        {"linear-probe", "linear-probe (all pairs)", "chance", "chance (0 pairs)", "cat", "cow | bull", "dog", FOUND},
    ),
    "vqa": ({"ngw-fusion", "concat", "image-only", "prior"}, {FOUND}),
    "generation": ({"ngw", "cca", "unaligned", "true-latents"}, set()),
    "ablations": ({"ngw", "ngw~epsilon=0.01", "ngw~cost=raw"}, set()),
    "identifiability": ({"a", "b", "random"}, set()),
}


@pytest.fixture(scope="module")
def built() -> tuple[dict[str, str], dict[str, list]]:
    """The files of every table of the small runs of its own tests, and the records of these runs."""
    varied, ranks = test_report_ablations.runs()
    classified, captioned = test_report_classification.runs(), test_report_generation.runs()
    answered, kept = test_report_vqa.runs(), test_report_identifiability.runs()
    searched, expected = of_retrieval(), [cell(record) for record, _ in of_retrieval()]
    probes = [test_report_classification.probe()]
    files = retrieval.build([r for r, _ in searched], {cell(r): t for r, t in searched}, expected, 50)
    files |= test_report_classification.built(classified, probes) | test_report_vqa.built(answered)
    files |= test_report_generation.built(captioned)
    files |= ablations.build(varied, ranks, list(ranks), test_report_ablations.GROUPS)
    files |= identifiability.build(kept, test_report_identifiability.expected())
    tables = {"retrieval": searched, "classification": classified, "vqa": answered, "captions": captioned}
    records = {table: [record for record, _ in some] for table, some in tables.items()}
    return files, {**records, "ablations": varied, "identifiability": kept}


@pytest.fixture(scope="module")
def runs(built) -> dict[str, list[Run]]:
    return {table: [Run(f"{table}/{k}", r) for k, r in enumerate(some)] for table, some in built[1].items()}


@pytest.fixture(scope="module")
def text(built, runs) -> str:
    documents = {name.removesuffix(".md"): text for name, text in built[0].items() if name.endswith(".md")}
    names = {"ablations": ablations.methods(read_csv(built[0]["ablations.csv"]))}
    return page.page("t", {}, "", page.sections(documents, {}, runs, names), Summary({}, {}, []))


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_of_methods_lead_to_their_runs(text, name):
    section = text.split(f'<section id="{name}">')[1].split("</section>")[0]
    heads = re.findall(r'<th scope="row">(.*?)</th>', section)
    methods, others = ROWS[name]
    assert set(re.findall(r'<tr [^>]*data-method="([^"]*)"', section)) == methods
    assert {re.sub("<[^>]*>", "", head) for head in heads if "<a " not in head} == others
    for anchor in re.findall('href="#([^"]*)"', "".join(heads)):
        assert f'<details id="{anchor}"' in text


def test_every_table_has_a_caption_and_says_its_setting(text):
    captions = re.findall(r"<table>\s*<caption[^>]*><strong>(.*?)</strong></caption>", text)
    assert len(captions) == text.count("<table>") > 20
    blocks = re.findall(r'class="block"(?: data-setting="(\w+)")?>.*?<strong>(.*?)</strong>', text, re.DOTALL)
    assert [bool(setting) for setting, _ in blocks] == ["unpaired rows" in caption for _, caption in blocks]
    assert {"shared", "disjoint"} <= {setting for setting, _ in blocks}
    assert re.search(r'<tr data-method="ngw" data-setting="disjoint">', text)  # in a table of both settings


def test_the_summary_takes_the_findings_of_each_task_and_all_runs(built, runs):
    frames = {name: read_csv(built[0][f"{name}.csv"]) for name in SOURCES if f"{name}.csv" in built[0]}
    found = summary(runs, frames)
    tasks = [text.split(" with ")[0] for text in found.findings["Largest leads"]]
    assert list(dict.fromkeys(tasks)) == ["Retrieval", "Classification", "Question answering"]
    assert found.ran["Fusions"] == "ngw-fusion, concat, image-only, prior"
    assert found.ran["Runs"].endswith("6 for ablations, 6 for identifiability")
    assert "ngw~cost=raw" not in found.ran["Methods"]
    # NGW's are 4 of retrieval, 6 of classification, 2 of generation, of which one is retrieval's, and 2 of ablations.
    assert found.failed == [
        f"All {sum(map(len, runs.values()))} records of the config's runs exist.",
        "ngw: 1 of 13 runs did not converge (30 pairs).",
        "ngw~cost=raw: 2 of 2 runs did not converge (0 pairs, unpaired rows shared).",
    ]
