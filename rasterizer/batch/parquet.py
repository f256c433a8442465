"""Manifests in Parquet, where pyarrow is there: a job a row, with the keys of JSONL as columns."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..runtime.presence import absent, broken

_MAGIC = b"PAR1"  # begins and ends every such file
_ROWS = 1000  # at once


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, whatever its name.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows, as values of JSON.

    A column has a value in every row, so nulls stand for keys that are not given, also within values. Whole numbers in
    columns of floats, which columns of integers with gaps easily become, are integers.

    Raises:
        ValueError: pyarrow is missing, or cannot read it.
    """
    parquet = _pyarrow(path)
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                yield from map(_plain, batch.to_pylist())
    except (ValueError, OSError, NotImplementedError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: is Parquet that pyarrow cannot read ({first})") from None


def _pyarrow(path: Path) -> Any:
    reason = absent("pyarrow")
    if not reason:
        try:
            return importlib.import_module("pyarrow.parquet")
        except Exception as error:
            reason = broken(error)
    raise ValueError(
        f"{path}: is Parquet, which needs the package pyarrow, which is {reason}; pip install pyarrow brings it, and "
        "JSONL does without"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if not _nothing(each)}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
