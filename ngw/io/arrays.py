"""Features [n, d] in other programs' formats, in and out: npy, safetensors, parquet, folders of Hugging Face datasets.

`write` stores a tensor, or a column of lists, `features`, and the ids: tensors `ids` and `image_ids`, columns `id` and
`image_id`, or two more npy files.  `read` also accepts files of other programs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np

from ngw import io
from ngw.errors import InputError
from ngw.io import digests
from ngw.io.atomic import atomic

SUFFIXES = (".npy", ".safetensors", ".parquet")
FORMS = "features (.npy, .safetensors, .parquet, or a folder written by Dataset.save_to_disk)"
MISSING = "no such file; check the path"
KEYS = {"ids": "id", "image_ids": "image_id"}  # names of tensors, and of columns
SEAL = "ngw"  # this metadata key marks this suite's files; in a parquet table it holds the digest
FOREIGN = (SEAL, "ARROW:schema", "pandas", "huggingface")  # metadata keys that say nothing about the features
DATASET, SPLITS = "state.json", "dataset_dict.json"  # in a folder of a Dataset, or of a DatasetDict


class Rows(NamedTuple):
    """x [n, d], memory-mapped from an npy; ids and image_ids [n] if the file has them; its metadata."""

    x: np.ndarray
    ids: np.ndarray | None = None
    image_ids: np.ndarray | None = None
    metadata: Mapping[str, str] = {}


def check_name(path: str | os.PathLike) -> None:
    """Refuse a name whose ending is no format of features; a name without an ending is a folder's."""
    if Path(path).suffix not in ("", *SUFFIXES):
        raise InputError(f"{path}: expected {FORMS}, found the ending {Path(path).suffix}; name another.")


def read(path: str | os.PathLike) -> Rows:
    """Features from a file, by its ending, or from a folder that `Dataset.save_to_disk` wrote.

    safetensors: the tensor `features`, or `pooled` (a feature file of this suite), or the only tensor of two axes.
    Parquet and datasets: the column `features` of lists of one length, or the only column of lists, or all columns of
    floating-point numbers in their order.

    Raises:
        InputError: no such file, or none of these in it.
    """
    path = Path(path)
    if path.is_dir():
        return _dataset(path)
    check_name(path)
    if path.suffix == ".npy":
        return Rows(npy(path))
    if path.suffix == ".safetensors":
        return _tensors(path)
    if path.suffix == ".parquet":
        return _table(path)
    raise InputError(f"{path}: expected {FORMS}, found {MISSING}.")


def npy(path: Path) -> np.ndarray:
    """An .npy file, memory-mapped; pickled objects are refused."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: {MISSING}.") from None
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:  # NumPy reads the header as Python
        raise InputError(f"{path}: expected an .npy file of numbers, found {error}; write it again.") from None


def _tensors(path: Path) -> Rows:
    """The rows of a safetensors file; a file of this suite is checked by its digest."""
    arrays, metadata = io.read_tensors(path, "features and ids", foreign=True)
    if SEAL in metadata:
        io.check_tensors(path, "features", MISSING)
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    alone = matrices[0] if len(matrices) == 1 else None
    name = next((name for name in ("features", "pooled") if name in arrays), alone)
    if name is None:
        raise InputError(
            f"{path}: expected a tensor 'features', or one [n, d] alone, found {', '.join(arrays)}; rename it."
        )
    rows = Rows(arrays[name], arrays.get("ids"), arrays.get("image_ids"), metadata)
    for key in KEYS:
        if (ids := getattr(rows, key)) is not None and ids.shape != rows.x.shape[:1]:
            raise InputError(
                f"{path}: expected {len(rows.x)} {key}, one a row, found {list(ids.shape)}; write one for each row."
            )
    return rows


def _table(path: Path) -> Rows:
    """The rows of a parquet file; only the columns in use are read."""
    import pyarrow
    import pyarrow.parquet

    try:  # not read_table, which imports pandas
        with digests.opened(path, "a parquet table", MISSING) as content, pyarrow.parquet.ParquetFile(content) as file:
            names = _feature_columns(path, file.schema_arrow)
            rows = _rows(path, file.read([*names, *_id_columns(file.schema_arrow)]), names)
            head = {key.decode(): text.decode() for key, text in (file.metadata.metadata or {}).items()}
    except pyarrow.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected a whole parquet table, found {reason}; write it again.") from None
    if SEAL in head:
        digests.check(path, "a whole parquet table", MISSING)
    return rows._replace(metadata={name: text for name, text in head.items() if name not in FOREIGN})


def _dataset(path: Path) -> Rows:
    """The rows of a Dataset's folder, in their order; no image or sound is decoded."""
    if (path / SPLITS).is_file():
        splits = sorted(place.parent.name for place in path.glob(f"*/{DATASET}"))
        raise InputError(f"{path}: expected one Dataset, found the splits {', '.join(splits)}; name the folder of one.")
    if not (path / DATASET).is_file():
        raise InputError(f"{path}: expected {FORMS}, found a folder without {DATASET}; name another.")
    datasets = _library(path)
    try:
        dataset = datasets.load_from_disk(str(path))
        schema = dataset.with_format("arrow")[:0].schema
        names = _feature_columns(path, schema)
        table = dataset.select_columns([*names, *_id_columns(schema)]).with_format("arrow")[:]
    except InputError:
        raise
    except Exception as error:  # an incomplete folder raises errors of JSON, of Arrow, of keys
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{path}: expected a Dataset, found {reason}; save it again.") from None
    return _rows(path, table, names)


