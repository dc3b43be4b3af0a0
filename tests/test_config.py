"""The config: what is wrong in it is told in one sentence, with the entry, what was expected, and the nearest name."""

from __future__ import annotations

import pytest
from snakemake.utils import update_config
from tiny_config import ROOT, SCHEMA, refused, tiny

from ngw import config, methods
from ngw.config import Config
from ngw.errors import InputError


@pytest.mark.parametrize("file", ["config.yaml", "tests/config.yaml"])
def test_the_configs_of_this_repository_are_good(file):
    Config(config.read(ROOT / file), SCHEMA)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_good_on_top_of_the_default_config(file):
    values = config.read(ROOT / "config.yaml")
    update_config(values, config.read(file))  # as `--configfile` does
    assert Config(values, SCHEMA).grid()["methods"]


def test_every_key_of_the_schema_is_described_and_typos_are_caught_everywhere():
    def walk(schema, name):
        for key, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{name}.{key}"
            walk(part, f"{name}.{key}")
        if schema.get("type") == "object" and "properties" in schema and "kind" not in schema["properties"]:
            assert schema.get("additionalProperties") is False, name

    walk(config.read(SCHEMA), "top")


# Misspelled: keys, methods, encoders, data sets, options.


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["runs"], {}, ["top level", "unknown key 'runs'", "Did you mean 'run'?", "Known: datasets, encoders"]),
        (["run", "sedes"], [0], ["run: ", "unknown key 'sedes'", "Did you mean 'seeds'?"]),
        (["tables", "retrival"], {}, ["tables: ", "unknown key 'retrival'", "Did you mean 'retrieval'?"]),
        (["run", "datasets"], ["scene"], ["run.datasets", "data set 'scene'", "Did you mean 'scenes'?"]),
        (["run", "encoder_pairs"], [["efnet-lite0", "minilm-l6"]], ["encoder 'efnet-lite0'", "mean 'effnet-lite0'?"]),
        (["tables", "retrieval", "methods"], ["nwg"], ["tables.retrieval.methods", "method 'nwg'", "mean 'ngw'?"]),
        (["tables", "retrieval", "methods"], ["nwg~dims=8"], ["method 'nwg'", "Did you mean 'ngw'?"]),
        (["methods", "x"], {"kind": "rigde"}, ["methods.x", "method kind 'rigde'", "mean 'ridge'?", "Known: cca"]),
        (["encoders", "x"], {"kind": "eficientnet-lite"}, ["encoders.x", "encoder kind", "mean 'efficientnet-lite'?"]),
        (["encoders", "effnet-lite0"], {"kind": "eficientnet-lite"}, ["encoders.effnet-lite0", "Did you mean"]),
        (["datasets", "x"], {"kind": "coc"}, ["datasets.x", "data set kind 'coc'", "Did you mean 'coco'?"]),
        (["methods", "ngw"], {"kind": "warp", "epsilno": 1}, ["methods.ngw", "'epsilno'", "Did you mean 'epsilon'?"]),
        (["methods", "ngw"], {"kind": "warp", "cost": "cac"}, ["methods.ngw", "cost 'cac'", "Did you mean 'cca'?"]),
        (["encoders", "x"], {"kind": "efficientnet-lite", "varient": "a"}, ["'varient'", "Did you mean 'variant'?"]),
        (["datasets", "x"], {"kind": "scenes", "size": {}}, ["datasets.x", "'size'", "Did you mean 'sizes'?"]),
    ],
)
def test_a_misspelled_name_suggests_the_nearest(path, value, words):
    refused(tiny(*path, value=value), *words)


def test_a_misspelled_option_of_a_derived_method():
    refused(tiny("tables", "retrieval", "methods", value=["ngw~epsilno=1"]), "ngw~epsilno=1", "mean 'epsilon'?")
    refused(tiny("tables", "retrieval", "methods", value=["ngw~dims"]), "'ngw~dims': expected option=value", "'dims'")


# Wrong values.


@pytest.mark.parametrize("epsilon", [0, -0.1])
def test_epsilon_is_positive(epsilon):
    values = tiny("methods", "ngw", value={"kind": "warp", "epsilon": epsilon})
    refused(values, "methods.ngw", "epsilon is positive", f"not {epsilon}")


