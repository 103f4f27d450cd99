"""A user's own table, .csv or .parquet, and the LHC jets of OpenML and hls4ml.

A column whose cells are all numbers is a column of numbers; one without a single number is a
column of categories (all different texts, sorted); so is each that ``data.categorical`` names.
A mixture is refused, since it is more often a slip than a choice.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import itertools
import lzma
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest
from gate2hw.ir.table import MISSING, Column
from gate2hw.nn.datasets.raw import RawData, as_numbers, class_numbers

__all__ = ["JET_FEATURES", "JET_FILES", "TABLE_SUFFIXES", "load_jets", "load_table"]

TABLE_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.xz", ".parquet", ".pq")
MAX_CATEGORIES: Final = 256
_BLOCK_ROWS: Final = 10_000
_UNREADABLE: Final = (
    OSError,
    EOFError,
    UnicodeDecodeError,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
)

JET_FILES: Final = tuple(
    f"{folder}{name}{suffix}"
    for folder in ("", "jets/")
    for name in ("hls4ml_lhc_jets_hlf", "dataset_42468", "jets")
    for suffix in TABLE_SUFFIXES
)
JET_SOURCE: Final = "OpenML's data set 42468, hls4ml_lhc_jets_hlf, as .csv or .parquet"
JET_FEATURES: Final = (
    "zlogz",
    *(f"c1_b{b}_mmdt" for b in (0, 1, 2)),
    *(f"{name}_b{b}_mmdt" for name in ("c2", "d2", "d2_a1", "m2", "n2") for b in (1, 2)),
    "mass_mmdt",
    "multiplicity",
)
"""Table 1 of Moreno et al., arXiv 1804.06913, as the files of OpenML and hls4ml name them."""
_JET_CLASSES: Final = ("g", "q", "t", "w", "z")

Floats = npt.NDArray[np.float64]


class _Cells:
    """One column as it is read: blocks of numbers while they are, blocks of texts else."""

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.blocks: list[Floats | list[str]] = []

    def add(self, cells: list[str]) -> None:
        if not self.is_text:
            try:
                self.blocks.append(np.array(cells, np.float64))
                return
            except ValueError:
                pass
        self.blocks.append(cells)

    def numbers(self) -> Floats | None:
        """All cells as numbers, or None where a block holds a text."""
        parts = [block for block in self.blocks if not isinstance(block, list)]
        return np.concatenate(parts) if len(parts) == len(self.blocks) else None

    def texts(self) -> list[str]:
        return list(itertools.chain.from_iterable(self.blocks))

    def first_text(self) -> tuple[int, str]:
        """(number from 0, text) of the first cell that is no number."""
        row = 0
        for block in self.blocks:
            for offset, cell in enumerate(block):
                if isinstance(cell, str) and not _is_number(cell):
                    return row + offset, cell
            row += len(block)
        raise AssertionError("all cells are numbers")

    def has_number(self) -> bool:
        return any(
            not isinstance(block, list) or any(map(_is_number, block)) for block in self.blocks
        )


@dataclass(frozen=True)
class _Read:
    """The columns of a file, and how its rows are called: lines of a .csv, else from 1."""

    columns: dict[str, _Cells]
    lines: Sequence[int]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(newline="", encoding="utf-8-sig")


def _csv_columns(path: Path, texts: Sequence[str], target: str) -> _Read:
    """The columns of a .csv; those in `texts` and the target stay texts."""
    try:
        with _open(path) as file:
            reader = csv.reader(file)
            rows = ((reader.line_num, row) for row in reader if row)
            return _read_rows(path, rows, texts, target)
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable .csv data file ({error})") from error


def _read_rows(
    path: Path, rows: Iterator[tuple[int, list[str]]], texts: Sequence[str], target: str
) -> _Read:
    _, head = next(rows, (0, []))
    header = [name.strip() for name in head]
    _check_header(path, header, texts, target)
    columns = [_Cells(name == target or name in texts) for name in header]
    lines = array("q")
    while block := list(itertools.islice(rows, _BLOCK_ROWS)):
        for number, row in block:
            if len(row) != len(header):
                raise InputError(f"{path}, row {number}: {len(row)} cells, expected {len(header)}")
        for column, cells in zip(
            columns, zip(*(row for _, row in block), strict=True), strict=True
        ):
            column.add([cell.strip() for cell in cells])
        lines.extend(number for number, _ in block)
    if not lines:
        raise InputError(f"{path}: needs a line of column names and at least one row")
    return _Read(dict(zip(header, columns, strict=True)), lines)


def _check_header(path: Path, header: list[str], texts: Sequence[str], target: str) -> None:
    if len(set(header)) != len(header):
        double = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}: two columns are named {double!r}")
    for name in (target, *texts):
        if header and name not in header:
            raise InputError(f"{path}: no column {name!r}; {nearest(name, header)}")


def _parquet_columns(path: Path, texts: Sequence[str], target: str) -> _Read:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"{path}: reading .parquet needs pyarrow, which is not installed; pip install pyarrow, "
            "or give the table as .csv"
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise InputError(f"{path}: not a readable .parquet data file ({error})") from error
    _check_header(path, list(table.column_names), texts, target)
    columns: dict[str, _Cells] = {}
    for name in table.column_names:
        cells = _Cells(name == target or name in texts)
        values = table.column(name).to_pylist()
        if not cells.is_text and all(isinstance(v, int | float) for v in values):
            cells.blocks.append(np.array(values, np.float64))
        else:
            cells.add(_texts(path, name, values))
        columns[name] = cells
    return _Read(columns, range(1, table.num_rows + 1))


def _texts(path: Path, name: str, values: list[Any]) -> list[str]:
    """Texts of cells: empty for null and nan, bytes as UTF-8."""
    try:
        return [
            "" if v is None or v != v else v.decode() if isinstance(v, bytes) else str(v)
            for v in values
        ]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: column {name!r} holds bytes that are no UTF-8 ({error}); leave it out of the "
            "file"
        ) from error


def _column(path: Path, name: str, read: _Read, is_category: bool) -> tuple[Column, Floats]:
    """The column and its cells: numbers, or numbers of categories (-1 missing)."""
    cells = read.columns[name]
    numbers = None if is_category else cells.numbers()
    if numbers is not None:
        return Column(name), numbers
    texts = cells.texts() if is_category or not cells.has_number() else None
    if texts is None:
        row, cell = cells.first_text()
        way_out = "fill it in" if cell in MISSING else "mend it"
        raise InputError(
            f"{path}, row {read.lines[row]}, column {name!r}: {cell!r} is no number; {way_out}, or "
            "name the column in data.categorical to read all its cells as categories"
        )
    found = sorted(set(texts) - set(MISSING))
    if all(map(_is_number, found)):
        found.sort(key=float)
    if not 1 <= len(found) <= MAX_CATEGORIES:
        raise InputError(
            f"{path}: column {name!r} has {len(found)} different texts, allowed are "
            f"1..{MAX_CATEGORIES}; leave it out with data.leave_out"
        )
    number = {text: index for index, text in enumerate(found)}
    return Column(name, tuple(found)), np.array([number.get(t, -1) for t in texts], np.float64)


def _labels(path: Path, target: str, read: _Read) -> list[str]:
    """The cells of the target; InputError where one is missing."""
    labels = read.columns[target].texts()
    for row, label in enumerate(labels):
        if label in MISSING:
            raise InputError(
                f"{path}, row {read.lines[row]}, column {target!r}: the class is missing "
                f"({label!r}); fill it in, or take the row out"
            )
    return labels


def load_table(
    path: Path, target: str, *, categorical: Sequence[str] = (), leave_out: Sequence[str] = ()
) -> RawData:
    """A table with a line of column names; `target` holds the classes.

    `categorical` columns are read as categories even if they hold numbers, `leave_out` columns
    not at all. Raises InputError naming row and column of what cannot be read.
    """
    if not target:
        raise InputError(f"{path}: data.target must name the column that holds the classes")
    is_parquet = path.suffix in (".parquet", ".pq")
    form = _parquet_columns if is_parquet else _csv_columns
    read = form(path, [*categorical, *leave_out], target)
    labels = _labels(path, target, read)
    columns: list[Column] = []
    values: list[Floats] = []
    for name in read.columns:
        if name not in (target, *leave_out):
            column, numbers = _column(path, name, read, name in categorical)
            columns.append(column)
            values.append(numbers)
    if not columns:
        raise InputError(f"{path}: has no column besides {target!r}")
    (y,), names = class_numbers(str(path), [as_numbers(labels)], ())
    stem = path.name.split(".")[0]
    return RawData(stem, np.stack(values, axis=1), y, names, columns=tuple(columns))


def load_jets(path: Path) -> RawData:
    """The 16 high-level features of LHC jets and the five classes g, q, t, w, z.

    Accepts OpenML's table (column ``class``) and names with hls4ml's prefix ``j_``. No md5 is
    published; the columns and classes are checked instead. Raises InputError for others.
    """
    raw = load_table(path, "class")
    names = [column.name.removeprefix("j_") for column in raw.columns]
    if sorted(names) != sorted(JET_FEATURES) or raw.class_names != _JET_CLASSES:
        odd = sorted(set(names) ^ set(JET_FEATURES)) or list(raw.class_names)
        raise InputError(
            f"{path}: is not the table of LHC jets, which has 16 features and the classes "
            f"{', '.join(_JET_CLASSES)}; it differs in {', '.join(odd)}; get {JET_SOURCE}"
        )
    order = [names.index(name) for name in JET_FEATURES]
    columns = tuple(Column(name) for name in JET_FEATURES)
    return RawData("jets", raw.x[:, order], raw.y, raw.class_names, columns=columns)
