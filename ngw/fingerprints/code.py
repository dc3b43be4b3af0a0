"""A stage's code: the source files of this package that it can reach, found from their imports, and their digests."""

from __future__ import annotations

import ast
import atexit
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ngw import io
from ngw.errors import InputError, did_you_mean

PACKAGE = Path(__file__).parents[1]
KEPT = Path(".snakemake/ngw-code.json")  # where Snakemake runs: each of its processes needs the same fingerprints
LEFT_OUT = {  # modules that a stage reaches but its results don't depend on, and why
    "ngw": "exports names and the version, which every record has",
    "ngw.errors": "words of error messages",
    "ngw.record.origin": "says where a record comes from",
    "ngw.cli": "hands options to a stage; their values are in the command, which Snakemake watches",
    "ngw.arguments": "reads options, likewise",
    "ngw.tasks.batch": "calls a stage for one run after another, with options that Snakemake watches",
    "ngw.fingerprints.code": "tells one state of the code from another",
}
Reached = tuple[str, str]  # a module and, in a module of stages, the definition that is reached ("": the whole file)


@cache
def fingerprint(stage: str, *components: str) -> str:
    """What a stage's results depend on in this package, as text: `file:digest` of each file, in order.

    stage: module:function, such as "ngw.tasks.stages:fit".  components: modules of the kinds that the stage builds,
    which it imports by their names in the config, such as "ngw.methods.cca".  A module of stages counts only by the
    definitions that the stage can reach.  An edit of a file changes the text; a touch or a move of the folder doesn't.
    """
    kept, key = _kept(), " ".join((stage, *components))
    if key not in kept:
        module, _, function = stage.partition(":")
        closure = _closure([(module, function), *((name, "") for name in components)])
        kept[key] = " ".join(f"{_name(*reached)}:{_digest(*reached)}" for reached in sorted(closure))
    return kept[key]


@cache
def _kept() -> dict[str, str]:
    """The fingerprints that earlier processes computed from this state of the package; new ones are saved at exit.

    Parsing the package takes a second, a digest of its files some milliseconds.
    """
    if not KEPT.parent.is_dir():
        return {}
    path, digest = KEPT.absolute(), hashlib.sha256()
    for file in sorted(file for form in ("*.py", "*.html") for file in PACKAGE.rglob(form)):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(PACKAGE)} {len(content)} ".encode() + content)
    saved = io.read_json(path) if path.is_file() else {}
    kept = saved["fingerprints"] if saved.get("package") == digest.hexdigest() else {}
    before = len(kept)

    def save() -> None:
        if len(kept) > before:
            io.write_json(path, {"package": digest.hexdigest(), "fingerprints": kept})

    atexit.register(save)
    return kept


def files(stage: str, *components: str) -> set[str]:
    """The files of a fingerprint, relative to the package: "methods/cca.py"; modules of stages without the function."""
    return {entry.split(":")[0] for entry in fingerprint(stage, *components).split()}


def _closure(first: Iterable[Reached]) -> set[Reached]:
    """All that the first ones import, directly or through others, and the packages that contain these modules."""
    closure: set[Reached] = set()
    waiting = list(first)
    while waiting:
        module, name = reached = waiting.pop()
        if reached in closure or module in LEFT_OUT:
            continue
        closure.add(reached)
        waiting += _imports(module, name)
        waiting += [(module.rsplit(".", 1)[0], "")]
    return closure


@cache
def _imports(module: str, name: str) -> tuple[Reached, ...]:
    """All imports in a module's file; in a module of stages, the imports that one definition needs."""
    return tuple(_imported(_definitions(module, name) if name else _tree(module).body))


def _imported(statements: Iterable[ast.stmt]) -> Iterator[Reached]:
    """The modules of this package that statements import, inside functions too, but not for type checkers only."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if _is_own(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_own(node.module):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                one = alias.name if _has_stages(node.module) else ""
                yield (whole, "") if _file(whole) else (node.module, one)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _imported(node.orelse)
        else:
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imported(getattr(node, block, []))


def _definitions(module: str, name: str) -> list[ast.stmt]:
    """The top-level statements of a module that one of its names needs, in order; imports are split name by name."""
    bound: dict[str, list[ast.stmt]] = {}
    for node in _tree(module).body:
        for own, statement in _bound(node):
            bound.setdefault(own, []).append(statement)
    if name not in bound:
        raise InputError(f"{_file(module)}: {name!r} isn't defined there.{did_you_mean(name, filter(None, bound))}")
    statements: set[ast.stmt] = set()
    waiting = ["", name]
    while waiting:
        for used in bound.get(waiting.pop(), []):
            if used not in statements:
                statements.add(used)
                waiting += [part.id for part in ast.walk(used) if isinstance(part, ast.Name)]
    return sorted(statements, key=lambda node: node.lineno)


def _bound(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """The names that a top-level statement binds, each with the statement that binds it; "" where it only acts."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            one = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
            yield (alias.asname or alias.name).split(".")[0], ast.copy_location(one, node)
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for inner in node.orelse:
            yield from _bound(inner)
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):  # which is a docstring
        parts = list(ast.walk(node))
        names = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        names |= {part.name for part in parts if isinstance(part, ast.FunctionDef | ast.ClassDef)}
        for part in parts:
            names |= {own for own, _ in _bound(part)} if isinstance(part, ast.Import | ast.ImportFrom) else set()
        yield from ((own, node) for own in sorted(names) or [""])


def _has_stages(module: str) -> bool:
    """Whether a module defines stages; only its reached definitions count then."""
    return _file(module) is not None and "\n@stage(" in _source(module)


@cache
def _digest(module: str, name: str) -> str:
    """Ten digits that identify a file's content, or the definitions that one of its names needs.

    A template with the module's name, such as `page.html` beside `page.py`, counts as a part of the module.
    """
    source = _source(module)
    template = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".html")
    if template.is_file():
        source += template.read_text(encoding="utf-8")
    if name:
        lines = source.splitlines(keepends=True)
        own = [node for node in _definitions(module, name) if not isinstance(node, ast.Import | ast.ImportFrom)]
        source = "".join("".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in own)
    return hashlib.sha256(source.encode()).hexdigest()[:10]


def _first_line(node: ast.stmt) -> int:
    """Where a definition begins, its decorators included."""
    return min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])


def _name(module: str, name: str) -> str:
    """A file's name in a fingerprint, followed by the stage's function."""
    file = _file(module)
    assert file is not None  # since it was read
    return file.relative_to(PACKAGE).as_posix() + (f":{name}" if name else "")


def _is_own(module: str) -> bool:
    return module.split(".")[0] == PACKAGE.name


@cache
def _file(module: str) -> Path | None:
    """A module's file; None if the name is a function's or a class's."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _source(module: str) -> str:
    file = _file(module)
    if file is None:
        raise InputError(f"{module}: expected a module of {PACKAGE}, found none; mend the name.")
    return file.read_text(encoding="utf-8")


@cache
def _tree(module: str) -> ast.Module:
    """A module's syntax; `from .x` has x's whole name."""
    tree, file = ast.parse(_source(module)), _file(module)
    package = module.split(".")[: None if file is not None and file.name == "__init__.py" else -1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) + 1 - node.level]
            node.module, node.level = ".".join([*above, *filter(None, [node.module])]), 0
    return tree