def test_epsilon_of_a_derived_method_is_positive():
    refused(tiny("tables", "retrieval", "methods", value=["ngw~epsilon=0"]), "ngw~epsilon=0", "positive", "not 0")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("epsilon", "1e-3", ["epsilon: expected a number, found '1e-3'", "YAML reads 1e-3 as text, write 1.0e-3"]),
        ("epsilon", None, ["epsilon: expected a number, found None"]),
        ("epsilon", True, ["epsilon: expected a number, found True"]),
        ("steps", 1.5, ["steps: expected a whole number, found 1.5"]),
        ("pinned", "no", ["pinned: expected true or false, found 'no'"]),
        ("cost", 3, ["cost: expected a text, found 3"]),
        ("whiten", [1], ["whiten: expected a number or null, found [1]"]),
        ("map", "mpl", ["map is linear, orthogonal, mlp or residual, not 'mpl'"]),
    ],
)
def test_an_option_of_another_type(option, value, words):
    refused(tiny("methods", "ngw", value={"kind": "warp", option: value}), "methods.ngw: 'warp'", *words)


def test_options_of_the_right_type_pass():
    for options in ({"epsilon": 1}, {"whiten": None}, {"whiten": 2}, {"pinned": False}, {"map": "mlp"}):
        methods.build({"kind": "warp", **options})


def test_a_budget_larger_than_the_train_split():
    words = ["run.pairs", "a budget of 49 is larger than the train split of 'scenes', 48 pairs", "sizes.train"]
    refused(tiny("run", "pairs", value=[0, 49, "all"]), *words)
    Config(tiny("run", "pairs", value=[0, 48, "all"]), SCHEMA)


def test_more_captions_an_image_give_more_pairs():
    values = tiny("run", "pairs", value=[96, "all"])
    refused(values, "a budget of 96")
    values["run"]["captions"] = 2
    Config(values, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["run", "pairs"], [-1], ["run.pairs[0]: expected 0 or more, or 'all', found -1"]),
        (["run", "pairs"], [3, "al"], ["run.pairs[1]: expected a value of type integer, or 'all', found \"al\""]),
        (["run", "pairs"], [], ["run.pairs: expected 1 entries or more, found []"]),
        (["run", "seeds"], ["3"], ['run.seeds[0]: expected a value of type integer, found "3"']),
        (["run", "seeds"], [1, 1], ["run.seeds: expected each entry once, found [1, 1]"]),
        (["run", "captions"], 0, ["run.captions: expected 1 or more, found 0"]),
        (["run", "encoder_pairs"], [["effnet-lite0"]], ["run.encoder_pairs[0]: expected 2 entries or more"]),
        (["run", "encoder_pairs"], [["minilm-l6", "effnet-lite0"]], ["[vision, text]", "a text encoder", "exchange"]),
        (["methods", "NGW"], {"kind": "warp"}, ["methods: expected a name in lower case with single dashes", '"NGW"']),
        (["methods", "ngw"], {"epsilon": 1}, ["methods.ngw: expected the key 'kind', found {\"epsilon\": 1}"]),
        (["methods", "ngw"], None, ["methods.ngw: expected a value of type object, found null"]),
        (["tables"], {}, ["tables: expected the key 'retrieval', found {}"]),
        (["datasets", "x"], {"kind": "coco"}, ["datasets.x", "expected the option 'root', found none; add it"]),
        (["datasets", "scenes", "sizes"], {"train": 5}, ["datasets.scenes", "expected the splits", "found ['train']"]),
        (["datasets", "scenes", "sizes"], [1], ["datasets.scenes", "expected the splits", "found [1]"]),
        (["datasets", "scenes", "sizes", "train"], "48", ["datasets.scenes", "train: expected a number", "found '48'"]),
    ],
)
def test_a_value_that_does_not_fit(path, value, words):
    refused(tiny(*path, value=value), *words)


@pytest.mark.parametrize(
    ("text", "found"), [(None, "no such config file"), ("a: [", "expected YAML"), ("- a\n", "expected a mapping")]
)
def test_a_config_file_that_is_none(tmp_path, text, found):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"config\.yaml: {found}") as caught:
        config.read(path)
    assert "\n" not in str(caught.value)
