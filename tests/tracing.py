"""What ran: put beside a package on PYTHONPATH as `sitecustomize`, notes which of its files a stage executes."""

import atexit
import inspect
import json
import os
import re
import sys
import threading
from pathlib import Path

FOLDER = Path(__file__).parent
ran: set[str] = set()


def note(frame, event, argument):
    """Of each call of a function its file; bodies of modules and classes, and tables that they make, an import runs."""
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and not frame.f_code.co_name.startswith("<"):
        ran.add(frame.f_code.co_filename)


def write() -> None:
    """The command and the files of the package that it ran, as json."""
    package = f"{FOLDER}{os.sep}ngw{os.sep}"
    files = sorted(Path(path).relative_to(package).as_posix() for path in ran if path.startswith(package))
    text = json.dumps({"command": sys.orig_argv, "ran": files})
    (FOLDER / "traces" / f"{os.getpid()}.json").write_text(text)


def is_first() -> bool:
    """Whether this is the first process of its stage and kinds of components: tracing takes seconds of each."""
    words = [sys.orig_argv[3], *re.findall(r'"kind": "([\w-]+)"', " ".join(sys.orig_argv))]
    try:
        (FOLDER / "traces" / f"{'-'.join(words)[:200]}.claimed").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if sys.orig_argv[1:3] == ["-m", "ngw"] and (FOLDER / "traces").is_dir() and is_first():
    threading.settrace(note)
    sys.settrace(note)
    atexit.register(write)
