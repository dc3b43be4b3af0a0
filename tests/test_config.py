"""The config: an error is one sentence with the entry, the expected value and the nearest name."""

from __future__ import annotations

import pytest
from snakemake.utils import update_config
from tiny_config import ROOT, SCHEMA, refused, tiny

from ngw import config, methods
from ngw.config import Config
from ngw.errors import InputError

POSITIVE = "epsilon is positive"
COCO, FOLDER = {"kind": "coco", "root": "x"}, {"kind": "folder", "root": "x"}
X = ("datasets", "x")


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


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        # Misspelled: keys, methods, encoders, data sets, options.
        (("runs",), {}, ["top level", "unknown key 'runs'", "Did you mean 'run'?", "Known: datasets, encoders"]),
        (("run", "sedes"), [0], ["run: ", "unknown key 'sedes'", "Did you mean 'seeds'?"]),
        (("tables", "retrival"), {}, ["tables: ", "unknown key 'retrival'", "Did you mean 'retrieval'?"]),
        (("run", "datasets"), ["scene"], ["run.datasets", "data set 'scene'", "Did you mean 'scenes'?"]),
        (("run", "encoder_pairs"), [["efnet-lite0", "minilm-l6"]], ["encoder 'efnet-lite0'", "mean 'effnet-lite0'?"]),
        (("tables", "retrieval", "methods"), ["nwg"], ["tables.retrieval.methods", "method 'nwg'", "mean 'ngw'?"]),
        (("tables", "retrieval", "methods"), ["nwg~dims=8"], ["method 'nwg'", "Did you mean 'ngw'?"]),
        (("methods", "x"), {"kind": "rigde"}, ["methods.x", "method kind 'rigde'", "mean 'ridge'?", "Known: cca"]),
        (("encoders", "x"), {"kind": "eficientnet-lite"}, ["encoders.x", "encoder kind", "mean 'efficientnet-lite'?"]),
        (("encoders", "effnet-lite0"), {"kind": "eficientnet-lite"}, ["encoders.effnet-lite0", "Did you mean"]),
        (("datasets", "x"), {"kind": "coc"}, ["datasets.x", "data set kind 'coc'", "Did you mean 'coco'?"]),
        (("methods", "ngw"), {"kind": "warp", "epsilno": 1}, ["methods.ngw", "'epsilno'", "Did you mean 'epsilon'?"]),
        (("methods", "ngw"), {"kind": "warp", "cost": "cac"}, ["methods.ngw", "cost 'cac'", "Did you mean 'cca'?"]),
        (("encoders", "x"), {"kind": "efficientnet-lite", "varient": "a"}, ["'varient'", "Did you mean 'variant'?"]),
        (("datasets", "x"), {"kind": "scenes", "size": {}}, ["datasets.x", "'size'", "Did you mean 'sizes'?"]),
        (("tables", "retrieval", "methods"), ["ngw~dims"], ["'ngw~dims': expected option=value", "'dims'"]),
        (("tables", "retrieval", "methods"), ["ngw~kind=cca"], ["expected another option, found its kind"]),
        (("tables", "vqa", "fusions"), ["concat~dmis=8"], ["no option 'dmis'", "Did you mean 'dims'?"]),
        (("tables", "vqa", "curve"), ["concat~dmis=8"], ["no option 'dmis'", "Did you mean 'dims'?"]),
        (("tables", "vqa", "examples"), ["concat~dmis=8"], ["no option 'dmis'", "Did you mean 'dims'?"]),
        (("tables", "vqa", "fusions"), ["ngw-fusion~aligner=cac"], ["aligner: method 'cac'", "Did you mean 'cca'?"]),
        (("methods", "distillation-joint", "teacher"), "joint~size=32~stpes=1", ["'stpes'", "Did you mean 'steps'?"]),
        (("tables", "retrieval", "references"),
         [{"model": "m", "dataset": "scense", "i2t": 1, "t2i": 1, "source": "s"}],
         ["tables.retrieval.references[0].dataset: data set 'scense'", "Did you mean 'scenes'?"]),
        # Options of methods.
        (("methods", "ngw"), {"kind": "warp", "epsilon": 0}, ["methods.ngw", POSITIVE, "not 0"]),
        (("methods", "ngw"), {"kind": "warp", "epsilon": -0.1}, ["methods.ngw", POSITIVE, "not -0.1"]),
        (("tables", "retrieval", "methods"), ["ngw~epsilon=0"], ["ngw~epsilon=0", POSITIVE, "not 0"]),
        (("methods", "ngw"), {"kind": "warp", "epsilon": "1e-3"}, ["found '1e-3'", "1e-3 as text, write 1.0e-3"]),
        (("methods", "ngw"), {"kind": "warp", "tol": None}, ["tol: expected a number, found None"]),
        (("methods", "ngw"), {"kind": "warp", "epsilon": True}, ["epsilon: expected a number, found True"]),
        (("methods", "ngw"), {"kind": "warp", "steps": 1.5}, ["steps: expected a whole number, found 1.5"]),
        (("methods", "ngw"), {"kind": "warp", "pinned": "no"}, ["pinned: expected true or false, found 'no'"]),
        (("methods", "ngw"), {"kind": "warp", "cost": 3}, ["cost: expected a text, found 3"]),
        (("methods", "ngw"), {"kind": "warp", "whiten": [1]}, ["whiten: expected a number or null, found [1]"]),
        (("methods", "ngw"), {"kind": "warp", "map": "mpl"}, ["map is linear, orthogonal, mlp or residual, not 'mpl'"]),
        # Values that don't fit, or of another kind.
        (("run", "pairs"), [-1], ["run.pairs[0]: expected 0 or more, or 'all', found -1"]),
        (("run", "pairs"), [3, "al"], ["run.pairs[1]: expected a value of type integer, or 'all', found \"al\""]),
        (("run", "pairs"), [], ["run.pairs: expected 1 entries or more, found []"]),
        (("run", "seeds"), ["3"], ['run.seeds[0]: expected a value of type integer, found "3"']),
        (("run", "captions"), 0, ["run.captions: expected 1 or more, found 0"]),
        (("run", "encoder_pairs"), [["effnet-lite0"]], ["run.encoder_pairs[0]: expected 2 entries or more"]),
        (("run", "encoder_pairs"), [["minilm-l6", "effnet-lite0"]], ["[vision, text]", "a text encoder", "exchange"]),
        (("methods", "NGW"), {"kind": "warp"}, ["methods: expected a name in lower case with single dashes", '"NGW"']),
        (("energy",), {"country": "deu"}, ['energy.country: expected three capital letters, such as DEU, found "deu"']),
        (("tables", "ablations", "vary", 0, "values"), ["A_b"], ["or a text of lower-case letters, digits and dashes"]),
        (("methods", "ngw"), {"epsilon": 1}, ["methods.ngw: expected the key 'kind', found {\"epsilon\": 1}"]),
        (("tables",), {}, ["tables: expected the key 'retrieval', found {}"]),
        (("datasets", "x"), {"kind": "coco"}, ["datasets.x", "expected the option 'root', found none; add it"]),
        (X, COCO | {"subsets": {}}, ["datasets.x", "'coco': subsets: expected entries, found none; add one, or leave"]),
        (("datasets", "scenes", "sizes"), {"train": 5}, ["datasets.scenes", "expected the splits", "found ['train']"]),
        (("datasets", "scenes", "sizes"), [1], ["datasets.scenes", "expected the splits", "found [1]"]),
        (("datasets", "scenes", "sizes", "train"), "48", ["datasets.scenes", "train: expected a number", "found '48'"]),
        (("run", "pairs"), [16.0], ["run.pairs[0]: expected a value of type integer", "found 16.0"]),
        (("run", "pairs"), [16, 16], ["run.pairs: expected each entry once"]),
        (("run", "pairs"), 16, ["run.pairs: expected a value of type array, found 16"]),
        (("run", "seeds"), [1.0], ["run.seeds[0]: expected a value of type integer, found 1.0"]),
        (("run", "seeds"), [True], ["run.seeds[0]: expected a value of type integer, found true"]),
        (("run", "seeds"), [0, 0], ["run.seeds: expected each entry once"]),
        (("run", "seeds"), [], ["run.seeds: expected 1 entries or more"]),
        (("run", "seeds"), "01", ["run.seeds: expected a value of type array"]),
        (("run", "shards"), 2.0, ["run.shards: expected a value of type integer, found 2.0"]),
        (("run", "captions"), True, ["run.captions: expected a value of type integer, found true"]),
        (("run", "datasets"), [False], ["run.datasets[0]: expected a value of type string", "in quotes"]),
        (("tables", "vqa", "labels"), [0.00001], ["tables.vqa.labels[0]: expected 0.001 or more, found 1e-05"]),
        (("tables", "vqa", "labels"), [100], ["tables.vqa.labels[0]: expected less than 100"]),
        (("tables", "vqa", "training", "held_out"), 2, ["tables.vqa.training.held_out: expected less than 1"]),
        (("tables", "vqa", "training", "epochs"), "1e1", ["epochs: expected a value of type number", "1.0e-3"]),
        (("tables", "vqa", "tokens"), 16.0, ["tables.vqa.tokens: expected a value of type integer"]),
        (("tables", "generation", "captioner", "held_out"), 0, ["captioner.held_out: expected more than 0"]),
        (("tables", "generation", "captioner", "dims"), 16.0, ["captioner.dims: expected a value of type integer"]),
        (("tables", "generation", "captioner", "heads"), 3, ["captioner: heads: expected a divisor of dims, 16"]),
        (("tables", "generation", "imager", "drop"), 1, ["imager.drop: expected less than 1"]),
        (("tables", "generation", "imager", "window"), 4, ["imager: window: expected an odd number"]),
        (("tables", "generation", "imager", "heads"), 3, ["generation: imager: expected heads that divide"]),
        (("tables", "ablations", "vary", 0, "values"), [0.1, 0.1], ["vary[0].values: expected each entry once"]),
        (("tables", "ablations", "vary", 0), {"method": "ngw", "option": "noise", "values": [False]}, ["found False"]),
        (("tables", "ablations", "vary", 0), {"method": "ngw", "option": "kind", "values": ["cca"]}, ["its kind"]),
        (("methods", "x"), None, ["methods.x: expected a value of type object, found null"]),
        (("datasets", "x"), [], ["datasets.x: expected a value of type object, found []"]),
        (("encoders", "x"), "cca", ["encoders.x: expected a value of type object"]),
        (("methods", "x"), {"kind": [1]}, ["methods.x.kind: expected a value of type string, found [1]"]),
        (("methods", "x"), {"kind": False}, ["methods.x.kind: expected a value of type string, found false", "quotes"]),
        (("methods", "x"), {"kind": "cca", "package": 1}, ["methods.x: 'cca' has no option 'package'"]),
        (("encoders", "x"), {"kind": "clip", "base": 1}, ["encoders.x: 'clip' has no option 'base'"]),
        (("fusions", "x"), {"kind": "concat", "cls": 1}, ["fusions.x: 'concat' has no option 'cls'"]),
        (("fusions", "x"), {"kind": "gated", "aligner": 1}, ["fusions.x: aligner: expected a text, found 1"]),
        (("fusions", "x"), {"kind": "gated", "aligner": "nwg"}, ["fusions.x.aligner: method 'nwg'", "mean 'ngw'?"]),
        (("scorers", "a/../b"), {"dataset": "scenes-unseen"}, ["scorers: expected a name in lower case"]),
        # Options of data sets.
        (X, COCO | {"root": 5}, ["root: expected a text or a path, found 5"]),
        (X, COCO | {"threads": 0}, ["threads: expected 1 or more, found 0"]),
        (X, COCO | {"threads": 2.0}, ["threads: expected a whole number, found 2.0"]),
        (X, COCO | {"captions_per_image": -1}, ["captions_per_image: expected 1 or more, found -1"]),
        (X, COCO | {"on_error": "stopp"}, ["on_error: expected 'stop' or 'skip', found 'stopp'"]),
        (X, COCO | {"check_images": "no"}, ["check_images: expected true or false, found 'no'"]),
        (X, COCO | {"subsets": {"train": 1}}, ["subsets: expected texts by name or null, found {'train': 1}"]),
        (X, COCO | {"subsets": "train2014"}, ["subsets: expected texts by name or null, found 'train2014'"]),
        (("datasets", "scenes", "sizes", "train"), True, ["sizes", "found"]),
        (("datasets", "scenes", "workers"), 0, ["workers: expected 1 or more, found 0"]),
        (X, FOLDER | {"shares": {"val": 2}}, ["shares: expected val and test in"]),
        (X, FOLDER | {"shares": [0.1]}, ["shares: expected e.g. {val: 0.1, test: 0.1}"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(path, value, words):
    refused(tiny(*path, value=value), *words)


def test_options_of_the_right_type_pass():
    Config(tiny("datasets", "scenes", "sizes", value=None), SCHEMA)
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
    ("text", "found"), [(None, "no such config file"), ("a: [", "expected YAML"), ("- a\n", "expected a mapping")]
)
def test_a_config_file_that_is_none(tmp_path, text, found):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"config\.yaml: {found}") as caught:
        config.read(path)
    assert "\n" not in str(caught.value)
