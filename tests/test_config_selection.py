"""The config's selections must exist: names (derived ones too), budgets and seeds, in every place."""

from __future__ import annotations

import pytest
from tiny_config import SCHEMA, refused, tiny

from ngw.config import Config

ONLY = ("tables", "retrieval", "only")


@pytest.mark.parametrize(
    ("some", "words"),
    [
        ({"method": "ridge~x=1"}, ["only[1].method: expected a method of the table, found 'ridge~x=1'", "'ridge'?"]),
        ({"method": "ngw~map=residaul"}, ["only[1].method", "Did you mean 'ngw~map=residual'?"]),
        ({"method": "cac"}, ["only[1].method", "Did you mean 'cca'?"]),
        ({"method": "cca", "pairs": [17]}, ["only[1].pairs: expected budgets of run.pairs at which 'cca' runs"]),
        ({"method": "cca", "pairs": [0]}, ["only[1].pairs: expected budgets of run.pairs at which 'cca' runs"]),
        ({"method": "random", "pairs": ["all"]}, ["only[1].pairs", "'random' runs, found 'all'", "Known: 0."]),
        ({"method": "cca", "pairs": []}, ["only[1].pairs: expected 1 entries or more"]),
        ({"method": "cca", "seeds": [1]}, ["only[1].seeds: expected seeds of the table, found 1"]),
        ({"method": "joint"}, ["only[1].method: expected each once, found 'joint' again"]),
    ],
)  # fmt: skip
def test_what_runs_at_some_budgets_and_seeds_is_there(some, words):
    values = tiny()
    values["tables"]["retrieval"]["only"] = [{"method": "joint", "pairs": ["all"]}, some]
    values["tables"]["retrieval"]["methods"].remove("distillation-joint")
    refused(values, "config: tables.retrieval.", *words)


@pytest.mark.parametrize(
    ("some", "words"),
    [
        ({"fusion": "conact", "seeds": [0]}, ["only[0].fusion", "Did you mean 'concat'?"]),
        ({"fusion": "ngw-fusion~aligner=cac", "seeds": [0]}, ["Did you mean 'ngw-fusion~aligner=cca'?"]),
        ({"fusion": "concat~dims=16", "seeds": [0]}, ["expected a fusion of the table, found 'concat~dims=16'"]),
        ({"fusion": "concat", "seeds": [3]}, ["only[0].seeds: expected seeds of the table, found 3"]),
    ],
)
def test_a_fusion_that_runs_at_some_seeds_is_there(some, words):
    refused(tiny("tables", "vqa", "only", value=[some]), "config: tables.vqa.only[0].", *words)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tables", "retrieval", "methods"), ["ngw~epsilom=0.1"]),
        (("tables", "identifiability", "methods"), ["ngw~epsilom=0.1"]),
        (("tables", "generation", "methods"), ["ngw~epsilom=0.1"]),
        (("tables", "ablations", "vary"), [{"method": "ngw~epsilom=0.1", "option": "noise", "values": [0.5]}]),
        (("tables", "ablations", "vary"), [{"method": "ngw", "option": "epsilom", "values": [0.5]}]),
        (("tables", "ablations", "full", "vary"), [{"method": "ngw", "option": "epsilom", "values": [0.5]}]),
        (("tables", "ablations", "vary", 0, "values"), [{"epsilon": 0.5, "epsilom": 1}]),
        (("fusions", "ngw-fusion", "aligner"), "ngw~epsilom=0.1"),
    ],
)
def test_a_misspelled_option_of_a_derived_method(path, value):
    refused(tiny(*path, value=value), "config: ", "no option 'epsilom'", "Did you mean 'epsilon'?")


@pytest.mark.parametrize("change", ["epsilon={", "epsilon=", "epsilon=[1]", "=1", "epsilon=a/b", "epsilon=1\n", ""])
def test_a_derived_name_is_made_of_options_and_values(change):
    refused(
        tiny("tables", "retrieval", "methods", value=[f"ngw~{change}"]), "config: ", "expected option=value", "'ngw~"
    )


@pytest.mark.parametrize("value", ["2024-13-45", "-"])
def test_a_value_in_a_derived_name_that_yaml_reads_as_something_else(value):
    refused(tiny("tables", "retrieval", "methods", value=[f"ngw~epsilon={value}"]), f"ngw~epsilon={value}", "expected")


# Budgets.


def test_a_budget_too_small_for_every_method():
    refused(
        tiny("run", "pairs", value=[0, 2, 16, "all"]), "run.pairs: expected budgets at which some method", "found 2"
    )
    Config(tiny("run", "pairs", value=[0, 3, 16, "all"]), SCHEMA)  # ridge needs three


def test_a_method_that_no_budget_is_enough_for():
    values = tiny("run", "pairs", value=[0, 3])
    values["tables"]["retrieval"] |= {"methods": ["ridge", "cca"], "only": []}
    refused(values, "run.pairs: expected a budget of 4 or more, which method 'cca' of tables.retrieval needs", "[0, 3]")


@pytest.mark.parametrize("table", ["identifiability", "ablations", "vqa", "generation"])
def test_a_table_with_fewer_pairs_than_a_method_needs(table):
    pairs = [3] if table == "generation" else 3
    refused(tiny("tables", table, "pairs", value=pairs), f"tables.{table}.pairs: expected 4 pairs or more", "'ngw")


def test_a_student_has_as_many_pairs_as_its_teacher_needs():
    values = tiny()
    values["tables"]["retrieval"]["only"].pop()
    refused(
        values, "run.pairs: expected 20 pairs or more, which method 'joint', from which 'distillation-joint' learns"
    )
