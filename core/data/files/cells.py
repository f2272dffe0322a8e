"""Cells of Parquet and Arrow tables as JSON values; what has no such value is named."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from core.data.problems import WARNING, RowProblem, problem

if TYPE_CHECKING:
    import pyarrow

_WHOLE = 2**63  # larger whole numbers of a decimal are written as numbers with a point


def read_cells(batch: pyarrow.RecordBatch) -> Iterator[tuple[dict[str, Any], list[RowProblem]]]:
    """The rows of a batch as dicts, each with what could not be kept of it."""
    odd = {field.name for field in batch.schema if not _plain(field.type)}
    for row in _rows(batch):
        problems: list[RowProblem] = []
        for name, cell in row.items():
            if name in odd or isinstance(cell, _Unreadable):
                row[name] = _value(cell, name, problems)
        yield row, problems


_NO_VALUE = (ValueError, TypeError, OverflowError, ArithmeticError)


def _rows(batch: pyarrow.RecordBatch) -> list[dict[str, Any]]:
    """Python's own values; a cell that has none is marked."""
    try:
        return batch.to_pylist()
    except _NO_VALUE:
        names = batch.schema.names
        return [
            {name: _cell(column[place]) for name, column in zip(names, batch.columns, strict=True)}
            for place in range(batch.num_rows)
        ]


def _cell(cell: pyarrow.Scalar) -> Any:
    try:
        return cell.as_py()
    except _NO_VALUE:
        return _Unreadable(str(cell.type))


class _Unreadable:
    """A cell that has no value in Python."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _plain(kind: pyarrow.DataType) -> bool:
    """Whether cells of a type are JSON values as they come."""
    from pyarrow import types

    if types.is_struct(kind):
        return all(_plain(kind.field(place).type) for place in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _plain(kind.value_type)
    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean)
    return any(test(kind) for test in tests) or types.is_null(kind)


def _value(value: Any, field: str, problems: list[RowProblem]) -> Any:
    """A cell as a JSON value; null, with a warning, where there is none."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # how tables write a missing number
    if isinstance(value, dict):
        return {str(k): _value(v, f"{field}.{k}", problems) for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map
            return {str(k): _value(v, f"{field}.{k}", problems) for k, v in value}
        return [_value(item, f"{field}[{n}]", problems) for n, item in enumerate(value)]
    if isinstance(value, bytes):
        return _text(value, field, problems)
    if isinstance(value, decimal.Decimal):
        whole = value.is_finite() and value == value.to_integral_value() and abs(value) < _WHOLE
        return int(value) if whole else _value(float(value), field, problems)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID):
        return str(value)
    return _refuse(field, getattr(value, "kind", type(value).__name__), problems)


def _text(value: bytes, field: str, problems: list[RowProblem]) -> str | None:
    """Bytes that are text, as some writers keep it."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return _refuse(field, f"{len(value):,} bytes", problems)


def _refuse(field: str, found: str, problems: list[RowProblem]) -> None:
    fix = "It is read as null; keep text and numbers only."
    problems.append(problem("binary_value", field, found, "text", fix, WARNING))
