"""Files: atomic writes, tables (parquet), records (json), tensors (safetensors); readers check each file's digest.

Only this package, the stages and the command line know paths.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ngw.errors import InputError
from ngw.io import digests
from ngw.io.atomic import atomic

NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
CODES = {"bool": "BOOL"} | {name: re.sub("[a-z]+", name[0].upper(), name) for name in NUMBERS}  # names in safetensors
CHUNK = 1 << 24  # bytes
NO_TABLE = "no such table; run the stage that writes it"
NO_JSON = "no such file; check the path in the config"
NO_RECORD = "no such record; run the stage that writes it"


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as JSON; keys keep their order, and non-finite numbers are refused.

    The file carries no digest, since official formats have no place for one: a record vouches for it (`write_record`).
    """
    write_text(path, _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def read_json(path: str | os.PathLike) -> Any:
    """Read any JSON file; an `InputError` names the file if it is missing, unreadable or broken."""
    with digests.opened(path, "JSON", NO_JSON) as file:
        content = file.read()
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, found {error}; delete it, and make or fetch it again.") from None


def write_record(path: str | os.PathLike, value: Mapping[str, Any], files: Iterable[Path] = ()) -> None:
    """Write a record, of a run for example, as JSON with its digest as the last key.

    files: files beside or below it that carry no digest themselves: the record keeps theirs (key `files`).
    """
    path = Path(path)
    vouched = {os.path.relpath(file, path.parent): digests.of(file) for file in files}
    text = _json({**value, **({"files": vouched} if vouched else {}), digests.KEY: digests.BLANK})
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        digests.seal(temporary)


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The value that `write_record` wrote; an `InputError` if the file has changed since."""
    record = _sealed(path)
    return {name: value for name, value in record.items() if name not in (digests.KEY, "files")}


def _sealed(path: str | os.PathLike) -> dict[str, Any]:
    """A record with its digests, checked."""
    digests.check(path, "a record", NO_RECORD)
    return read_json(path)


def check_vouched(record: str | os.PathLike, file: str | os.PathLike | None = None) -> None:
    """Refuse a file that differs from the digest in its record; by default, check all files of the record.

    A `file` that the record doesn't list comes from elsewhere and isn't checked.
    """
    folder, vouched = Path(record).parent, _sealed(record).get("files", {})
    for name, digest in vouched.items():
        if file is None or os.path.abspath(folder / name) == os.path.abspath(file):
            with digests.opened(folder / name, f"the file of {record}", f"no such file, but {record} knows it"):
                current = digests.of(folder / name)
            if current != digest:
                raise InputError(
                    f"{folder / name}: expected the file of {record}, found content that differs from its digest "
                    "there; delete both and rerun their stage."
                )


def write_table(
    path: str | os.PathLike, columns: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:  # fmt: skip
    """Write columns of one length (lists, NumPy or Arrow arrays) as a parquet file with its digest in the metadata."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(dict(columns), metadata=dict(metadata or {}) or None)
    with atomic(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, table.schema, compression="zstd") as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"ngw": json.dumps({digests.KEY: digests.BLANK})})
        digests.seal(temporary)


def read_table(
    path: str | os.PathLike, columns: Sequence[str], split: str | None = None, foreign: bool = False
) -> dict[str, list]:
    """Read the named columns of a parquet file as lists; a missing file or column is an `InputError`.

    split: if given, only the rows of this split, possibly none.  foreign: another program's file, which carries no
    digest.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    wanted = dict.fromkeys(columns if split is None else [*columns, "split"])
    if not foreign:
        digests.check(path, "a whole parquet table", NO_TABLE)
    try:  # not read_table, which imports pandas
        with (
            digests.opened(path, "a parquet table", NO_TABLE) as content,
            pyarrow.parquet.ParquetFile(content, page_checksum_verification=True) as file,
        ):
            names = file.schema_arrow.names
            missing = [name for name in wanted if name not in names]
            table = None if missing else file.read(list(wanted))
    except pyarrow.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected a whole parquet table, found {reason}; delete it and rerun.") from None
    if missing:
        raise InputError(f"{path}: expected columns {list(wanted)}, found {names}; delete it and rerun.")
    assert table is not None  # since no column is missing
    if split is not None:
        table = table.filter(pyarrow.compute.equal(table["split"], split))
    return {name: table[name].to_pylist() for name in columns}


@dataclass
class Rows:
    """A write-only array in a file. Each assignment maps the file anew, so written rows leave the memory."""

    path: Path
    dtype: str
    offset: int
    shape: tuple[int, ...]

    def __setitem__(self, rows, values) -> None:
        if 0 not in self.shape:  # an empty array has nothing to map
            np.memmap(self.path, self.dtype, "r+", self.offset, self.shape)[rows] = values


def _header(arrays: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> tuple[bytes, dict, int]:
    """The safetensors header of named (dtype, shape) arrays, the byte offset of each, and the file's size."""
    blank = {digests.KEY: digests.BLANK}
    entries: dict[str, Any] = {"__metadata__": blank | dict(sorted(metadata.items())) | blank}  # the digest comes first
    end = 0
    for name, (dtype, shape) in arrays.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    offsets = {name: 8 + len(text) + entries[name]["data_offsets"][0] for name in arrays}
    return len(text).to_bytes(8, "little") + text, offsets, 8 + len(text) + end


