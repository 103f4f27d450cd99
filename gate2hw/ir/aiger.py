"""AIGER files, ascii (.aag) and binary (.aig): combinational and-inverter graphs.

Format: Biere, "The AIGER And-Inverter Graph (AIG) Format", version 20071012. A file holds inputs,
ANDs, output literals and symbols; head, encoder, weights and origins of a Netlist are not in it.
Any of the 16 functions is written as ANDs (XOR as three, constants, wires and inverters as none);
reading gives one gate for each AND, with the complements of its inputs in its table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.ands import to_ands
from gate2hw.ir.builder import from_columns
from gate2hw.ir.byte_lines import Bytes, join_lines, numerals
from gate2hw.ir.gates import (
    TT_AND,
    complement_inputs,
    swap_inputs,
)
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.store import atomic_path
from gate2hw.ir.topology import levels_of

__all__ = ["read_aiger", "to_ands", "write_aiger"]

CHUNK = 1 << 16
_BLOCK = 1 << 14
"""ANDs, or lines, handled at a time: their temporaries stay in the caches."""
MAX_FREE_INPUTS: Final = 1 << 20
"""Binary files declare inputs without spending a byte on them: more than this many are believed
only in a file of at least as many bytes."""
MAX_VARIABLES: Final = 2**30 - 1

_KEPT: Final = np.arange(8) < np.arange(9)[:, None]
"""By the number of bytes of a coded value: which bytes of a word they are."""


def _leb128(values: npt.NDArray[np.int64]) -> bytes:
    """Little-endian base-128 coding of (n,) int64 values in 0..2**35-1."""
    highest = int(values.max(initial=0))
    word = values & 127
    size = np.ones(len(values), np.int64)
    for digit in range(1, 5):
        if highest >> (7 * digit) == 0:
            break
        # digit d of seven bits goes to byte d, the top bit of the byte before it says so
        word |= (values & (127 << (7 * digit))) << digit
        more = values >= 1 << (7 * digit)
        word |= more.astype(np.int64) << (8 * digit - 1)
        size += more
    coded = word.astype("<i8", copy=False).view(np.uint8).reshape(-1, 8)
    width = int(size.max(initial=1))
    return coded[:, :width][_KEPT.take(size, axis=0)[:, :width]].tobytes()


def _symbols(net: Netlist) -> Iterator[str]:
    for letter, names in (("i", net.names.inputs), ("o", net.names.outputs)):
        for number, name in enumerate(names):
            if "\n" in name or "\r" in name or not name:
                raise InputError(f"name {name!r} cannot be written to AIGER: it must be one line")
            yield f"{letter}{number} {name}\n"


def _numbers(columns: list[npt.NDArray[Any]]) -> Iterator[bytes]:
    """Lines of decimal numbers, one for each row of the columns."""
    for first in range(0, len(columns[0]), _BLOCK):
        line: list[str | Bytes] = []
        for column in columns:
            line += [numerals(column[first : first + _BLOCK]), " "]
        yield join_lines(*line[:-1], "\n").encode("ascii")


def _write(file: BinaryIO, net: Netlist, *, binary: bool, symbols: bool) -> None:
    ands = to_ands(net)
    n_ands, first = len(ands.rhs0), ands.first
    if first + n_ands - 1 > MAX_VARIABLES:
        raise InputError(f"{first + n_ands - 1:,} variables are more than AIGER files are made for")
    header = f"{'aig' if binary else 'aag'} {first - 1 + n_ands} {net.n_inputs} 0"
    file.write(f"{header} {net.n_outputs} {n_ands}\n".encode())
    if not binary:
        file.writelines(_numbers([np.arange(2, 2 * first, 2)]))
    file.writelines(_numbers([ands.outputs]))
    for low in range(0, n_ands, CHUNK):
        rhs0, rhs1 = ands.rhs0[low : low + CHUNK], ands.rhs1[low : low + CHUNK]
        lhs = np.arange(2 * (first + low), 2 * (first + low + len(rhs0)), 2)
        if binary:
            file.write(_leb128(np.stack([lhs - rhs0, rhs0 - rhs1], axis=1).ravel()))
        else:
            file.writelines(_numbers([lhs, rhs0, rhs1]))
    if symbols:
        file.writelines(line.encode() for line in _symbols(net))


def write_aiger(net: Netlist, path: Path | str, *, symbols: bool = True) -> None:
    """Write the gates and outputs of `net`: ascii for ``.aag``, binary for ``.aig``.

    Names of inputs and outputs become symbols. Head, encoder and origins are not written.
    Raises InputError for another suffix or names that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".aag", ".aig"):
        raise InputError(f"{path}: AIGER files end in .aag (ascii) or .aig (binary)")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        _write(file, net, binary=path.suffix == ".aig", symbols=symbols)


