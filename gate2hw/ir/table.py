"""Rows of a table as the numbers that a model reads: columns of numbers, and of categories.

A network of tabular data keeps its columns in the model file, ``info["columns"]``, so that raw
rows (texts, as in a .csv) can be fed to it later without the data it was trained on, as
`gate2hw predict` does: by `columns_from_json`, `read_cells` and `expand`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest

__all__ = [
    "MISSING",
    "Column",
    "columns_from_json",
    "columns_to_json",
    "expand",
    "feature_names",
    "read_cells",
]

MISSING: Final = ("", "?")
"""Cells that say nothing; a column of categories reads them as none of its categories."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column: numbers, numbers cut into bits, or categories.

    With `categories`, a cell becomes one 0/1 feature for each of them (one-hot; all 0 where the
    cell is missing). With `cuts`, rising, a number becomes a 0/1 feature ``value > cut`` for each.
    With neither, it is one feature, the number.
    """

    name: str
    categories: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        where = f"column {self.name!r}"
        if self.categories and self.cuts:
            raise InputError(f"{where} has categories and cuts; a column has one of the two")
        if len(set(self.categories)) != len(self.categories):
            raise InputError(f"{where} names a category twice")
        if not all(map(math.isfinite, self.cuts)) or any(np.diff(self.cuts) <= 0):
            raise InputError(f"{where}: cuts must be finite and rise strictly")

    @property
    def n_features(self) -> int:
        """How many numbers of the model's input the column fills."""
        return len(self.categories) or len(self.cuts) or 1

    @property
    def is_binary(self) -> bool:
        """True where every feature of the column is 0 or 1."""
        return bool(self.categories or self.cuts)


def feature_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """One name a feature, in order: ``age``, ``age>37``, ``sex=Female``."""
    names: list[str] = []
    for column in columns:
        if column.categories:
            names += [f"{column.name}={category}" for category in column.categories]
        elif column.cuts:
            names += [f"{column.name}>{cut:.12g}" for cut in column.cuts]
        else:
            names.append(column.name)
    return tuple(names)


def read_cells(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    where: str,
    row_numbers: Sequence[int] | None = None,
) -> Floats:
    """(N, len(columns)) float64 from rows of texts: a number, or the number of its category.

    A missing category is -1. Raises InputError naming `where`, row and column of a cell that is no
    finite number or none of the categories, and of a row of the wrong length; rows are called by
    their `row_numbers` (default: from 1).
    """
    called = row_numbers or range(1, len(rows) + 1)
    values = np.empty((len(rows), len(columns)), np.float64)
    numbers = [{name: i for i, name in enumerate(column.categories)} for column in columns]
    for r, row in enumerate(rows):
        if len(row) != len(columns):
            raise InputError(f"{where}, row {called[r]}: {len(row)} cells, expected {len(columns)}")
        for c, text in enumerate(row):
            cell = text.strip()
            number = _cell(cell, numbers[c])
            if number is None:
                what = nearest(cell, columns[c].categories) if numbers[c] else "it must be a number"
                raise InputError(
                    f"{where}, row {called[r]}, column {columns[c].name!r}: {cell!r} cannot be "
                    f"read; {what}"
                )
            values[r, c] = number
    return values


def _cell(cell: str, numbers: dict[str, int]) -> float | None:
    if numbers:
        return numbers.get(cell, -1 if cell in MISSING else None)
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def expand(columns: Sequence[Column], values: Floats) -> Floats:
    """(N, F) float64 features from the (N, len(columns)) numbers of `read_cells`."""
    blocks: list[Floats] = []
    for column, cells in zip(columns, values.T, strict=True):
        if column.categories:
            blocks.append((cells[:, None] == np.arange(len(column.categories))).astype(np.float64))
        elif column.cuts:
            blocks.append((cells[:, None] > np.array(column.cuts)).astype(np.float64))
        else:
            blocks.append(cells[:, None])
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(values), 0))


def columns_to_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Plain JSON data, as the model file keeps it in ``info["columns"]``."""
    return [
        {"name": c.name}
        | ({"categories": list(c.categories)} if c.categories else {})
        | ({"cuts": list(c.cuts)} if c.cuts else {})
        for c in columns
    ]


def columns_from_json(data: Any) -> tuple[Column, ...]:
    """The columns that `columns_to_json` wrote; InputError where `data` is nothing of the kind."""
    try:
        return tuple(
            Column(
                str(item["name"]),
                tuple(str(name) for name in item.get("categories", ())),
                tuple(float(cut) for cut in item.get("cuts", ())),
            )
            for item in data
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"a model's info.columns cannot be read ({type(error).__name__}: {error}); expected a "
            "list of objects with name, and categories or cuts"
        ) from error
