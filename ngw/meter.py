"""What a stage costs: seconds, CPU seconds, peak memory of the process and of its GPU, and an estimate of energy."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Mapping

from ngw.errors import InputError

ENERGY = "NGW_ENERGY"  # environment variable: a country's ISO code, to estimate energy
PEAKS = ("peak_memory_mb", "gpu_memory_mb")  # of two stages, the larger peak counts; other costs add up
COSTS = ("train_seconds", "cpu_seconds", "gpu_seconds", *PEAKS, "energy_wh", "co2_g")
MAXRSS = 2**20 if sys.platform == "darwin" else 2**10  # getrusage's units per MB: macOS counts bytes, Linux kB


class Meter:
    """Measures from its creation on; call `read` once.

    Energy and CO2 are codecarbon's estimates (from the processor model's power at its load, or the machine's counters
    if it has some; from the country's energy mix), only if the environment variable `NGW_ENERGY` names a country.
    """

    def __init__(self) -> None:
        self._tracker = _tracker(os.environ.get(ENERGY))
        _forget_peak()
        self._start, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Some of `COSTS`: seconds and peak memory always, the others with a GPU or with estimates of energy."""
        costs = {"train_seconds": time.perf_counter() - self._start, "cpu_seconds": time.process_time() - self._cpu}
        costs["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            costs |= {"gpu_seconds": costs["train_seconds"], "gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20}
        if self._tracker is not None:
            self._tracker.stop()
            used = self._tracker.final_emissions_data
            costs |= {"energy_wh": 1000 * used.energy_consumed, "co2_g": 1000 * used.emissions}
        return {name: float(f"{value:.6g}") for name, value in costs.items()}


def _forget_peak() -> None:
    """Reset this process's peak memory, where the system (Linux) allows it."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _tracker(country: str | None):
    """A started tracker of codecarbon, which sends nothing and writes no file."""
    if not country:
        return None
    try:
        from codecarbon import OfflineEmissionsTracker
    except ModuleNotFoundError:
        raise InputError(
            "energy: expected the package codecarbon, found none; pip install codecarbon, or take energy out of the "
            "config."
        ) from None
    tracker = OfflineEmissionsTracker(
        country_iso_code=country, output_methods=[], log_level="error", tracking_mode="process",
        measure_power_secs=5, allow_multiple_runs=True,
    )  # fmt: skip
    tracker.start()
    return tracker


def written(cost: Mapping[str, float]) -> dict[str, str]:
    """A cost as metadata of a safetensors file."""
    return {name: repr(value) for name, value in cost.items()}


def read(head: Mapping[str, str]) -> dict[str, float]:
    """The cost among a file's metadata."""
    return {name: float(head[name]) for name in COSTS if name in head}


def both(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The cost of two stages, one after the other."""
    names = [name for name in COSTS if name in first or name in second]
    return {name: (max if name in PEAKS else sum)((first.get(name, 0.0), second.get(name, 0.0))) for name in names}
