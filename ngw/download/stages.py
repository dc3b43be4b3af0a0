"""The download command: it lists what configs need, has the licences accepted once, and fetches the files."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ngw.arguments import POSITIONAL, Root, count
from ngw.cli import stage
from ngw.errors import FullDisk, InputError

if TYPE_CHECKING:
    from ngw.download.items import Item

ACCEPTED = ".ngw-licences"  # in the project's folder: a line each


@stage("Fetch the data sets and weights that configs need, or data sets by name.")
def download(
    what: Annotated[Sequence[str], POSITIONAL, "configs laid over config.yaml, or data sets: coco vqa2 flickr30k"] = (),
    root: Root = Path(),
    table: Annotated[Path | None, "another table of official files, such as a mirror's"] = None,
    parallel: Annotated[int, count, "files fetched at once"] = 4,
    dry_run: Annotated[bool, "list files, their sizes and the free space, and fetch nothing"] = False,
    accept_licences: Annotated[bool, "accept the licences that you have read, needed once"] = False,
) -> None:
    """The download command, which the rule of that name runs; existing files stay as they are.

    Raises:
        InputError: a file that couldn't be fetched, or that a person must request; raised after all others are fetched.
    """
    from ngw.download import items

    if find_spec("requests") is None:
        raise InputError("download: expected the package requests, found none; pip install requests.")
    wanted = _wanted(what, root, items.table(table or items.TABLE))
    with ThreadPoolExecutor(parallel) as pool:
        sizes = dict(zip(wanted, pool.map(lambda item: item.missing(), wanted), strict=True))
    missing = [item for item in wanted if sizes[item] != 0]
    width = max((len(item.name) for item in wanted), default=0)
    for item in wanted:
        print(f"{item.name:{width}} {_state(item, sizes[item]):>22}  {item.place}  {item.url or item.form}")
    fetched = [item for item in missing if item.url]
    _tell_room({item: sizes[item] for item in fetched}, check=not dry_run)
    new = _licences(fetched, root / ACCEPTED)
    if dry_run:
        return
    _accept(new, root / ACCEPTED, accept_licences)
    faults = _fetch(fetched, parallel)
    by_hand = [item for item in missing if not item.url]
    faults += [
        InputError(f"{item.name}: expected it below {item.root}, found none; put it there ({item.form}).")
        for item in by_hand
    ]
    if faults:
        kind = FullDisk if any(isinstance(fault, FullDisk) for fault in faults) else InputError
        more = f" (and {len(faults) - 1} more, above)" if len(faults) > 1 else ""
        for fault in faults[1:]:
            print(fault)
        raise kind(f"{faults[0]}{more}")


def _wanted(what: Sequence[str], root: Path, table) -> list[Item]:
    """The items of config files, laid over config.yaml, and of names; without both, of config.yaml alone."""
    from ngw.config import Config, read
    from ngw.download import needs
    from ngw.tools.status import merged

    files = [word for word in what if word not in table["sets"] and word.endswith((".yaml", ".yml"))]
    names = [word for word in what if word not in files]
    found = needs.of_names(names, table, root)
    if files or not names:
        values = read(root / "config.yaml")
        for path in files:
            values = merged(values, read(path))
        found += needs.of_config(Config(values), table, root)
    return list(dict.fromkeys(found))


def _state(item: Item, size: int | None) -> str:
    """An item's state in a few words."""
    if size == 0:
        return "there"
    if not item.url:
        return "by hand"
    return "size unknown" if size is None else f"{_bytes(size)} to fetch"


def _tell_room(fetched: Mapping[Item, int | None], check: bool) -> None:
    """Print one line a disk: the space needed at most, for archives beside their content, and the free space.

    check: raise a `FullDisk` error if that is too little.
    """
    disks: dict[int, list] = {}
    for item, missing in fetched.items():
        place = next(path for path in (item.root.absolute(), *item.root.absolute().parents) if path.exists())
        disks.setdefault(place.stat().st_dev, [place, 0])[1] += item.room(missing)
    for place, needed in disks.values():
        free = shutil.disk_usage(place).free
        print(f"{place}: at most {_bytes(needed)} are needed while archives are unpacked, {_bytes(free)} are free")
        if check and needed > free:
            raise FullDisk(
                f"{place}: expected {_bytes(needed)}, found {_bytes(free)} free; free some, or fetch by parts."
            )
    unknown = sum(size is None for size in fetched.values())
    if unknown:
        print(f"{unknown} files of unknown size are not counted")
    if not fetched:
        print("nothing to fetch")


def _licences(fetched: Sequence[Item], file: Path) -> list[str]:
    """Print the licences that have not been accepted in this project yet; returns them."""
    known = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    lines = [f"{item.name}: {item.licence or f'as its card says, {item.url}'}" for item in fetched]
    new = [line for line in dict.fromkeys(lines) if line not in known]
    if new:
        print("Licences:", *new, sep="\n  ")
    return new


def _accept(new: Sequence[str], file: Path, accept: bool) -> None:
    """Record new licences as accepted; an `InputError` if they aren't."""
    from ngw import io

    if new and not accept:
        raise InputError(f"{file}: expected {len(new)} licences to be accepted; read them, and add --accept-licences.")
    if new:
        known = file.read_text(encoding="utf-8") if file.is_file() else ""
        io.write_text(file, known + "".join(f"{line}\n" for line in new))


def _fetch(fetched: Sequence[Item], parallel: int) -> list[InputError]:
    """Fetch items in parallel, each with its bar, and print a line each; a failure doesn't stop the others."""
    faults, stop = [], threading.Event()
    with ThreadPoolExecutor(parallel) as pool:
        running = {pool.submit(item.obtain, stop): item for item in fetched}
        try:
            for done in as_completed(running):
                try:
                    print(f"{running[done].name}: {done.result()}", flush=True)
                except InputError as error:
                    faults.append(error)
        except BaseException:  # an interruption: the threads end too, and keep their parts
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return faults


def _bytes(size: int) -> str:
    """A size in readable units."""
    power = 0 if size < 1000 else 1 if size < 10**6 else 2 if size < 10**9 else 3
    return f"{size / 1000**power:.{1 if power else 0}f} {('bytes', 'kB', 'MB', 'GB')[power]}"