class _Reader:
    """One file being read; every complaint names the file and the place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.data = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
        self.at = 0

    def fail(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: not a sound AIGER file: {what}")

    def line(self, what: str) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise self.fail(f"cut short in {what}")
        line = self.data[self.at : end]
        self.at = end + 1
        return line

    def header(self) -> tuple[bool, int, int, int, int]:
        """(binary, M, I, O, A)."""
        words = self.line("the header")[:200].decode("latin-1").split(" ")
        if words[0] not in ("aag", "aig"):
            raise self.fail("it does not begin with 'aag' or 'aig'")
        if not 6 <= len(words) <= 10 or not all(w.isascii() and w.isdigit() for w in words[1:]):
            raise self.fail("the header must be 'aag|aig M I L O A'")
        if max(map(len, words[1:])) > 10 or int(words[1]) > MAX_VARIABLES:
            raise self.fail(f"the header declares more than {MAX_VARIABLES:,} variables")
        m, i, latches, o, a = (int(word) for word in words[1:6])
        if latches or any(int(word) for word in words[6:]):
            raise self.fail("it has latches or properties, only combinational files are read")
        binary = words[0] == "aig"
        if (m != i + a) if binary else (m < i + a):
            raise self.fail(f"{i} inputs and {a} ANDs do not agree with M = {m}")
        size = len(self.data) - self.at
        least = 2 * o + 2 * a if binary else 2 * i + 2 * o + 6 * a
        if least > size or (binary and i > max(MAX_FREE_INPUTS, size)):
            raise self.fail(
                f"it declares {i} inputs, {o} outputs and {a} ANDs, "
                f"but only {size} bytes follow the header"
            )
        return binary, m, i, o, a

    def numbers(self, n_rows: int, n_columns: int, what: str) -> npt.NDArray[np.int64]:
        """(n_rows, n_columns) int64 from as many lines, single spaces, no signs."""
        if n_rows == 0:
            return np.zeros((0, n_columns), np.int64)
        start = self.at
        for _ in range(n_rows):
            end = self.data.find(b"\n", self.at)
            if end < 0:
                raise self.fail(f"cut short in {what}")
            self.at = end + 1
        text = np.frombuffer(self.data, np.uint8)[start : self.at]
        is_digit = (text >= 48) & (text <= 57)
        stops = np.flatnonzero(~is_digit)
        length = np.diff(stops, prepend=-1) - 1
        expected = np.tile(np.frombuffer(b" " * (n_columns - 1) + b"\n", np.uint8), n_rows)
        if len(stops) != len(expected) or (text[stops] != expected).any() or (length < 1).any():
            raise self.fail(f"a line of {what} is not {n_columns} plain number(s)")
        if (length > 10).any():
            raise self.fail(f"a number among {what} is too large")
        values = np.zeros(len(stops), np.int64)
        for digit in range(int(length.max())):
            there = length > digit
            place = stops[there] - length[there] + digit
            values[there] = 10 * values[there] + (text[place] - 48)
        return values.reshape(n_rows, n_columns)

    def deltas(self, n_ands: int, first: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """rhs0 and rhs1, (A,) int64 each, of the binary AND section."""
        if n_ands == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        code = np.frombuffer(self.data, np.uint8)[self.at : self.at + 10 * n_ands]
        last = np.flatnonzero(code < 128)[: 2 * n_ands]
        if len(last) < 2 * n_ands:
            raise self.fail(f"cut short after {len(last) // 2} of {n_ands} ANDs")
        length = np.diff(last, prepend=-1)
        if (length > 5).any():
            raise self.fail(f"AND {int(np.argmax(length > 5)) // 2} holds an overlong number")
        value = np.zeros(2 * n_ands, np.int64)
        for digit in range(int(length.max())):
            there = length > digit
            place = last[there] - length[there] + 1 + digit
            value[there] |= (code[place] & 127).astype(np.int64) << (7 * digit)
        self.at += int(last[-1]) + 1
        lhs = 2 * (first + np.arange(n_ands, dtype=np.int64))
        rhs0 = lhs - value[0::2]
        rhs1 = rhs0 - value[1::2]
        bad = (rhs0 >= lhs) | (rhs1 < 0)
        if bad.any():
            raise self.fail(f"AND {int(np.argmax(bad))} reads what is not below it")
        return rhs0, rhs1

    def symbols(self, n_inputs: int, n_outputs: int) -> Names:
        names: dict[str, dict[int, str]] = {"i": {}, "o": {}}
        sizes = {"i": n_inputs, "o": n_outputs}
        while self.at < len(self.data):
            raw = self.line("the symbols")
            if raw == b"c":
                break
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise self.fail("a symbol is not UTF-8 text") from error
            key, _, name = line.partition(" ")
            kind, number = key[:1], key[1:]
            is_plain = number.isascii() and number.isdigit() and len(number) <= 10
            if kind not in names or not is_plain or int(number) >= sizes[kind] or not name:
                raise self.fail(f"symbol line {line[:60]!r} names no input or output")
            if int(number) in names[kind]:
                raise self.fail(f"{key} is named twice")
            names[kind][int(number)] = name
        columns = [
            tuple(given.get(n, f"{kind}{n}") for n in range(sizes[kind])) if given else ()
            for kind, given in names.items()
        ]
        return Names(inputs=columns[0], outputs=columns[1])


def _ascii_nodes(
    reader: _Reader, m: int, inputs: npt.NDArray[Any], lhs: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sorted variables of an ascii file, 0 included, and the number of each: 0, inputs, ANDs."""
    defined = np.concatenate([inputs, lhs])
    if (defined & 1).any() or (defined < 2).any() or (defined > 2 * m + 1).any():
        raise reader.fail("an input or AND is defined by an odd, zero or too large literal")
    variables = np.concatenate([[0], defined >> 1])
    order = np.argsort(variables, kind="stable")
    ordered = variables[order]
    twice = ordered[1:] == ordered[:-1]
    if twice.any():
        raise reader.fail(f"variable {int(ordered[1:][twice][0])} is defined twice")
    return ordered, order


