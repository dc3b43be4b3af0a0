"""A hostile or careless config: its accidents are refused when it is read, at their place, in one sentence."""

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


# Read as something else.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run:\n  seeds: [0]\n  pairs: [1]\n  seeds: [1]\n", "a duplicate key 'seeds' in .*line 4"),
        ('{"a": {"b": 1, "b": 2}}', "a duplicate key 'b'"),
        ("a: {b: 1, 'b': 2}", "a duplicate key 'b'"),
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
    assert "twice.yaml: expected YAML, found a duplicate key 'seeds'" in done.stdout + done.stderr


@pytest.mark.parametrize("section", ["datasets", "encoders", "methods", "fusions", "scorers"])
@pytest.mark.parametrize("name", [1, False, None, 1.5, datetime.date(2024, 1, 1), "a\n", "\ud800"], ids=repr)
def test_a_name_is_a_text(section, name):
    values = tiny()
    values[section][name] = next(iter(values[section].values()))
    refused(values, f"config: {section}: expected names, found {name!r}", "in quotes")
    assert Config(tiny("methods", "1", value={"kind": "cca"}), SCHEMA).method("1")


def test_what_contains_itself_has_an_end():
    values = tiny()
    values["methods"]["ngw"]["cost"] = values
    refused(values, "expected 30 levels at most", "contain itself")


def test_a_value_is_what_json_holds():
    for value in (datetime.date(2024, 1, 1), b"x", {1}, "a\0b", "\udfff", 2**63, -(10**5000)):
        refused(tiny("methods", "ngw", "cost", value=value), "config: methods.ngw.cost: expected a")


@pytest.mark.parametrize("value", [0.5, True, None, {}])
def test_a_varied_setting_is_a_name(value):
    path = ("tables", "ablations", "vary", 2, "values", 0)
    refused(tiny(*path, value=value), f"config: tables.ablations.vary: setting {value!r} is not defined", "foreign")


@pytest.mark.parametrize("value", [INF, -INF, NAN])
@pytest.mark.parametrize(
    "path",
    [
        ("methods", "cca", "ridge"),
        ("encoders", "minilm-l6", "merge_weight"),
        ("fusions", "ngw-fusion", "alpha"),
        ("datasets", "scenes", "sizes", "train"),
        ("scorers", "scenes-clip-anew", "training", "learning_rate"),
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
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    refused(tiny(*path, value=value), f"config: {place}: expected a finite number, found {value}")


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


@pytest.mark.parametrize("spec", [None, [], "cca", 1, {}, {"kind": None}, {"kind": [1]}, {"kind": {}}, {1: 2}])
@pytest.mark.parametrize("build", [methods.build, encoders.build, fusion.build, data.check])
def test_a_spec_is_a_mapping_with_a_kind(build, spec):
    with pytest.raises(InputError, match=r"expected a mapping with a kind, such as \{kind: cca\}, found"):
        build(spec)


# On top of one another.


@pytest.mark.parametrize("path", [("vqa", "curve"), ("vqa", "examples"), ("vqa", "labels"), ("vqa", "answer")], ids=str)
def test_a_list_that_a_config_inherits_is_switched_off_by_an_empty_one(path):
    values = config.read(ROOT / "config.yaml")
    update_config(values, {"tables": {path[0]: {path[1]: []}}})
    assert Config(values, SCHEMA).vqa.table[path[1]] == []
    update_config(values, {"tables": {path[0]: {path[1]: None}}})
    refused(
        values, f"config: tables.{path[0]}.{path[1]}: expected a value of type array, found null; mend it, [] is none"
    )


def test_without_a_curve_there_are_no_runs_on_fewer_labels():
    values = config.read(ROOT / "config.yaml")
    assert {cell["labels"] for cell in Config(values, SCHEMA).vqa.cells()} > {"all"}
    values["tables"]["vqa"]["curve"] = []
    assert {cell["labels"] for cell in Config(values, SCHEMA).vqa.cells()} == {"all"}


def test_further_ablations_are_switched_off_and_the_table_s_own_by_null():
    values = tiny("tables", "ablations", "full", value={"vary": []})
    assert Config(values, SCHEMA).ablation_grid(full=True)["groups"] == Config(values, SCHEMA).ablation_grid()["groups"]
    refused(tiny("tables", "ablations", "vary", value=[]), "config: tables.ablations.vary: expected 1 entries or more")


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
