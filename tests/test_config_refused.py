"""What a hostile or careless config says by accident: refused when it is read, at its place, in one sentence."""

from __future__ import annotations

import datetime
import inspect
import json
import os
import subprocess
import sys

import pytest
from snakemake.utils import update_config
from tiny_config import ROOT, SCHEMA, refused, tiny

from ngw import config, data, encoders, fusion, methods, registry
from ngw.config import Config
from ngw.errors import InputError

INF, NAN = float("inf"), float("nan")


def deep(values, *path, value):
    """The config with a value in a place, whose mappings are made where they aren't."""
    place = values
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[path[-1]] = value
    return values


# Read as something else.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run:\n  seeds: [0]\n  pairs: [1]\n  seeds: [1]\n", "the key 'seeds' a second time in .*line 4"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' a second time"),
        ("a: {b: 1, 'b': 2}", "the key 'b' a second time"),
        ("a: 2024-13-13", "month must be in 1..12"),
        ("a: [" * 5000, "recursion"),
        ("a: \ud800", "surrogates not allowed|can't decode|not allowed"),
    ],
    ids=["yaml", "json", "quoted", "date", "deep", "bytes"],
)
def test_a_file_that_does_not_say_one_thing(tmp_path, text, told):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=rf"config\.yaml: expected YAML, found .*({told})"):
        config.read(path)


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(InputError, match="expected a config file, found Is a directory"):
        config.read(tmp_path)


def test_merge_keys_go_on_working(tmp_path):
    text = "a: &one {x: 1, y: 2}\nb: &two {<<: *one, y: 3}\nc: {<<: [*two, *one], z: 4}\nd: {<<: *two}\n"
    (tmp_path / "config.yaml").write_text(text)
    found = config.read(tmp_path / "config.yaml")
    assert found["c"] == {"x": 1, "y": 3, "z": 4}
    assert found["d"] == found["b"] == {"x": 1, "y": 3}


def test_snakemake_takes_no_key_twice(tmp_path):
    for name in ("config.yaml", "ngw", "workflow", "rules", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "twice.yaml").write_text("run:\n  seeds: [0]\n  seeds: [1]\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "twice.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "twice.yaml: expected YAML, found the key 'seeds' a second time" in done.stdout + done.stderr


@pytest.mark.parametrize("section", ["datasets", "encoders", "methods", "fusions", "scorers"])
@pytest.mark.parametrize("name", [1, False, None, 1.5, datetime.date(2024, 1, 1), "a\n", "\ud800"], ids=repr)
def test_a_name_is_a_text(section, name):
    values = tiny()
    values[section][name] = next(iter(values[section].values()))
    refused(values, f"config: {section}: expected names, found {name!r}", "in quotes")
    assert Config(deep(tiny(), "methods", "1", value={"kind": "cca"}), SCHEMA).method("1")


def test_what_contains_itself_has_an_end():
    values = tiny()
    values["methods"]["ngw"]["cost"] = values
    refused(values, "expected 30 levels at most", "contain itself")


def test_a_value_is_what_json_holds():
    for value in (datetime.date(2024, 1, 1), b"x", {1}, "a\0b", "\udfff", 2**63, -(10**5000)):
        refused(deep(tiny(), "methods", "ngw", "cost", value=value), "config: methods.ngw.cost: expected a")


@pytest.mark.parametrize("value", [INF, -INF, NAN])
@pytest.mark.parametrize(
    "path",
    [
        ("methods", "cca", "ridge"),
        ("encoders", "minilm-l6", "merge_weight"),
        ("fusions", "ngw-fusion", "alpha"),
        ("datasets", "e", {"kind": "easy-vqa"}, "val_share"),
        ("datasets", "scenes", "sizes", "train"),
        ("scorers", "scenes-clip", "training", "learning_rate"),
        ("tables", "vqa", "training", "learning_rate"),
        ("tables", "vqa", "labels", 0),
        ("tables", "generation", "captioner", "noise"),
        ("tables", "generation", "imager", "ridge"),
        ("tables", "generation", "images", "axes"),
        ("tables", "ablations", "vary", 0, "values", 0),
    ],
    ids=str,
)
def test_a_number_is_finite(path, value):
    values = tiny()
    if isinstance(path[2], dict):
        values[path[0]][path[1]] = dict(path[2])
        path = (*path[:2], *path[3:])
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    refused(deep(values, *path, value=value), f"config: {place}: expected a finite number, found {value}")


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan"])
def test_a_number_of_a_derived_name_is_finite(text):
    refused(tiny("tables", "retrieval", "methods", value=[f"cca~ridge={text}"]), "expected a finite number")


@pytest.mark.parametrize("value", [INF, NAN])
def test_a_number_of_a_component_is_finite(value):
    for build, spec in (
        (methods.build, {"kind": "cca", "ridge": value}),
        (encoders.build, {"kind": "transformers-text", "merge_weight": value}),
        (fusion.build, {"kind": "gated", "alpha": value}),
        (data.check, {"kind": "folder", "root": "x", "shares": {"val": value}}),
        (data.check, {"kind": "easy-vqa", "val_share": value}),
    ):
        with pytest.raises(InputError, match=f"found .*{value}"):
            build(spec)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
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
    ],
)  # fmt: skip
def test_a_value_of_another_kind(path, value, words):
    refused(deep(tiny(), *path, value=value), *words)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("root", 5, "root: expected a text or a path, found 5"),
        ("threads", 0, "threads: expected 1 or more, found 0"),
        ("threads", 2.0, "threads: expected a whole number, found 2.0"),
        ("captions_per_image", -1, "captions_per_image: expected 1 or more, found -1"),
        ("on_error", "stopp", "on_error: expected 'stop' or 'skip', found 'stopp'"),
        ("check_images", "no", "check_images: expected true or false, found 'no'"),
        ("subsets", {"train": 1}, "subsets: expected texts by name or null, found {'train': 1}"),
        ("subsets", "train2014", "subsets: expected texts by name or null, found 'train2014'"),
    ],
)
def test_an_option_of_a_data_set(option, value, told):
    refused(deep(tiny(), "datasets", "x", value={"kind": "coco", "root": "x"} | {option: value}), "datasets.x: ", told)


