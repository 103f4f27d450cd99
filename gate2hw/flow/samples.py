"""Samples to classify, read block by block: arrays, tables and idx files, as training reads them.

Nothing here needs torch. An .npy file is opened as a memory map, idx files and tables are read as
they come, so data larger than memory works.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.table import Column, columns_from_json, expand, read_cells

__all__ = [
    "MAX_ROWS",
    "Block",
    "Samples",
    "array_samples",
    "has_column",
    "open_samples",
    "quantise",
    "read_labels",
]

MAX_ROWS: Final = 1 << 16
"""Samples of a block, at most,"""
_BLOCK_BYTES: Final = 1 << 26
"""and its bytes."""
_TABLE_ROWS: Final = 1 << 12
_UBYTE: Final = 8
KINDS: Final = ".npy, .npz, .csv, and idx files (each but .npy and .npz also as .gz or .xz)"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Block:
    """Samples as found, `x` (n, ...) numbers, and the cells of the label column, where read."""

    x: Array
    labels: Array | None = None


@dataclass(frozen=True)
class Samples:
    """`blocks` in order; `n` samples in all, where that is known before they are read.

    `labels` (N,) are those of an array file. With `are_numbers` they count from 0 in the order of
    the classes; else they are names where they can be.
    """

    where: str
    blocks: Iterator[Block]
    n: int | None = None
    labels: Array | None = None
    are_numbers: bool = False


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Turn what a foreign or damaged file raises into an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, csv and numpy raise two dozen kinds on such bytes
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: not a readable {what} file ({said})") from error


def _suffix(path: Path) -> str:
    """The suffix below .gz or .xz."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz").removesuffix(".xz")).suffix


def _open(path: Path) -> io.BufferedIOBase:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if suffix == ".xz" else path.open("rb")


