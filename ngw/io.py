"""Files: atomic writes, tables (parquet), records (json). The only module beside `__main__` that knows paths."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ngw.errors import InputError


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it there, on failure remove it.

    A disk that is full is an `InputError` that names the file; nothing of it stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"{path}: expected room for the file, found {free:,} bytes on its disk, or a quota that is used up; free "
            "some and run again (nothing half-written is left)."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as JSON, keys in their order, non-finite numbers refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file; an `InputError` names the file where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path in the config.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, found {error}; delete it, and make or fetch it again.") from None


def write_table(path: str | os.PathLike, columns: Mapping[str, Sequence | np.ndarray]) -> None:
    """Write equally long columns (lists or arrays) as a parquet file."""
    import pyarrow
    import pyarrow.parquet

    with atomic(path) as temporary:
        pyarrow.parquet.write_table(
            pyarrow.table(dict(columns)), temporary, compression="zstd", write_page_checksum=True
        )


def read_table(path: str | os.PathLike, columns: Sequence[str], split: str | None = None) -> dict[str, list]:
    """Read the named columns of a parquet file as lists; a missing file or column is an `InputError`.

    split: where given, of the rows whose column `split` says so alone; none may.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    wanted = dict.fromkeys(columns if split is None else [*columns, "split"])

    try:  # not read_table, which imports pandas
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.schema_arrow.names
            missing = [name for name in wanted if name not in found]
            table = None if missing else file.read(list(wanted))
    except FileNotFoundError:
        raise InputError(f"{path}: no such table; run the stage that writes it.") from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        found = " ".join(str(error).split())
        raise InputError(f"{path}: expected a whole parquet table, found {found}; delete it and rerun.") from None
    if missing:
        raise InputError(f"{path}: expected columns {list(wanted)}, found {found}; delete it and rerun.")
    assert table is not None  # since no column is missing
    if split is not None:
        table = table.filter(pyarrow.compute.equal(table["split"], split))
    return {name: table[name].to_pylist() for name in columns}


def write_tensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays and text metadata as a safetensors file."""
    from safetensors.numpy import save

    with atomic(path) as temporary:  # not save_file, whose files only their owner may read
        temporary.write_bytes(save({k: np.asarray(v, order="C") for k, v in arrays.items()}, metadata=dict(metadata)))


def read_tensors(
    path: str | os.PathLike, what: str, needed: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, metadata) of a safetensors file; `needed`: a key that a `what`'s metadata has."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (FileNotFoundError, SafetensorError) as error:
        raise InputError(f"{path}: expected {what}, found {error}; delete it and rerun its stage.") from None
    if needed is not None and needed not in metadata:
        raise InputError(f"{path}: expected {what}, found other tensors; check the path.")
    return arrays, metadata