def _library(path: Path) -> Any:
    try:
        import datasets
    except ModuleNotFoundError:
        raise InputError(
            f"{path}: expected the package datasets, which a folder of features needs, found none; pip install "
            "'ngw[datasets]', or use .npy, .safetensors or .parquet."
        ) from None
    return datasets


def _id_columns(schema: Any) -> list[str]:
    return [name for name in KEYS.values() if name in schema.names]


def _feature_columns(path: Path, schema: Any) -> list[str]:
    """The names of the features' columns: one column of lists, or all columns of floating-point numbers."""
    import pyarrow.types as types

    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    lists = [field.name for field in schema if any(kind(field.type) for kind in kinds)]
    chosen = [name for name in lists if name == "features"] or lists
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: expected each column once, found {twice!r} again; rename one, or leave it out.")
    if len(chosen) == 1:
        return chosen
    numbers = [field.name for field in schema if types.is_floating(field.type)]
    if chosen or not numbers:
        raise InputError(
            f"{path}: expected a column 'features' of lists, or one column of lists alone, or columns of floats, found "
            f"{', '.join(schema.names) or 'none'}; rename one, or leave the others out."
        )
    return numbers


def _rows(path: Path, table: Any, names: list[str]) -> Rows:
    """Features and ids of an Arrow table."""
    columns = [_column(path, name, table[name]) for name in names]
    x = columns[0] if columns[0].ndim == 2 else np.stack(columns, 1)
    ids, image_ids = (table[name].to_numpy() if name in table.column_names else None for name in KEYS.values())
    return Rows(x, ids, image_ids)


def _column(path: Path, name: str, column: Any) -> np.ndarray:
    """A column of numbers as [n]; a column of lists as [n, d], chunk by chunk."""
    import pyarrow.compute
    import pyarrow.types as types

    missing = column.null_count
    if types.is_floating(column.type):
        values, widths = column, [1]
    else:
        widths = pyarrow.compute.list_value_length(column).unique().drop_null().to_pylist()
        values = pyarrow.compute.list_flatten(column)
    if missing or values.null_count or len(widths) > 1:
        flaw = f"lengths {sorted(widths)[:5]}" if len(widths) > 1 else "empty cells"
        raise InputError(f"{path}: expected features of one length, found {flaw} in column {name!r}; mend the file.")
    if not (types.is_floating(values.type) or types.is_integer(values.type)):
        raise InputError(f"{path}: expected lists of numbers, found {values.type} in column {name!r}; mend the file.")
    array = values.to_numpy()
    return array if types.is_floating(column.type) else array.reshape(len(column), -1 if len(column) else 0)


def write(path: str | os.PathLike, rows: Rows) -> list[Path]:
    """Write features and their ids in the format of the name's ending; returns the files, or the folder, written."""
    path = Path(path)
    check_name(path)
    ids = {name: values for name in KEYS if (values := getattr(rows, name)) is not None}
    if rows.x.ndim != 2 or rows.x.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected features [n, d] of numbers to write, found {list(rows.x.shape)} of {rows.x.dtype}; mend "
            "what was read."
        )
    if path.suffix in (".npy", ".safetensors") and any(values.dtype.kind not in "iu" for values in ids.values()):
        raise InputError(f"{path}: expected whole numbers as ids, found others; name a .parquet, or a folder.")
    if path.suffix == ".npy":
        return [_write_npy(path, rows.x), *(_write_npy(path.with_suffix(f".{name}.npy"), ids[name]) for name in ids)]
    if path.suffix == ".safetensors":
        io.write_tensors(path, {"features": rows.x, **ids}, rows.metadata)
        return [path]
    import pyarrow

    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ascontiguousarray(rows.x).ravel()), rows.x.shape[1])
    columns = {**{KEYS[name]: values for name, values in ids.items()}, "features": lists}
    if path.suffix == ".parquet":
        io.write_table(path, columns, {name: text for name, text in rows.metadata.items() if name not in FOREIGN})
    else:
        _write_dataset(path, columns, rows.metadata)
    return [path]


def _write_npy(path: Path, array: np.ndarray) -> Path:
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)
    return path


def _write_dataset(path: Path, columns: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write a folder for `datasets.load_from_disk`; it can replace another Dataset, but no other files."""
    import pyarrow

    if path.exists() and not (path / DATASET).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path}: expected a new folder, or a Dataset's, found other files; name another.")
    datasets = _library(path)
    about = "\n".join(f"{name}: {value}" for name, value in metadata.items())
    info = datasets.DatasetInfo(description=about, license=metadata.get("licence", ""))
    with atomic(path) as temporary:
        datasets.Dataset(pyarrow.table(dict(columns)), info=info).save_to_disk(str(temporary))