def _renumber(
    reader: _Reader,
    literals: npt.NDArray[np.int64],
    ordered: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    place = np.minimum(np.searchsorted(ordered, literals >> 1), len(ordered) - 1)
    missing = ordered[place] != literals >> 1
    if missing.any():
        raise reader.fail(f"literal {int(literals[missing][0])} is used, but never defined")
    return (number[place] << 1) | (literals & 1)


def read_aiger(path: Path | str) -> Netlist:
    """Read a combinational AIGER file, ascii or binary, as its first word says.

    One gate an AND, in0 <= in1, re-levelled as soon as possible; symbols become names of inputs
    and outputs.
    Raises ModelFileError, in one sentence and before memory is spent, for files that are cut
    short, cyclic, sequential, use undefined literals, or declare more than they can hold.
    """
    reader = _Reader(Path(path))
    binary, m, n_inputs, n_outputs, n_ands = reader.header()
    first = 1 + n_inputs
    if binary:
        outputs = reader.numbers(n_outputs, 1, "the outputs").ravel()
        rhs0, rhs1 = reader.deltas(n_ands, first)
        if (outputs > 2 * m + 1).any():
            raise reader.fail(f"output literal {int(outputs.max())} is above 2*M + 1")
    else:
        inputs = reader.numbers(n_inputs, 1, "the inputs").ravel()
        outputs = reader.numbers(n_outputs, 1, "the outputs").ravel()
        lhs, rhs0, rhs1 = reader.numbers(n_ands, 3, "the ANDs").T
        ordered, number = _ascii_nodes(reader, m, inputs, lhs)
        rhs0, rhs1, outputs = (
            _renumber(reader, literals, ordered, number) for literals in (rhs0, rhs1, outputs)
        )
    names = reader.symbols(n_inputs, n_outputs)
    in0, in1 = rhs0 >> 1, rhs1 >> 1
    fanin = np.stack([in0, in1], axis=1).ravel() - first
    level = levels_of(fanin, 2 * np.arange(n_ands + 1, dtype=np.int64))
    if (level < 0).any():
        raise reader.fail(
            f"the ANDs form a cycle, AND {int(np.argmax(level < 0))} is on it or above"
        )
    order = np.argsort(level, kind="stable")
    new = np.arange(first + n_ands, dtype=np.int64)
    new[first + order] = np.arange(first, first + n_ands)
    tt = complement_inputs[((rhs0 & 1) << 1) | (rhs1 & 1), TT_AND][order]
    in0, in1 = new[in0[order]], new[in1[order]]
    return from_columns(
        n_inputs,
        np.where(in0 > in1, swap_inputs[tt], tt),
        np.minimum(in0, in1).astype(np.int32),
        np.maximum(in0, in1).astype(np.int32),
        (new[outputs >> 1] << 1) | (outputs & 1),
        names=names,
        block_ptr=np.concatenate([[0], np.cumsum(np.bincount(level, minlength=0))]),
    )
