"""Checks of the config's selections: names, budgets and seeds are among those that run, and every row has a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ngw.config.names import known
from ngw.config.sections import Sections
from ngw.errors import InputError, did_you_mean
from ngw.features.clouds import ALL, FOREIGN


def check(config: Sections) -> None:
    """Raise an `InputError` for the first selection without an effect, or with another effect than it states."""
    _check_sizes(config)
    table = config.tables["retrieval"]
    _check_only("tables.retrieval.only", "method", table.get("only", []), table["methods"], config.run["seeds"])
    _check_only("tables.vqa.only", "fusion", config.vqa.table["only"], config.vqa.names, config.vqa.table["seeds"])
    for k, some in enumerate(table.get("only", [])):
        name, budgets = some["method"], config.budgets(some["method"])
        for pairs in some.get("pairs", []):
            _among(f"tables.retrieval.only[{k}].pairs", f"budgets of run.pairs at which {name!r} runs", pairs, budgets)
    for k, reference in enumerate(table.get("references", [])):
        known(f"tables.retrieval.references[{k}].dataset", "data set", reference["dataset"], config.datasets)
    _check_budgets(config)
    _check_foreign(config)
    for where, name, pairs in _single(config):
        _check_pairs(config, where, name, pairs)
    _check_classification(config)


def _check_only(
    where: str, key: str, only: Sequence[Mapping[str, Any]], names: Collection[str], seeds: Collection[int]
) -> None:
    """Each entry names a row of the table, no two name the same row, and the seeds are among the table's."""
    for k, some in enumerate(only):
        _among(f"{where}[{k}].{key}", f"a {key} of the table", some[key], names)
        if some[key] in [other[key] for other in only[:k]]:
            raise InputError(f"config: {where}[{k}].{key}: expected each once, found {some[key]!r} again; join them.")
        for seed in some.get("seeds", []):
            _among(f"{where}[{k}].seeds", "seeds of the table", seed, seeds)


def _check_classification(config: Sections) -> None:
    """The rows of the classification table are rows of the retrieval table, at budgets and seeds of that table."""
    where, table = "tables.classification", config.classification.table
    for name in table["methods"]:
        _among(f"{where}.methods", "a method of tables.retrieval", name, config.tables["retrieval"]["methods"])
    _check_only(f"{where}.only", "method", table["only"], table["methods"], config.run["seeds"])
    for k, some in enumerate(table["only"]):
        for pairs in some.get("pairs", []):
            budgets = config.grid()["methods"][some["method"]]
            _among(f"{where}.only[{k}].pairs", f"budgets at which {some['method']!r} runs", pairs, budgets)
    config.classification.check()


def _among(where: str, choices: str, choice: str | int, known: Collection[str | int]) -> None:
    """Raise an `InputError` with the nearest name if a choice isn't known; both are compared as text."""
    names = [str(name) for name in known]
    if str(choice) not in names:
        raise InputError(
            f"config: {where}: expected {choices}, found {choice!r}; take it out, or add it there (a list in a config "
            f"file replaces the whole list below it).{did_you_mean(str(choice), names)}"
        )


def _check_budgets(config: Sections) -> None:
    """Every method of the retrieval table runs at a budget, and a method runs at every budget; 0 can be idle."""
    grid = config.grid()["methods"]
    for name, budgets in grid.items():
        if not budgets:
            least = config.method(name).min_pairs
            raise InputError(
                f"config: run.pairs: expected a budget of {least} or more, which method {name!r} of tables.retrieval "
                f"needs, found {config.run['pairs']}; add one, or take the method out."
            )
        for pairs in budgets:
            _check_pairs(config, "run", name, pairs)
    used = {pairs for budgets in grid.values() for pairs in budgets}
    idle = [pairs for pairs in config.run["pairs"] if pairs not in (0, ALL) and str(pairs) not in used]
    if idle:
        raise InputError(
            f"config: run.pairs: expected budgets at which some method of tables.retrieval runs, found {idle[0]}; take "
            "it out, or add a method that runs with so few."
        )


def _check_foreign(config: Sections) -> None:
    """Foreign captions come from another data set, and exist wherever a table needs them."""
    for name, other in config.foreign.items():
        for each in (name, other):
            known("run.foreign", "data set", each, config.datasets)
        if name == other:
            raise InputError(f"config: run.foreign.{name}: expected another data set, found itself; name another.")
    groups = config.ablation_groups(full=True)
    tables = [config.unpaired, *([table.get("unpaired")] for table in config.tables.values())]
    varied = [unpaired for group in groups for _, _, unpaired in group["rows"]]
    if FOREIGN not in {unpaired for named in [*tables, varied] for unpaired in named}:
        return
    for name in [*config.run["datasets"], *config.vqa.table["aligned_on"].values()]:
        if name not in config.foreign:
            raise InputError(
                f"config: run.foreign: expected a data set whose captions are the unpaired ones of {name!r} in the "
                "setting 'foreign', found none; name one, or take the setting out of run.unpaired and the tables."
            )


def _single(config: Sections) -> Iterator[tuple[str, str, str | int]]:
    """(table, method, budget) of the tables that choose their own budgets."""
    for name in config.identifiability["methods"]:
        yield "tables.identifiability", name, config.identifiability["pairs"]
    for name in config.ablation_grid(full=True)["methods"]:
        yield "tables.ablations", name, config.ablations["pairs"]
    for name in config.generation.methods:
        for pairs in config.generation.table["pairs"]:
            yield "tables.generation", name, pairs
    for name in config.vqa.aligners():
        yield "tables.vqa", name, config.vqa.table["pairs"]


def _check_pairs(config: Sections, where: str, name: str, pairs: str | int) -> None:
    """A method and its teacher have as many known pairs as they need."""
    for each in filter(None, (name, config.raw.teacher(name))):
        method = config.method(each)
        if method.supervision == "some" and method.min_pairs > _number(pairs):
            taught = "" if each == name else f", from which {name!r} learns,"
            raise InputError(
                f"config: {where}.pairs: expected {method.min_pairs} pairs or more, which method {each!r}"
                f"{taught} needs, found {pairs}; raise it, take the method out, or choose its budgets among "
                "run.pairs by tables.retrieval.only."
            )


def _check_sizes(config: Sections) -> None:
    """No budget is larger than a data set's train split."""
    wanted = [("run", budget) for budget in config.run["pairs"]]
    for name, table in config.tables.items():
        budgets = table.get("pairs", [])
        wanted += [(f"tables.{name}", b) for b in (budgets if isinstance(budgets, list) else [budgets])]
    for name in config.run["datasets"]:
        size = (config.datasets[name].get("sizes") or {}).get("train")
        for where, budget in wanted:
            if size is not None and budget != ALL and budget > size * config.captions:
                raise InputError(
                    f"config: {where}.pairs: a budget of {budget} is larger than the train split of {name!r}, "
                    f"{size * config.captions} pairs; lower it, or enlarge datasets.{name}.sizes.train."
                )


def _number(pairs: str | int) -> float:
    """A budget as a number; all pairs are more than any."""
    return float("inf") if pairs == ALL else int(pairs)
