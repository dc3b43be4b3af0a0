"""The package's tree: imports go one way and in no circle, types included, and the root stays small."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ngw"
LAYERS = [  # bottom to top; a module belongs to the longest name that begins its own
    {"ngw", "ngw.errors", "ngw.project"},
    {"ngw.schema", "ngw.registry", "ngw.options", "ngw.seeds"},
    {"ngw.arguments"},
    {"ngw.io", "ngw.meter", "ngw.products", "ngw.device"},
    {"ngw.record"},
    {"ngw.cli"},  # whose decorator makes a function a stage; it finds them by name, and imports none
    {"ngw.ot", "ngw.metrics", "ngw.data", "ngw.encoders"},
    {"ngw.features", "ngw.fingerprints.outside"},
    {"ngw.nn"},
    {"ngw.maps"},
    {"ngw.methods"},
    {"ngw.fusion"},
    {"ngw.tasks"},
    {"ngw.config"},
    {"ngw.comparison"},
    {"ngw.dual"},
    {"ngw.tools"},
    {"ngw.download", "ngw.rehearsal"},
    {"ngw.report"},
    {"ngw.tasks.stages", "ngw.tasks.vqa.stages", "ngw.tasks.captions.stages"},
    {"ngw.tasks.images.stages", "ngw.tasks.joint.stages", "ngw.tasks.outside"},
    {"ngw.tasks.classification.stages"},
    {"ngw.__main__"},
    {"ngw.fingerprints"},
    {"ngw.tasks.batch"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that one imports, anywhere in its file."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            names |= {whole if (whole := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}
    return frozenset(names & MODULES.keys() - {module})


def layer(module: str) -> str:
    """The longest name in LAYERS that begins a module's; the package's own is that of its root's file alone."""
    parts = module.split(".")
    names = [".".join(parts[: k + 1]) for k in range(len(parts))]
    known = [name for name in names if name in HEIGHT and (name != "ngw" or module == "ngw")]
    assert known, f"{module} stands in no layer; give it one"
    return known[-1]


def circles() -> set[frozenset[str]]:
    """The sets of modules that import one another, by way of others or not."""

    def reached(module: str) -> set[str]:
        seen, waiting = set(), [module]
        while waiting:
            new = imports(waiting.pop()) - seen
            seen |= new
            waiting += new
        return seen

    reach = {module: reached(module) for module in MODULES}
    return {frozenset(m for m in reach[module] if module in reach[m]) for module in MODULES if module in reach[module]}


def test_no_module_imports_one_above_it():
    upwards = [
        f"{module} -> {other}"
        for module in MODULES
        for other in sorted(imports(module))
        if layer(module) != layer(other) and HEIGHT[layer(other)] >= HEIGHT[layer(module)]
    ]
    assert upwards == []


def test_every_layer_is_there():
    assert HEIGHT.keys() <= MODULES.keys()


def test_no_module_imports_itself_by_way_of_others():
    assert [sorted(circle) for circle in circles()] == []


def test_the_root_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 12
