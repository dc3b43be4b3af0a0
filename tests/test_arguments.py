"""JSON on the command line that is broken, of another shape or with NaN is refused in one sentence, with status 2."""

from __future__ import annotations

import pytest

from ngw.cli import main

BROKEN = ["{", "", "nul", "[" * 100_000, "1" * 5000, '{"kind": "cca", "kind": "ridge"}']
CELL = '{"dataset": "d", "vision": "v", "text": "t", "seed": 0'
OTHERS = {  # of each option: a stage that has it, and JSON of another shape
    "--spec": ("data", ["null", "[]", "1", '"cca"', "{}", '{"kind": 1}', '{"kind": ["cca"]}', '{"kind": null}']),
    "--options": ("train-captioner", ["null", "[1]", "1", '"x"']),
    "--training": ("fuse", ["null", "[1]", "1", '"x"']),
    "--dims": ("basis", ["0", "-1", "1.5", "16.0", "true", "[]", '"x"']),
    "--grid": ("collate", ["null", "[]", "{}", '{"datasets": "d", "encoder_pairs": [], "methods": {}, "seeds": []}',
        '{"datasets": [], "encoder_pairs": [["v"]], "methods": {}, "seeds": [0]}',
        '{"datasets": [], "encoder_pairs": [], "methods": {"cca": 1}, "seeds": [0]}',
        '{"datasets": [], "encoder_pairs": [], "methods": {}, "seeds": [1.0]}']),
    "--cells": ("vqa-tables", ["null", "{}", "[1]", "[{}]", f"[{CELL}}}]",
        f'[{CELL}, "fusion": "f", "pairs": 3, "labels": "all"}}]']),
    "--judges": ("score-images", ["null", "[]", "{}", '{"network": 1, "axes": null, "scorer": "s"}']),
    "--config": ("page", ["null", "[]"]),
}  # fmt: skip


@pytest.mark.parametrize("option", OTHERS)
def test_json_that_is_broken_or_of_another_shape(option, capsys):
    stage, others = OTHERS[option]
    infinite = [f'{{"kind": "cca", "ridge": {number}}}' for number in ("NaN", "Infinity", "-Infinity", "1e999")]
    for text in [*BROKEN, *infinite, *others]:
        with pytest.raises(SystemExit) as stop:
            main([stage, f"{option}={text}"])
        assert stop.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"ngw {stage}: error: argument {option}: "), (text, last)
        assert "expected" in last, (text, last)


def test_numbers_of_things(capsys):
    for stage, option in (("score-captions", "--count"), ("labels", "--min-count"), ("provenance", "--depth")):
        for text in ("0", "-1", "1.5", "²", "1" * 5000, "all"):
            with pytest.raises(SystemExit):
                main([stage, f"{option}={text}"])
            assert f"argument {option}: expected 1 or more, found" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["²", "1" * 5000, "1.5", "", "al"])
def test_a_budget_is_a_number_or_all(text, capsys):
    with pytest.raises(SystemExit):
        main(["fit", f"--pairs={text}"])
    assert "argument --pairs: expected a number or all, found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ('{"kind": "cca", "package": 1}', "'cca' has no option 'package'"),
        ('{"kind": "cca", "base": 1}', "'cca' has no option 'base'"),
        ('{"kind": "cca", "dims": 16.0}', "dims: expected a whole number or null, found 16.0"),
        ('{"kind": "../cca"}', "method kind '../cca' does not exist"),
    ],
)
def test_a_spec_that_does_not_fit_its_kind(spec, told, pair, tmp_path, refused):
    vision, text = map(str, pair)
    options = ["--method", "x", "--pairs", "12", "--seed", "0", "--output", str(tmp_path / "out")]
    refused(["fit", "--vision", vision, "--text", text, "--spec", spec, *options], told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('{"dmis": 8}', "no option 'dmis'. Did you mean 'dims'?"),
        ('{"dims": "8"}', "captioner: dims: exp"),
    ],
)
def test_options_that_a_decoder_lacks(options, told, pair, tmp_path, refused):
    from ngw import io

    ids = list(range(100, 124))
    columns = {"caption_id": ids, "image_id": [i // 2 for i in range(24)], "split": ["train"] * 24, "text": ["a"] * 24}
    io.write_table(tmp_path / "captions.parquet", columns)
    command = [
        "train-captioner",
        "--tables",
        str(tmp_path),
        "--text",
        str(pair[1]),
        "--options",
        options,
        "--seed",
        "0",
    ]
    refused([*command, "--output", str(tmp_path / "out")], told)