def test_other_options_of_data_sets():
    refused(deep(tiny(), "datasets", "scenes", "sizes", "train", value=True), "sizes", "found")
    refused(deep(tiny(), "datasets", "scenes", "workers", value=0), "workers: expected 1 or more, found 0")
    folder = {"kind": "folder", "root": "x"}
    refused(deep(tiny(), "datasets", "x", value=folder | {"shares": {"val": 2}}), "shares: expected val and test in")
    refused(deep(tiny(), "datasets", "x", value=folder | {"shares": [0.1]}), "shares: expected {val: 0.1, test: 0.1}")
    Config(deep(tiny(), "datasets", "scenes", "sizes", value=None), SCHEMA)


@pytest.mark.parametrize("spec", [None, [], "cca", 1, {}, {"kind": None}, {"kind": [1]}, {"kind": {}}, {1: 2}])
@pytest.mark.parametrize("build", [methods.build, encoders.build, fusion.build, data.check])
def test_a_spec_is_a_mapping_with_a_kind(build, spec):
    with pytest.raises(InputError, match=r"expected a mapping with a kind, such as \{kind: cca\}, found"):
        build(spec)


# On top of one another.


@pytest.mark.parametrize("file", ["tests/config.yaml", "paper.yaml"])
def test_a_config_of_this_repository_is_good_on_top_of_the_default(file):
    values = config.read(ROOT / "config.yaml")
    update_config(values, config.read(ROOT / file))
    assert json.loads(json.dumps(Config(values, SCHEMA).grid()))


@pytest.mark.parametrize("value", [INF, -INF, NAN])
@pytest.mark.parametrize("kind", methods.kinds())
def test_a_method_made_in_python_takes_no_such_number_either(kind, value):
    cls = registry.component("ngw.methods", kind, methods.Method)
    for name, parameter in inspect.signature(cls).parameters.items():
        if "float" in str(parameter.annotation):
            with pytest.raises(ValueError, match=name):
                cls(**{name: value})
