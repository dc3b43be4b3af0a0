"""What ran: put beside a package on PYTHONPATH as `sitecustomize`, notes which of its files a stage executes.

A function of the package notes its file when it is called; bodies of modules and classes, which an import runs, don't.
Other packages run as ever, so that it costs next to nothing.
"""

from __future__ import annotations

import ast
import atexit
import json
import marshal
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGE = FOLDER / "ngw"
ran: set[str] = set()


class Noting(SourceFileLoader):
    """Loads a module whose functions note its file; their code is kept, since it takes a second to make."""

    def get_code(self, fullname: str):
        cache = FOLDER / "traces" / f"{fullname}.code"
        if cache.is_file():
            return marshal.loads(cache.read_bytes())
        code = self.noting()
        temporary = cache.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(marshal.dumps(code))
        temporary.replace(cache)
        return code

    def noting(self):
        """The module's code, each of its functions with a note at its beginning."""
        tree = ast.parse(self.get_data(self.path), self.path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                note = ast.parse(f"__import__('sitecustomize').ran.add({self.path!r})").body
                told = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
                node.body[told:told] = note  # behind the docstring
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)


class Finder(PathFinder):
    """Finds this package's modules, for the loader above."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.split(".")[0] != PACKAGE.name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and Path(spec.origin).is_relative_to(PACKAGE):
            spec.loader = Noting(fullname, spec.origin)
        return spec


def write() -> None:
    """The command and the files of the package that it ran, as json."""
    files = sorted(Path(path).relative_to(PACKAGE).as_posix() for path in ran)
    text = json.dumps({"command": sys.orig_argv, "ran": files})
    (FOLDER / "traces" / f"{os.getpid()}.json").write_text(text)


if sys.orig_argv[1:3] == ["-m", "ngw"] and (FOLDER / "traces").is_dir():
    sys.meta_path.insert(0, Finder)
    atexit.register(write)
