"""ARFF tables: a header that names and types the columns, then rows of comma-separated values."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

import numpy as np

from rl.data.datasets.error import DatasetError

__all__ = ["ArffColumn", "read_arff"]

_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")


@dataclass
class ArffColumn:
    """A column.

    Attributes:
        name: its name.
        values: `[n]`: float64 numbers, NaN where missing; or int64 codes, -1 where missing.
        categories: what codes stand for, None for numbers.

    Example:
        >>> ArffColumn("x", np.array([0, 1]), ["no", "yes"]).categories[1]
        'yes'
    """

    name: str
    values: np.ndarray
    categories: list[str] | None


def read_arff(text: str, where: str) -> list[ArffColumn]:
    r"""Return the columns of a table.

    Args:
        text: the file.
        where: what to call it in errors.

    Raises:
        DatasetError: it is damaged, sparse, or has columns of text or dates.

    Example:
        >>> table = "@attribute x real\n@attribute y {no, yes}\n@data\n1.5, yes\n?, no"
        >>> [column.values.tolist() for column in read_arff(table, "the example")]
        [[1.5, nan], [1, 0]]
    """
    header, data = _split(text, where)
    kinds = [_attribute(line, where) for line in header]
    lines = (line for line in data if line.strip() and not line.lstrip().startswith("%"))
    rows = list(csv.reader(lines, quotechar="'", escapechar="\\", skipinitialspace=True))
    for number, row in enumerate(rows):
        if len(row) != len(kinds):
            raise DatasetError(
                f"{where} is damaged or sparse: data row {number} has {len(row)} values, expected "
                f"{len(kinds)}. Fetch it anew."
            )
    columns = zip(*rows, strict=True) if rows else [[] for _ in kinds]
    return [
        ArffColumn(name, _values(name, categories, cells, where), categories)
        for (name, categories), cells in zip(kinds, columns, strict=True)
    ]


def _split(text: str, where: str) -> tuple[list[str], list[str]]:
    header: list[str] = []
    lines = io.StringIO(text)
    for line in lines:
        lowered = line.strip().lower()
        if lowered.startswith("@attribute"):
            header.append(line.strip())
        elif lowered.startswith("@data"):
            return header, list(lines)
    raise DatasetError(f"{where} is no ARFF table, or is truncated: it has no `@data`.")


def _attribute(line: str, where: str) -> tuple[str, list[str] | None]:
    match = _ATTRIBUTE.match(line)
    if match is None:
        raise DatasetError(f"{where} is damaged: `{line}` is no attribute.")
    name, kind = match[1].strip("'\""), match[2].strip()
    if kind.lower() in _NUMERIC:
        return name, None
    if not kind.startswith("{"):
        raise DatasetError(f"{where}: column `{name}` is of type `{kind}`, which is not read.")
    inner = kind.strip("{} \t")
    (parts,) = csv.reader([inner], quotechar="'", escapechar="\\", skipinitialspace=True)
    return name, [part.strip() for part in parts]


def _values(name: str, categories: list[str] | None, cells: object, where: str) -> np.ndarray:
    cells = [cell.strip() for cell in cells]
    try:
        if categories is None:
            return np.array([np.nan if cell == "?" else float(cell) for cell in cells])
        codes = {category: code for code, category in enumerate(categories)}
        return np.array([-1 if cell == "?" else codes[cell] for cell in cells], np.int64)
    except (ValueError, KeyError) as error:
        raise DatasetError(
            f"{where}: column `{name}` holds {error}, which it does not declare."
        ) from error
