"""The config's section `tables.classification`: the runs it needs, refusals, and the reruns after a change."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from tiny_config import SCHEMA, refused, tiny
from tiny_repository import edit, scheduled

from ngw.config import Config
from ngw.config.batches import Batches
from ngw.config.jobs import Jobs

TABLE = ("tables", "classification")


def changed(**keys):
    """The tiny config with other values in the section."""
    values = tiny()
    values["tables"]["classification"] |= keys
    return values


def test_the_runs_are_those_of_the_retrieval_table():
    config = Config(tiny(), SCHEMA)
    cells = config.classification.cells()
    retrieval = Batches(config).records()["retrieval"]
    assert [(c["method"], c["pairs"], c["unpaired"]) for c in cells] == [
        ("ngw", "16", "shared"), ("ngw", "16", "disjoint"), ("ngw", "all", "none"),
        ("cca", "16", "shared"), ("cca", "16", "disjoint"), ("cca", "all", "none"),
        ("random", "0", "shared"), ("random", "0", "disjoint"), ("oracle", "all", "none"),
        ("joint", "all", "none"),
    ]  # fmt: skip
    files = Batches(config).records()["classification"]
    assert {file.replace("classification.json", "retrieval.json") for file in files} <= set(retrieval)
    assert config.classification.probes("json") == [
        "results/probes/scenes-places/effnet-lite0.json", "results/probes/scenes-nouns/effnet-lite0.json"
    ]  # fmt: skip
    assert config.classification.of_sets("a/{set}/{vision}") == ["a/scenes-places/{vision}", "a/scenes-nouns/{vision}"]


def test_only_and_probe_leave_out_and_null_leaves_all_out():
    some = Config(changed(only=[{"method": "ngw", "pairs": ["all"]}], probe=["scenes-nouns"]), SCHEMA).classification
    assert [cell["pairs"] for cell in some.cells() if cell["method"] == "ngw"] == ["all"]
    assert some.probes("parquet") == ["results/probes/scenes-nouns/effnet-lite0.parquet"]
    assert Config(changed(probe=[]), SCHEMA).classification.probes("json") == []
    none = Config(tiny(*TABLE, value=None), SCHEMA)
    assert none.classification.cells() == none.classification.sets == []
    assert "classification" not in Batches(none).records()


def test_one_data_set_of_the_run_aligns():
    values = changed(aligned_on="other")
    values["datasets"]["other"] = values["datasets"]["scenes"]
    values["run"]["datasets"] = ["scenes", "other"]
    assert {cell["dataset"] for cell in Config(values, SCHEMA).classification.cells()} == {"other"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sets": ["scenes-place"]}, ["tables.classification.sets", "Did you mean 'scenes-places'?"]),
        ({"sets": ["scenes-unseen"]}, ["expected data sets with classes, found 'scenes-unseen'", "give it classes"]),
        ({"sets": []}, ["tables.classification.sets: expected 1 entries or more"]),
        ({"methods": ["ngw", "cac"]}, ["tables.classification.methods: method 'cac'", "Did you mean 'cca'?"]),
        ({"methods": ["ngw~epsilon=0.3"]}, ["a method of tables.retrieval, found 'ngw~epsilon=0.3'"]),
        ({"aligned_on": "scenes-unseen"}, ["aligned_on: expected one of run.datasets", "found 'scenes-unseen'"]),
        ({"aligned_on": "scense"}, ["tables.classification.aligned_on", "Did you mean 'scenes'?"]),
        ({"probe": ["scenes"]}, ["tables.classification.probe: set 'scenes'"]),
        ({"only": [{"method": "ridge"}]}, ["only[0].method: expected a method of the table, found 'ridge'"]),
        ({"only": [{"method": "ngw", "pairs": [17]}]}, ["pairs: expected budgets at which 'ngw' runs, found 17"]),
        ({"only": [{"method": "ngw", "seeds": [3]}]}, ["only[0].seeds: expected seeds of the table, found 3"]),
        ({"templates": ["{}"]}, ["unknown key 'templates'"]),
    ],
)  # fmt: skip
def test_a_section_that_does_not_fit_is_refused(keys, words):
    refused(changed(**keys), *words)


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        (["a photo"], "template 0: expected {}"),
        ([""], "template 0: expected {}"),
        (["{}", "{}"], "template '{}': expected once"),
        ("a {}", "expected a list such as"),
    ],
)
def test_templates_that_are_none_are_refused_with_their_data_set(templates, words):
    refused(tiny("datasets", "scenes-places", "templates", value=templates), "datasets.scenes-places", words)
    refused(tiny("datasets", "scenes", "templates", value=["{}"]), "datasets.scenes: ", "since it has no classes")


def test_aligning_on_what_is_classified_is_refused():
    values = changed()
    values["run"]["datasets"] = ["scenes-places", "scenes"]
    values["run"]["foreign"] = {"scenes": "scenes-elsewhere", "scenes-places": "scenes-elsewhere"}
    refused(values, "sets: expected data that methods aren't fitted on, found 'scenes-places'")


def test_texts_that_are_known_by_ids_can_be_no_prompts():
    values = changed()
    values["encoders"]["mine"] = {
        "kind": "precomputed",
        "modality": "text",
        "file": "t.npy",
        "ids": "i.npy",
        "width": 4,
    }
    values["run"]["encoder_pairs"] = [["effnet-lite0", "mine"]]
    refused(values, "expected text encoders that read prompts, found 'mine', which knows texts by their ids")


def test_templates_are_no_option_of_the_data_stage():
    jobs, wildcards = Jobs(Config(tiny(), SCHEMA)), SimpleNamespace(dataset="scenes-places")
    assert "templates" not in json.loads(jobs.dataset_spec(wildcards))
    assert jobs.templates(wildcards) == """--templates '["a picture of a {}.", "{}"]'"""
    assert jobs.templates(SimpleNamespace(dataset="scenes-nouns")) == ""


@pytest.mark.workflow
def test_other_templates_rerun_prompts_and_classification_alone(copy):
    edit(copy / "tests/config.yaml", '["a picture of a {}.", "{}"]', '["one {}."]')
    assert scheduled(copy) == {
        "encode_classes": {""},
        "classification": {"all~"},
        "joint_classification": {"joint"},
        "classification_tables": {""},
        "classification_figures": {""},
    }


@pytest.mark.workflow
def test_a_finished_run_has_classified_both_sets_by_every_run(finished):
    tables = finished / "results/tables"
    text = (tables / "classification.md").read_text(encoding="utf-8")
    for name in ("scenes-places (16 test images, 16 classes)", "scenes-nouns (15 test images, 15 classes)"):
        assert f"{name}, effnet-lite0 and minilm-l6, aligned on scenes" in text
    for row in ("ngw", "cca", "*random*", "*oracle*", "joint", "*linear-probe*", "*chance*"):
        assert f"| {row} |" in text
    assert (tables / "classification-confusions.csv").read_text(encoding="utf-8").count("\n") == 1 + 16 + 15
    page = (finished / "results/index.html").read_text(encoding="utf-8")
    assert "Zero-shot classification" in page
    assert "figures/classification.scenes-nouns.effnet-lite0.minilm-l6.png" in page
