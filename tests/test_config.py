"""The config: what is wrong in it is told in one sentence, with the entry, what was expected, and the nearest name."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import sys
from pathlib import Path

import pytest
from snakemake.utils import update_config

from ngw import config, encoders, methods, registry
from ngw.config import Config
from ngw.errors import InputError

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def tiny(*path, value=None):
    """The tiny config, with another value in one place."""
    values = copy.deepcopy(config.read(ROOT / "tests" / "config.yaml"))
    if path:
        functools.reduce(lambda place, key: place[key], path[:-1], values)[path[-1]] = value
    return values


def refused(values, *words):
    """The one sentence with which a config is refused; it must hold all words."""
    with pytest.raises(InputError) as caught:
        Config(values, SCHEMA)
    message = str(caught.value)
    assert message.startswith("config: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


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


@pytest.mark.parametrize("epsilon", [0, -0.1, float("nan"), float("inf")])
def test_epsilon_is_positive(epsilon):
    values = tiny("methods", "ngw", value={"kind": "warp", "epsilon": epsilon})
    refused(values, "methods.ngw", "epsilon is a positive number, in units of the mean cost", f"not {epsilon}")


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
    refused(tiny("run", "pairs", value=[0, 49]), *words)
    Config(tiny("run", "pairs", value=[0, 48]), SCHEMA)


def test_more_captions_an_image_give_more_pairs():
    values = tiny("run", "pairs", value=[96])
    refused(values, "a budget of 96")
    values["run"]["captions"] = 2
    Config(values, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["run", "pairs"], [-1], ["run.pairs.0: expected 0 or more, or 'all', found -1"]),
        (["run", "pairs"], [3, "al"], ["run.pairs.1: expected a value of type integer, or 'all', found \"al\""]),
        (["run", "pairs"], [], ["run.pairs: expected 1 entries or more, found []"]),
        (["run", "seeds"], ["3"], ['run.seeds.0: expected a value of type integer, found "3"']),
        (["run", "seeds"], [1, 1], ["run.seeds: expected each entry once, found [1, 1]"]),
        (["run", "captions"], 0, ["run.captions: expected 1 or more, found 0"]),
        (["run", "encoder_pairs"], [["effnet-lite0"]], ["run.encoder_pairs.0: expected 2 entries or more"]),
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


# What the rules ask.


def test_budgets_at_which_a_method_runs():
    good = Config(tiny("run", "pairs", value=[0, 3, 16, "all"]), SCHEMA)
    assert good.budgets("random") == ["0"]
    assert good.budgets("oracle") == ["all"]
    assert good.budgets("ridge") == ["3", "16", "all"]
    assert good.budgets("ngw") == ["16", "all"]  # four pairs at least
    assert good.budgets("ngw-raw") == ["0"]


def test_a_derived_method_is_its_base_with_other_values():
    good = Config(tiny(), SCHEMA)
    assert good.method_spec("ngw~epsilon=0.1~map=mlp") == {**good.methods["ngw"], "epsilon": 0.1, "map": "mlp"}
    assert "epsilon" not in good.methods["ngw"]


def test_cells_are_every_run_of_the_table():
    grid = {
        "datasets": ["d"],
        "encoder_pairs": [["v", "t"]],
        "methods": {"a": ["0"], "b": ["3", "all"]},
        "seeds": [0, 1],
    }
    runs = [config.RUN.format(**cell) for cell in config.cells(grid)]
    assert len(set(runs)) == len(runs) == 6
    assert runs[0] == "results/runs/d/v__t/a/pairs0/seed0"


def test_a_method_may_run_at_some_budgets_and_seeds_alone():
    values = tiny()
    values["run"]["seeds"] = [0, 1]
    values["tables"]["retrieval"]["only"] = [{"method": "cca", "pairs": ["all"]}, {"method": "ridge", "seeds": [1]}]
    found = [(c["method"], c["pairs"], c["seed"]) for c in config.cells(Config(values, SCHEMA).grid())]
    assert [c for c in found if c[0] == "cca"] == [("cca", "all", 0), ("cca", "all", 1)]
    assert [c for c in found if c[0] == "ridge"] == [("ridge", "16", 1), ("ridge", "all", 1)]
    values["tables"]["retrieval"]["only"] = [{"method": "cka"}]
    with pytest.raises(InputError, match="'cka'"):
        Config(values, SCHEMA)


def test_pictures_are_compared_by_an_image_encoder_and_judged_by_unseen_data():
    values = tiny()
    values["tables"]["generation"]["images"]["network"] = "minilm-l6"
    refused(values, "expected an image encoder", "'minilm-l6'")
    values = tiny()
    values["scorers"]["scenes-clip"]["dataset"] = "scenes"
    refused(values, "expected data that no method sees", "'scenes'")
    values["scorers"]["scenes-clip"] = {}
    refused(values, "expected either a model or a dataset")


def test_a_method_of_raw_items_stands_in_no_table_of_maps():
    values = tiny()
    values["tables"]["identifiability"]["methods"] = ["ngw", "joint"]
    with pytest.raises(
        InputError, match=r"'joint' reads raw items: expected no table of maps, found it in tables\.ide"
    ):
        Config(values, SCHEMA)


def test_a_teacher_is_a_jointly_trained_model_of_the_config():
    values = tiny()
    values["methods"]["distillation-joint"]["teacher"] = "jiont"
    with pytest.raises(InputError, match=r"methods\.distillation-joint\.teacher: method 'jiont' is not.* mean 'joint'"):
        Config(values, SCHEMA)
    values["methods"]["distillation-joint"]["teacher"] = "cca"
    with pytest.raises(InputError, match="expected a jointly trained model, found 'cca'"):
        Config(values, SCHEMA)


def test_methods_that_merge_the_same_towers_share_them():
    values = tiny()
    averaging = values["methods"]["weight-averaging"]
    values["methods"] |= {"matched": averaging | {"align": "ot"}, "longer": averaging | {"steps": 9}}
    names = ["weight-averaging~weight=0.25", "matched", "longer", "weight-averaging"]
    values["tables"]["retrieval"]["methods"] += [name for name in names if name != "weight-averaging"]
    raw = Config(values, SCHEMA).raw
    assert {name: raw.towers(name) for name in names} == dict.fromkeys(names, "weight-averaging") | {"longer": "longer"}
    assert set(raw.averaged()) == set(names)


def test_staged_splits_the_selected_methods_in_two():
    good = Config(tiny(), SCHEMA)
    assert good.raw.names() == ["joint", "weight-averaging"]
    for name in good.selected():
        with_plan, without = (bool(re.fullmatch(good.staged(flag), name)) for flag in (True, False))
        assert (with_plan != without) == (name not in good.raw.names())
        assert with_plan == name.startswith("ngw")


def test_code_names_the_files_a_method_depends_on():
    files = [Path(file).name for file in Config(tiny(), SCHEMA).code("ridge")]
    assert "ridge.py" in files
    assert "base.py" not in files
    assert "cca.py" not in files


def test_a_component_file_must_define_exactly_one(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path)])
    (tmp_path / "two_of_them.py").write_text(
        "from ngw.encoders import Encoder\nclass A(Encoder): pass\nclass B(Encoder): pass\n"
    )
    with pytest.raises(InputError, match=r"two_of_them\.py: expected one subclass of Encoder, found \['A', 'B'\]"):
        encoders.build({"kind": "two-of-them"})
    sys.modules.pop("ngw.encoders.two_of_them")


@pytest.mark.parametrize("written", [False, True], ids=["types", "text"])
@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [(int, 1, True), (int, 1, 1.0), (float | None, None, "1"), (float | None, 1, False), (bool, True, 1), (str, "", 1)],
)
def test_types_are_checked_with_and_without_postponed_annotations(annotation, good, bad, written):
    annotation = inspect.formatannotation(annotation) if written else annotation
    registry.check_type("x", good, annotation)
    with pytest.raises(InputError, match=f"x: expected .*, found {bad!r}"):
        registry.check_type("x", bad, annotation)


@pytest.mark.parametrize("annotation", [list, "Literal['a']", "int | list", inspect.Parameter.empty])
def test_other_annotations_are_left_to_the_class(annotation):
    registry.check_type("x", "anything", annotation)


def test_some_fusions_run_at_some_seeds():
    values = tiny()
    values["run"]["seeds"] = [0, 1, 2]
    values["tables"]["vqa"]["only"] = [{"fusion": "concat", "seeds": [1]}]
    seeds: dict[str, set[int]] = {}
    for cell in Config(values, SCHEMA).vqa.cells():
        seeds.setdefault(cell["fusion"], set()).add(cell["seed"])
    assert seeds["concat"] == {1}
    assert seeds["ngw-fusion"] == {0, 1, 2}
    values["tables"]["vqa"]["only"] = [{"fusion": "conact", "seeds": [1]}]
    with pytest.raises(InputError, match=r"tables\.vqa\.only: fusion 'conact' is not defined"):
        Config(values, SCHEMA)


def test_judges_files_are_patterns_of_one_pair_of_encoders():
    generation = Config(tiny(), SCHEMA).generation
    found = generation.of_pair("images.json")
    assert len(found) == len(generation.cells()) == len(set(found))
    assert all(path.startswith("results/runs/{dataset}/{vision}__{text}/") for path in found)
    none = tiny()
    none["tables"]["generation"] = None
    assert Config(none, SCHEMA).generation.of_pair("images.json") == [
        "results/runs/{dataset}/{vision}__{text}/none/images.json"
    ]