def _reserve(file: BinaryIO, size: int) -> None:
    """Reserve a file's final size on the disk; where the system can't (macOS), write zeros."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(file.tell(), size, CHUNK):
        file.write(bytes(min(CHUNK, size - start)))


@contextmanager
def tensors_writer(
    path: str | os.PathLike, arrays: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> Iterator[dict[str, Rows]]:
    """Stream arrays to a safetensors file: yields {name: Rows}; memory doesn't grow with their size.

    arrays: {name: (dtype, shape)}.  The content's digest enters the header last; then the file is renamed to its
    final path, so a reader never sees a partial file.
    """
    head, offsets, size = _header(arrays, metadata)
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(head)
            _reserve(file, size)  # a full disk fails here, not after an hour
        yield {name: Rows(temporary, dtype, offsets[name], shape) for name, (dtype, shape) in arrays.items()}
        digests.seal(temporary, first=True)


def write_tensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays and text metadata as a safetensors file with its digest."""
    values = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    order = sorted(values, key=lambda name: (-values[name].itemsize, name))  # so that each array is aligned
    with tensors_writer(path, {name: (values[name].dtype.name, values[name].shape) for name in order}, metadata) as out:
        for name, value in values.items():
            out[name][...] = value


def check_tensors(path: str | os.PathLike, content: str, missing: str) -> None:
    """Refuse a safetensors file that is missing or changed since this suite wrote it; see `digests.check`."""
    digests.check(path, content, missing, first=True)


def read_tensors(
    path: str | os.PathLike, content: str, needed: str | None = None, foreign: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, metadata) of a safetensors file; `needed`: a key that the metadata of `content` always has.

    foreign: another program's file, which carries no digest.
    """
    from safetensors import SafetensorError, safe_open

    missing = f"expected {content}, found no such file; run the stage that writes it, or check the path"
    if foreign:
        with digests.opened(path, content, missing):
            pass
    else:
        check_tensors(path, content, missing)
    try:
        with safe_open(path, framework="np") as file:
            metadata = {key: text for key, text in (file.metadata() or {}).items() if key != digests.KEY}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        remedy = "write it again" if foreign else "delete it and rerun its stage"
        raise InputError(f"{path}: expected {content}, found {error}; {remedy}.") from None
    except (TypeError, AttributeError) as error:  # NumPy lacks bfloat16 and 8-bit floats
        raise InputError(f"{path}: expected numbers that NumPy has, found {error}; save them as float32.") from None
    if needed is not None and needed not in metadata:
        raise InputError(f"{path}: expected {content}, found other tensors; check the path.")
    return arrays, metadata


def mapped_tensors(
    path: str | os.PathLike, content: str, schema: str, missing: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(memory-mapped arrays, metadata) of a safetensors file of a schema; the digest is checked first."""
    check_tensors(path, content, missing)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    metadata, dtypes = entries.pop("__metadata__"), {code: dtype for dtype, code in CODES.items()}
    if metadata.get("schema") != schema:
        raise InputError(f"{path}: expected schema {schema}, found {metadata.get('schema')}; delete it and rerun.")
    arrays = {
        name: np.memmap(
            path, dtypes[entry["dtype"]], "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"])
        ).view(np.ndarray)
        for name, entry in entries.items()
    }
    return arrays, metadata