def _rows(sample_bytes: int) -> int:
    """Samples a block: a multiple of 64."""
    return max(64, min(MAX_ROWS, _BLOCK_BYTES // max(1, sample_bytes) // 64 * 64))


def array_samples(where: str, x: Array, labels: Array | None = None, **more: Any) -> Samples:
    """The samples of an array (N, ...); InputError where it has none."""
    if x.ndim == 0 or x.dtype.kind not in "biuf":
        raise InputError(f"{where}: {x.dtype} of shape {x.shape}; samples are (N, ...) numbers")
    if len(x) == 0:
        raise InputError(f"{where}: holds no samples")
    step = _rows(x[:1].nbytes)
    blocks = (Block(_part(x, first, step)) for first in range(0, len(x), step))
    return Samples(where, blocks, len(x), labels, **more)


def _part(x: Array, first: int, step: int) -> Array:
    """Samples `first` to `first + step`; those of a file mapped anew, so that no more stays."""
    last = min(first + step, len(x))
    if not isinstance(x, np.memmap) or not x.flags.c_contiguous or x.filename is None:
        return x[first:last]
    offset = x.offset + first * x[:1].nbytes
    return np.memmap(x.filename, x.dtype, "r", offset, (last - first, *x.shape[1:]))


def _npy(path: Path) -> Array:
    with _readable(path, ".npy"):
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: is an archive of arrays; name it .npz")
    return loaded


@contextmanager
def _archive(path: Path) -> Iterator[Any]:
    with _readable(path, ".npz"):
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InputError(f"{path}: is a single array; name it .npy")
        with loaded as archive:
            yield archive


def _npz(path: Path) -> tuple[Array, Array | None, bool]:
    """x, y and whether y holds class numbers."""
    with _archive(path) as archive:
        names = [name for name in archive.files if name != "y"]
        given = [name for name in ("x", "X") if name in names] or names
        if len(given) != 1:
            found = ", ".join(archive.files) or "none"
            raise InputError(f"{path}: needs an array x, or one array beside y; found {found}")
        y = archive["y"] if "y" in archive.files else None
        # class_names, as in files to train from, or the form of golden vectors
        return archive[given[0]], y, bool({"class_names", "format"} & {*archive.files})


def _idx_head(path: Path, file: io.BufferedIOBase) -> tuple[int, ...]:
    """The sizes in the head of an idx file of unsigned bytes; see `gate2hw.nn.datasets.idx`."""
    start = file.read(4)
    if len(start) < 4 or start[:3] != bytes([0, 0, _UBYTE]) or not start[3]:
        raise InputError(f"{path}: is no idx file of unsigned bytes; read are {KINDS}")
    sizes = file.read(4 * start[3])
    if len(sizes) != 4 * start[3]:
        raise InputError(f"{path}: is cut short in its head")
    return tuple(np.frombuffer(sizes, ">u4").tolist())


def _idx_blocks(path: Path, step: int) -> Iterator[Block]:
    with _readable(path, "idx"), _open(path) as file:
        n, *shape = _idx_head(path, file)
        size = int(np.prod(shape, dtype=np.int64))
        for first in range(0, n, step):
            count = min(step, n - first)
            data = file.read(count * size)
            if len(data) != count * size:
                whole = first + len(data) // max(1, size)
                raise InputError(f"{path}: is cut short: its head says {n} samples, {whole} follow")
            yield Block(np.frombuffer(data, np.uint8).reshape(count, *shape))
        if file.read(1):
            raise InputError(f"{path}: goes on after the {n} samples that its head says")


def _idx(path: Path, n_features: int) -> Samples:
    with _readable(path, "idx"), _open(path) as file:
        n, *shape = _idx_head(path, file)
    if np.prod(shape, dtype=np.float64) != n_features:
        each = " x ".join(map(str, shape)) or "one"
        raise InputError(f"{path}: samples of {each} values each, expected {n_features}")
    if n == 0:
        raise InputError(f"{path}: holds no samples")
    return Samples(str(path), _idx_blocks(path, _rows(n_features)), n)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, cells without blanks around them) of each row of a .csv."""
    with _readable(path, ".csv"), _open(path) as file:
        text = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(file))
        reader = csv.reader(text)
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Layout:
    """Which cells of a row are features, in the model's order, and which is the label."""

    columns: tuple[Column, ...]
    places: tuple[int, ...]
    label: int | None
    n_cells: int
    has_header: bool


def _table_layout(
    path: Path, header: list[str], columns: tuple[Column, ...], label: str | None
) -> _Layout:
    """The layout of a table whose line of column names names all `columns` of the model."""
    for name in (*(column.name for column in columns), *([label] if label else [])):
        if header.count(name) != 1:
            found = "no column" if name not in header else "two columns"
            why = "" if name == label else ", which the model was trained on"
            raise InputError(
                f"{path}: its first line has {found} {name!r}{why}; {nearest(name, header)}"
            )
    places = tuple(header.index(column.name) for column in columns)
    return _Layout(columns, places, header.index(label) if label else None, len(header), True)


def _plain_layout(path: Path, first: list[str], n_features: int, label: str | None) -> _Layout:
    """The layout of rows of numbers, of which all but the label are the features, in order."""
    has_header = not all(map(_is_number, first))
    if label is not None and (not has_header or first.count(label) != 1):
        raise InputError(f"{path}: no column {label!r}; {nearest(label, first[:20])}")
    place = first.index(label) if label is not None else None
    places = tuple(i for i in range(len(first)) if i != place)
    if len(places) != n_features:
        raise InputError(
            f"{path}: {len(places)} columns, the model reads {n_features}; the column of the "
            "labels, if there is one, is named in the first line and by --labels"
        )
    columns = tuple(Column(first[i] if has_header else str(i)) for i in places)
    return _Layout(columns, places, place, len(first), has_header)


def _table_blocks(
    path: Path, rows: Iterator[tuple[int, list[str]]], layout: _Layout
) -> Iterator[Block]:
    while block := list(itertools.islice(rows, _TABLE_ROWS)):
        for number, row in block:
            if len(row) != layout.n_cells:
                raise InputError(
                    f"{path}, row {number}: {len(row)} cells, expected {layout.n_cells}"
                )
        cells = [[row[place] for place in layout.places] for _, row in block]
        values = read_cells(layout.columns, cells, str(path), [number for number, _ in block])
        labels = None
        if layout.label is not None:
            labels = np.array([row[layout.label] for _, row in block], str)
        yield Block(expand(layout.columns, values), labels)


def _table(path: Path, n_features: int, network: LogicNetwork | None, label: str | None) -> Samples:
    """Rows of a .csv; its columns are those that the model was trained on, where it has any."""
    rows = _lines(path)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: is empty")
    number, header = first
    info = {} if network is None else network.info
    if network is None and not all(map(_is_number, header)):
        raise InputError(
            f"{path}: how its columns are read is kept in the model.safetensors that the netlist "
            "was compiled from, and none lies beside it; name the build folder, or the model"
        )
    if "columns" in info:
        target = label or _target(info)
        known = label or (target if target in header else None)
        layout = _table_layout(path, header, columns_from_json(info["columns"]), known)
    else:
        layout = _plain_layout(path, header, n_features, label)
    if not layout.has_header:
        rows = itertools.chain([(number, header)], rows)
    second = next(rows, None)
    if second is None:
        raise InputError(f"{path}: holds no samples below its line of column names")
    return Samples(str(path), _table_blocks(path, itertools.chain([second], rows), layout))


def _target(info: dict[str, Any]) -> str | None:
    """The column of the classes in the table that the model was trained on, if it is known."""
    try:
        return str(info["recipe"]["data"]["target"]) or None
    except (KeyError, TypeError):
        return None


def quantise(x: Array, network: LogicNetwork | None) -> Array:
    """Features (N, *shape) as in training: ``round((x - offset) * scale)``, kept in 0..max_value.

    Integers, and features of models that were trained on integers, are left as they are.
    """
    encoder = None if network is None else network.thermometer
    if encoder is None or x.dtype.kind != "f" or x.shape[1:] != encoder.input_shape:
        return x
    if encoder.scale is None or encoder.offset is None:
        return x
    if not np.isfinite(x).all():
        sample, *place = np.argwhere(~np.isfinite(x))[0].tolist()
        raise InputError(
            f"sample {sample}, feature {np.ravel_multi_index(place, x.shape[1:])}: "
            f"{x[(sample, *place)]} is not finite"
        )
    column = (-1, *[1] * (len(encoder.input_shape) - 1))
    scaled = (x.astype(np.float64) - encoder.offset.reshape(column)) * encoder.scale.reshape(column)
    kept = np.clip(np.rint(scaled), 0, encoder.max_value)
    return kept.astype(np.uint8 if encoder.max_value <= 255 else np.uint16)


def _check_there(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; read are {KINDS}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty")


def open_samples(
    path: Path, n_features: int, *, network: LogicNetwork | None = None, label: str | None = None
) -> Samples:
    """The samples of a data file, told by its suffix: .npy, .npz, .csv, else an idx file.

    `network` is the trained model, whose ``info["columns"]`` say how a table is read; `label` names
    the column of a table that holds the classes (default: the one trained on, if it is there).
    Raises InputError naming the file, and the row and column, of what cannot be read.
    """
    _check_there(path)
    match _suffix(path):
        case ".npy":
            return array_samples(str(path), _npy(path))
        case ".npz":
            x, y, are_numbers = _npz(path)
            return array_samples(str(path), x, y, are_numbers=are_numbers)
        case ".csv":
            return _table(path, n_features, network, label)
        case _:
            return _idx(path, n_features)


def has_column(path: Path, name: str) -> bool:
    """Whether `path` is a table whose first line is of names, `name` among them."""
    _check_there(path)
    if _suffix(path) != ".csv":
        return False
    _, header = next(_lines(path), (0, []))
    return name in header and not all(map(_is_number, header))


def read_labels(path: Path) -> tuple[Array, bool]:
    """(N,) labels of a file, and whether they are class numbers for certain.

    The file is .npy, .npz with y (or a single array), an idx file, or else a text with one label a
    line, as `predict` writes it. Raises InputError where it cannot be read.
    """
    _check_there(path)
    are_numbers = False
    match _suffix(path):
        case ".npy":
            labels = np.asarray(_npy(path))
        case ".npz":
            with _archive(path) as archive:
                name = "y" if "y" in archive.files else next(iter(archive.files), "")
                if not name or (name != "y" and len(archive.files) > 1):
                    raise InputError(f"{path}: needs an array y, or one array alone")
                labels = archive[name]
                are_numbers = bool({"class_names", "format"} & {*archive.files})
        case ".txt" | ".csv":
            with _readable(path, "text"), _open(path) as file:
                lines = file.read().decode("utf-8-sig").splitlines()
            labels = np.array([line.strip() for line in lines], str)
        case _:
            blocks = [block.x for block in _idx(path, 1).blocks]
            labels = np.concatenate(blocks)
    return labels, are_numbers
