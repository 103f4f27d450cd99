"""BLIF tables as two-input functions, and the quick way to read a million of them."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.gates import (
    CONST_0,
    CONST_1,
    TT_A,
    TT_AND,
    TT_NOT_A,
    TT_OR,
    TT_XOR,
    complement_inputs,
)

__all__ = [
    "MAX_TABLE_INPUTS",
    "PlainTables",
    "Steps",
    "minterms",
    "read_plain_tables",
    "steps_of",
]

MAX_TABLE_INPUTS: Final = 6
_COMPLEMENTED: Final[list[list[int]]] = complement_inputs.tolist()
_CHUNK: Final = 1 << 22

Steps: TypeAlias = tuple[tuple[int, int, int], ...]


@lru_cache(maxsize=4096)
def minterms(cube: str) -> int | None:
    """Truth table of a cube such as ``1-0``, its first column highest; None if it is none."""
    if set(cube) - set("01-"):
        return None
    addresses = [0]
    for c in cube:
        values = (0, 1) if c == "-" else (int(c),)
        addresses = [2 * at + v for at in addresses for v in values]
    return sum(1 << at for at in addresses)


@lru_cache(maxsize=4096)
def steps_of(k: int, table: int) -> Steps:
    """A k-input table as two-input functions (tt, a, b); the last one is the table.

    Numbers below k are the table's inputs, k + i is step i. Shannon expansion on the most
    significant input, with the special cases that need fewer than three functions.
    """
    steps: list[tuple[int, int, int]] = []

    def gate(tt: int, a: int, b: int) -> int:
        steps.append((_COMPLEMENTED[2 * (a & 1) + (b & 1)][tt], a >> 1, b >> 1))
        return 2 * (k + len(steps) - 1)

    def expand(table: int, inputs: tuple[int, ...]) -> int:
        if len(inputs) == 0:
            return -1 if table & 1 else -2
        half = 1 << (len(inputs) - 1)
        f1, f0 = table >> half, table & ((1 << half) - 1)
        if f0 == f1:
            return expand(f0, inputs[1:])
        full = (1 << half) - 1
        if {f0, f1} == {0, full}:
            return inputs[0] ^ (f0 & 1)
        if len(inputs) == 2:
            return gate(table, *inputs)
        top, rest = inputs[0], inputs[1:]
        if f0 ^ f1 == full:
            return gate(TT_XOR, top, expand(f0, rest))
        if f0 == 0:
            return gate(TT_AND, top, expand(f1, rest))
        if f1 == 0:
            return gate(TT_AND, top ^ 1, expand(f0, rest))
        if f0 == full:
            return gate(TT_OR, top ^ 1, expand(f1, rest))
        if f1 == full:
            return gate(TT_OR, top, expand(f0, rest))
        low, high = expand(f0, rest), expand(f1, rest)
        return gate(TT_OR, gate(TT_AND, top, high), gate(TT_AND, top ^ 1, low))

    result = expand(table, tuple(range(0, 2 * k, 2)))
    if result < 0:
        return ((CONST_1 if result == -1 else CONST_0, -1, -1),)
    if result < 2 * k:
        steps.append((TT_NOT_A if result & 1 else TT_A, result >> 1, result >> 1))
    return tuple(steps)


_TABLE: Final = re.compile(r"\.names ([^\s#\\]+(?: [^\s#\\]+)*)\n((?:[01-]* ?[01]\n)*)")
_END: Final = re.compile(r"\.end\s*")


@dataclass(frozen=True)
class PlainTables:
    """Definitions (target, tt, a, b) as (D,) int64 each; hidden signals count from -2 down."""

    columns: tuple[npt.NDArray[np.int64], ...]
    n_hidden: int


def _program(cover: str) -> tuple[int, Steps] | None:
    """(k, steps) of a whole cover; None where its lines do not agree; k = -1: any number."""
    lines = cover.splitlines()
    if not lines:
        return -1, steps_of(0, 0)
    k = len(lines[0]) - 2 if len(lines[0]) > 1 else 0
    if k > MAX_TABLE_INPUTS or any(len(line) != len(lines[0]) for line in lines):
        return None
    if (k and any(line[-2] != " " for line in lines)) or len({line[-1] for line in lines}) > 1:
        return None
    table = 0
    for line in lines:
        mask = minterms(line[:k])
        if mask is None:
            return None
        table |= mask
    if lines[0][-1] == "0":
        table ^= (1 << (1 << k)) - 1
    return k, steps_of(k, table)


def _chunk_columns(
    signals: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    which: npt.NDArray[np.int64],
    programs: list[Steps],
    n_hidden: int,
) -> tuple[npt.NDArray[np.int64], int]:
    """(4, D) int64 definitions of the tables of a chunk, and the number of hidden signals."""
    stop = np.cumsum(sizes)
    first = stop - sizes
    n_steps = np.array([len(steps) for steps in programs], np.int64)[which]
    place = np.cumsum(n_steps) - n_steps
    columns = np.empty((4, int(n_steps.sum())), np.int64)
    last = np.array([steps[-1] for steps in programs], np.int64)[which]
    short = n_steps == 1
    at, operands = place[short], first[short]
    columns[0, at] = signals[stop[short] - 1]
    columns[1, at] = last[short, 0]
    for row, slot in ((2, last[short, 1]), (3, last[short, 2])):
        columns[row, at] = np.where(slot < 0, -1, signals[operands + np.maximum(slot, 0)])
    for table in np.flatnonzero(~short).tolist():
        numbers = signals[first[table] : stop[table] - 1].tolist()
        for step, (tt, a, b) in enumerate(programs[which[table]], start=int(place[table])):
            n_hidden += 1
            numbers.append(-1 - n_hidden)
            columns[:, step] = numbers[-1], tt, numbers[a], numbers[b]
        n_hidden -= 1
        columns[0, step] = signals[stop[table] - 1]
    return columns, n_hidden


def read_plain_tables(text: str, start: int, signals: dict[str, int]) -> PlainTables | None:
    """The tables from ``.names`` at `start` to ``.end``; new names get the next signal numbers.

    Plain are: single spaces after ``.names``, no comments and continued lines, covers of one
    width. None where any line is not; nothing is said about what is wrong with it.
    """
    number = itertools.count(len(signals))
    numbers: dict[str, int] = defaultdict(number.__next__, signals)
    kinds: dict[str, int] = {}
    arities: list[int] = []
    programs: list[Steps] = []
    parts, n_hidden, end = [], 0, text.rfind("\n.end") + 1
    if not end or not _END.fullmatch(text, end):
        return None
    while start < end:
        stop = end
        if start + _CHUNK < end:
            stop = text.rfind("\n.names ", start + 1, start + _CHUNK) + 1 or end
        # split gives one flat list: a tuple a table would keep the garbage collector busy
        pieces = _TABLE.split(text[start:stop])
        heads, covers = pieces[1::3], pieces[2::3]
        if any(pieces[0::3]):
            return None
        for cover in set(covers).difference(kinds):
            program = _program(cover)
            if program is None:
                return None
            kinds[cover] = len(programs)
            arities.append(program[0])
            programs.append(program[1])
        words = " ".join(heads).split(" ")
        sizes = np.array([head.count(" ") for head in heads], np.int64) + 1
        which = np.array(list(map(kinds.__getitem__, covers)), np.int64)
        arity = np.array(arities, np.int64)[which]
        is_odd = np.where(arity < 0, sizes - 1 > MAX_TABLE_INPUTS, sizes - 1 != arity)
        if is_odd.any():  # an empty cover is 0 of any inputs
            return None
        flat = list(map(numbers.__getitem__, words))
        columns, n_hidden = _chunk_columns(
            np.array(flat, np.int64), sizes, which, programs, n_hidden
        )
        parts.append(columns)
        start = stop
    signals.update(numbers)
    return PlainTables(tuple(np.concatenate(parts, axis=1)), n_hidden)
