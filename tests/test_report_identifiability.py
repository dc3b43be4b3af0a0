"""Identifiability's tables and figure: each number beside its null, and the spectrum through its csv."""

from __future__ import annotations

import pytest

from ngw.report.frames import read_csv
from ngw.report.layout import MAPS
from ngw.report.style import encode
from ngw.report.tables import identifiability as report


def record(method: str, seed: int, shift: float = 0.0, role: str = "method", pairs: str = "300") -> dict:
    names = [f"{way}_{name}" for way in MAPS for name in [*report.SHOWN, "density"]]
    spectra = {way: [2.0 - shift, 1.0, 0.5, 0.0] for way in MAPS}
    return {
        **{"dataset": "points", "vision": "v", "text": "t", "method": method, "pairs": pairs, "seed": seed},
        "unpaired": "none",
        **{"role": role, "task": "identifiability", "task_version": 1, "version": "0", "cost": {}, "converged": True},
        **{"n_images": 50, "n_captions": 50, "metrics": {name: 0.25 + shift for name in names}, "spectra": spectra},
        "null": {name: 0.125 for name in names} if role == "method" else None,
        "null_spectra": spectra if role == "method" else None,
    }


def runs() -> list[dict]:
    found = [record("a", seed, 0.01 * seed) for seed in (0, 1)] + [record("b", seed, 0.2) for seed in (0, 1)]
    return found + [record("random", seed, role="control", pairs="0") for seed in (0, 1)]


def expected() -> list[tuple]:
    return [("points", "v", "t", r["method"], r["pairs"], r["unpaired"], r["seed"]) for r in runs()]


def test_tables_show_each_number_beside_its_null():
    files = report.build(runs(), expected())
    lines = files["identifiability.md"].splitlines()
    assert "points (50 test pairs)" in lines[2].replace("\\", "")
    first = next(line for line in lines if line.startswith("| a |"))
    assert first.startswith("| a | 0.255 ± 0.007 / 0.125 | **25.5** ± 0.7 / 12.5 |")
    assert next(line for line in lines if line.startswith("| b |")).startswith("| b | **0.450** ± 0.000 / 0.125 |")
    assert any(line.startswith("| *random (0 pairs)* | *0.250 ± 0.000* |") for line in lines)
    assert files["identifiability.tex"].count(r"\begin{tabular}") == 2
    csv = files["identifiability.csv"].splitlines()
    assert "points,v,t,a,300,none,ab_density,0.255,0.00707107,0.25,0.26,2,method,true" in csv
    assert "points,v,t,a,300,none,ab_density_null,0.125,0.0,0.125,0.125,2,method,true" in csv
    with pytest.raises(ValueError, match="has no record"):
        report.build(runs()[1:], expected())


def test_the_spectrum_goes_through_its_csv_into_a_figure():
    rows = read_csv(report.build(runs(), expected())["identifiability-spectrum.csv"])
    assert len(rows) == 4 * 2 * (2 + 2 + 1)  # values, maps, two methods with their nulls and a control
    (top,) = rows.query("method == 'a' and map == 'ab' and not null and k == 1").to_dict("records")
    assert (top["mean"], top["low"], top["high"]) == (1.995, 1.99, 2.0)
    figure = report.spectrum_figure(rows, ("points", "v", "t"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "random"]
    assert encode(figure, "png") == encode(report.spectrum_figure(rows, ("points", "v", "t")), "png")
