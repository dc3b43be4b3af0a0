"""A fitted method's file is taken whole or refused in one sentence: options, learned values and arrays that fit."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from safetensors import safe_open
from test_methods import SPECS, clouds, fitted, name, outputs, refused, same

from ngw import io, methods


def parts(spec, path):
    """(arrays, metadata) of a fitted method's file."""
    fitted(SPECS.index(spec)).save(path)
    with safe_open(path, framework="np") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118 (not a dict)


def rewritten(path, spec, arrays=None, drop=(), **changes):
    """A fitted method's file with other arrays, without some of its parts, or with other texts."""
    found, head = parts(spec, path)
    found, head = found | (arrays or {}), head | changes
    io.write_tensors(
        path, {k: v for k, v in found.items() if k not in drop}, {k: v for k, v in head.items() if k not in drop}
    )
    return path


def with_state(path, **state):
    """A fitted Warp's file whose state says more."""
    _, head = parts({"kind": "warp"}, path)
    return rewritten(path, {"kind": "warp"}, state=json.dumps(json.loads(head["state"]) | state))


def with_options(path, **options):
    _, head = parts({"kind": "warp"}, path)
    return rewritten(path, {"kind": "warp"}, params=json.dumps(json.loads(head["params"]) | options))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"drop": ["params"]}, "params: expected JSON, found 'params'"),
        ({"drop": ["state"]}, "state: expected JSON, found 'state'"),
        ({"params": "{"}, "params: expected JSON"),
        ({"params": "[1]"}, r"params: expected an object, found \[1\]"),
        ({"state": "null"}, "state: expected an object, found None"),
        ({"params": "{}"}, "params: expected exactly the options of warp, found others, or none, for .*'epsilon'"),
        ({"kind": "wrap"}, "method kind 'wrap' does not exist. Did you mean 'warp'"),
        ({"kind": "ridge"}, "'ridge' has no option"),
    ],
)
def test_a_file_without_its_parts(tmp_path, change, text):
    path = rewritten(tmp_path / "model.safetensors", {"kind": "warp"}, **change)
    refused(f"model.safetensors: {text}.*; fit the method again", methods.load, path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"no_such": 1}, "'warp' has no option 'no_such'"),
        ({"kind": "ridge"}, r"expected exactly the options of warp, found others, or none, for \['kind'\]"),
        ({"epsilon": -1}, "epsilon is positive"),
        ({"epsilon": "0.1"}, "epsilon: expected a number, found '0.1'"),
    ],
)
def test_a_file_with_other_options(tmp_path, options, text):
    refused(text, methods.load, with_options(tmp_path / "model.safetensors", **options))


@pytest.mark.parametrize(
    "attribute",
    [
        *("transform", "fit", "epsilon", "pairs", "_joint", "__class__", "__dict__", "_x", "no_such", "a b_", ""),
        *("n_parameters_", "n_features_in_", "options_", "x_mean_"),
    ],
)
def test_state_that_overwrites_an_attribute(tmp_path, attribute):
    path = with_state(tmp_path / "model.safetensors", **{attribute: 1.0})
    refused(f"expected what a fit learns, found {attribute!r}", methods.load, path)


@pytest.mark.parametrize("attribute", ["transform", "_x", "__class__", "epsilon", "n_parameters_"])
def test_arrays_that_overwrite_an_attribute(tmp_path, attribute):
    path = rewritten(tmp_path / "model.safetensors", {"kind": "ridge"}, {attribute: np.ones(3)})
    refused(f"expected what a fit learns, found {attribute!r}", methods.load, path)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"converged_": "yes"}, "expected a status, found converged_ 'yes'"),
        ({"note_": 3}, "expected a status, found .* note_ 3"),
        ({"learned_": None}, "expected what a fit learns, found 'learned_'"),
        ({"learned_": {"a": 1}}, "expected what a fit learns, found 'learned_'"),
    ],
)
def test_a_state_of_other_types(tmp_path, state, text):
    refused(text, methods.load, with_state(tmp_path / "model.safetensors", **state))


needed = {  # one array, or number, that each kind maps with
    "ridge": "w_ab_", "cca": "a_", "warp": "ab_w_", "procrustes": "rotation_", "relative": "anchors_y_",
    "keypoints": "anchors_x_", "fused": "structure_x_", "gromov": "x_white_", "unaligned": "axes_y_",
}  # fmt: skip


@pytest.mark.parametrize("kind", needed)
@pytest.mark.filterwarnings("error")
def test_arrays_that_are_missing_or_of_another_shape(tmp_path, kind):
    spec, path, which = {"kind": kind}, tmp_path / "model.safetensors", needed[kind]
    array = parts(spec, path)[0][which]
    for arrays, drop in (
        ({}, [which]),
        ({}, ["x_mean_"]),
        ({}, ["y_scale_"]),
        ({which: array[:-1]}, []),
        ({which: array[None]}, []),
        ({which: array * np.nan}, []),
        ({"y_scale_": np.zeros((), np.float32)}, []),
        ({"x_scale_": np.ones(8, np.float32)}, []),
        ({"x_mean_": np.zeros(7, np.float32)}, []),
        ({"x_mean_": np.zeros((), np.float32)}, []),
    ):
        refused("model.safetensors: expected .* found", methods.load, rewritten(path, spec, arrays, drop))
    path.unlink()
    fitted(SPECS.index(spec)).save(path)
    same(outputs(methods.load(path)), outputs(fitted(SPECS.index(spec))))


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_a_fitted_number_that_is_missing(spec, tmp_path):
    state = json.loads(parts(spec, tmp_path / "model.safetensors")[1]["state"])
    for number in {"gain_", "temperature_", "unit_y_", "length_x_", "alpha_"} & state.keys():
        less = json.dumps({k: v for k, v in state.items() if k != number})
        path = rewritten(tmp_path / "model.safetensors", spec, state=less)
        refused(f"expected the arrays of a fit, found .*{number}", methods.load, path)


def test_what_could_not_be_loaded_is_not_written(tmp_path):
    path, warp = tmp_path / "model.safetensors", fitted(SPECS.index({"kind": "warp"}))
    warp.save(path, note="first")
    for metadata, words in (({"epoch": 3}, "epoch: expected a text .*, found 3"), ({"kind": "cca"}, "found 'cca'")):
        refused(words, partial(warp.save, path, **metadata))

    class Own(type(warp)):
        pass

    refused(
        "found Own of .*; move its class there, or pickle it", Own(rounds=1).fit(*clouds(), np.arange(9)).save, path
    )
    assert methods.load_with_metadata(path)[1]["note"] == "first"


def test_options_can_be_numpys_numbers(tmp_path):
    ridge = methods.build({"kind": "cca", "ridge": np.float32(0.5)}).fit(*clouds(), np.arange(9))
    ridge.save(tmp_path / "model.safetensors")
    assert methods.load(tmp_path / "model.safetensors").ridge == 0.5


def test_a_loaded_method_is_fitted_and_its_options_are_those_of_its_fit(tmp_path):
    path = tmp_path / "model.safetensors"
    fitted(SPECS.index({"kind": "warp"})).save(path)
    warp = methods.load(path)
    warp.map = "mlp"
    refused("found map 'mlp', which was 'linear'; fit it again", warp.save, path)
