"""The cost of a stage: seconds, memory and energy are measured, two stages add up."""

from __future__ import annotations

import sys
import time

import pytest

from ngw import meter
from ngw.errors import InputError


def busy(seconds: float) -> None:
    """Keep the processor busy for so many of its seconds."""
    start = time.process_time()
    while time.process_time() < start + seconds:
        pass


def test_a_meter_tells_seconds_of_the_clock_and_of_the_processor():
    clock = meter.Meter()
    time.sleep(0.3)
    busy(0.1)
    found = clock.read()
    assert found["train_seconds"] >= 0.4
    assert 0.1 <= found["cpu_seconds"] < found["train_seconds"] - 0.2  # the sleep takes none
    assert 5 < found["peak_memory_mb"] < 1e5
    assert "energy_wh" not in found  # nobody asked for it


def test_of_two_stages_seconds_add_up_and_memory_is_the_larger_one():
    first = {"train_seconds": 1.5, "cpu_seconds": 2.0, "peak_memory_mb": 300.0, "gpu_seconds": 1.0}
    second = {"train_seconds": 0.5, "cpu_seconds": 0.25, "peak_memory_mb": 200.0}
    assert meter.both(first, second) == {
        "train_seconds": 2.0, "cpu_seconds": 2.25, "gpu_seconds": 1.0, "peak_memory_mb": 300.0
    }  # fmt: skip


def test_a_cost_survives_a_files_metadata():
    spent = {"train_seconds": 1.25, "peak_memory_mb": 1 / 3}
    assert meter.read({"method": "cca", **meter.written(spent)}) == spent


def test_energy_is_estimated_where_a_country_is_named(monkeypatch):
    pytest.importorskip("codecarbon", reason="codecarbon isn't installed: pip install 'ngw[energy]'")
    monkeypatch.setenv(meter.ENERGY, "DEU")
    clock = meter.Meter()
    busy(0.5)
    found = clock.read()
    assert 0 < found["energy_wh"] < 1  # a watt-hour is 3,600 joules: half a second at 100 W is a hundredth
    assert 0 < found["co2_g"] < found["energy_wh"]  # Germany's grams a watt-hour are below one


def test_energy_without_codecarbon_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv(meter.ENERGY, "DEU")
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(InputError, match="expected the package codecarbon, found none; pip install codecarbon"):
        meter.Meter()
