"""Netlists from files that define signals by two-input functions, in any order.

Readers give columns of definitions over signal numbers; `assemble` puts them in order, follows
wires, inverters and constants (they cost no gate), and says which definition is at fault.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import (
    CONST_0,
    CONST_1,
    TT_A,
    TT_B,
    TT_NOT_A,
    TT_NOT_B,
    complement_inputs,
)
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.topology import levels_of

__all__ = ["Definitions", "UnsoundError", "assemble"]

Column = npt.NDArray[np.int64]

_GATE, _OF_A, _OF_B, _CONSTANT = range(4)
_KIND: Final = np.array(
    [
        {CONST_0: _CONSTANT, CONST_1: _CONSTANT, TT_A: _OF_A, TT_NOT_A: _OF_A}.get(
            tt, _OF_B if tt in (TT_B, TT_NOT_B) else _GATE
        )
        for tt in range(16)
    ],
    np.uint8,
)
_FLIP: Final = np.array([int(tt in (CONST_1, TT_NOT_A, TT_NOT_B)) for tt in range(16)], np.int64)
_BLOCK: Final = 24
"""Definitions a block below which plain Python is faster than a vectorised step."""


class UnsoundError(Exception):
    """A definition at fault: `problem` is ``"undefined"``, ``"twice"``, ``"input"`` or ``"cycle"``.

    `definition` is its number (-1: an output), `signal` the signal that is undefined, defined
    again, or on the cycle.
    """

    def __init__(self, problem: str, definition: int, signal: int) -> None:
        super().__init__(f"{problem}: definition {definition}, signal {signal}")
        self.problem, self.definition, self.signal = problem, definition, signal


@dataclass(frozen=True)
class Definitions:
    """Definition d is: signal ``target[d]`` = ``tt[d]`` of signals ``a[d]`` and ``b[d]``.

    All columns are (D,) int64. Operands that the function does not depend on must still be
    signals, or -1 for both operands of a constant.
    """

    target: Column
    tt: Column
    a: Column
    b: Column


def _owners(n_signals: int, inputs: Column, definitions: Definitions, outputs: Column) -> Column:
    """(n_signals + 1,) int64: -1 for inputs (and signal -1), else the definition's number."""
    target = definitions.target
    owner = np.full(n_signals + 1, -2, np.int64)
    owner[target] = np.arange(len(target))
    again = owner[target] != np.arange(len(target))
    if again.any():
        later = int(owner[target[int(np.argmax(again))]])
        raise UnsoundError("twice", later, int(target[later]))
    given = owner[inputs] >= 0
    if given.any():
        signal = int(inputs[int(np.argmax(given))])
        raise UnsoundError("input", int(owner[signal]), signal)
    owner[inputs], owner[-1] = -1, -1
    missing = (owner[definitions.a] == -2) | (owner[definitions.b] == -2)
    if missing.any():
        at = int(np.argmax(missing))
        side = definitions.a if owner[definitions.a[at]] == -2 else definitions.b
        raise UnsoundError("undefined", at, int(side[at]))
    missing = owner[outputs >> 1] == -2
    if missing.any():
        raise UnsoundError("undefined", -1, int(outputs[int(np.argmax(missing))] >> 1))
    return owner


def _blocks(own_a: Column, own_b: Column, target: Column) -> tuple[Column, Column]:
    """An order of the definitions, and where to cut it so that none reads its own block."""
    n = len(target)
    highest = np.maximum(own_a, own_b)
    if (highest < np.arange(n)).all():
        reach = np.maximum.accumulate(highest) if n else highest
        ptr = [0]
        while ptr[-1] < n and len(ptr) <= 64 + n // _BLOCK:
            ptr.append(int(np.searchsorted(reach, ptr[-1])))
        return np.arange(n), np.array(ptr if ptr[-1] == n else [0, n], np.int64)
    fanin = np.stack([own_a, own_b], axis=1).ravel()
    level = levels_of(fanin, 2 * np.arange(n + 1, dtype=np.int64))
    if (level < 0).any():
        at = int(np.argmax(level < 0))
        raise UnsoundError("cycle", at, int(target[at]))
    order = np.argsort(level, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(level))]).astype(np.int64)


class _Gates:
    """Literals of the signals, and the gates so far."""

    def __init__(self, n_signals: int, inputs: Column, n_definitions: int) -> None:
        self.first = 1 + len(inputs)
        self.n = 0
        self.lit = np.zeros(n_signals + 1, np.int64)
        self.lit[inputs] = 2 * np.arange(1, 1 + len(inputs))
        self.columns = np.zeros((3, n_definitions), np.int32)

    def block(self, target: Column, tt: Column, a: Column, b: Column) -> None:
        """Define signals that do not read each other."""
        lit_a, lit_b = self.lit[a], self.lit[b]
        kind = _KIND[tt]
        value = _FLIP[tt]
        value = np.where(kind == _OF_A, lit_a ^ value, value)
        value = np.where(kind == _OF_B, lit_b ^ value, value)
        real = np.flatnonzero(kind == _GATE)
        last = self.n + len(real)
        la, lb = lit_a[real], lit_b[real]
        table = complement_inputs[2 * (la & 1) + (lb & 1), tt[real]]
        self.columns[:, self.n : last] = table, la >> 1, lb >> 1
        value[real] = 2 * np.arange(self.first + self.n, self.first + last)
        self.n = last
        self.lit[target] = value

    def one_by_one(self, target: Column, tt: Column, a: Column, b: Column) -> None:
        """The same for signals in topological order."""
        lit, kinds, flips = self.lit.tolist(), _KIND.tolist(), _FLIP.tolist()
        complemented = complement_inputs.tolist()
        columns: list[tuple[int, int, int]] = []
        node = self.first + self.n
        rows = zip(target.tolist(), tt.tolist(), a.tolist(), b.tolist(), strict=True)
        for signal, table, left, right in rows:
            kind = kinds[table]
            if kind == _GATE:
                x, y = lit[left], lit[right]
                columns.append((complemented[2 * (x & 1) + (y & 1)][table], x >> 1, y >> 1))
                lit[signal] = 2 * node
                node += 1
            elif kind == _CONSTANT:
                lit[signal] = flips[table]
            else:
                lit[signal] = lit[left if kind == _OF_A else right] ^ flips[table]
        last = self.n + len(columns)
        self.columns[:, self.n : last] = np.array(columns, np.int32).reshape(-1, 3).T
        self.n = last
        self.lit = np.array(lit, np.int64)


def assemble(
    n_signals: int,
    inputs: npt.ArrayLike,
    definitions: Definitions,
    outputs: npt.ArrayLike,
    *,
    names: Names | None = None,
) -> Netlist:
    """The netlist of `definitions`: signals 0..n_signals-1, one gate a real function.

    `inputs` (I,) are signals, `outputs` (O,) literals ``2 * signal + complement``. Wires, inverters
    and constants become complements and literals. Raises UnsoundError for a signal that is not
    defined, defined twice, or on a cycle.
    """
    sources, results = np.asarray(inputs, np.int64), np.asarray(outputs, np.int64)
    owner = _owners(n_signals, sources, definitions, results)
    target, tt, a, b = definitions.target, definitions.tt, definitions.a, definitions.b
    order, ptr = _blocks(owner[a], owner[b], target)
    gates = _Gates(n_signals, sources, len(target))
    if len(ptr) - 1 > 64 + len(target) // _BLOCK or len(ptr) == 2:
        gates.one_by_one(target[order], tt[order], a[order], b[order])
        block_ptr = None
    else:
        starts = [0]
        for low, high in itertools.pairwise(ptr.tolist()):
            rows = order[low:high]
            gates.block(target[rows], tt[rows], a[rows], b[rows])
            starts.append(gates.n)
        block_ptr = np.array(starts, np.int64)
    tables, in0, in1 = gates.columns[:, : gates.n]
    return from_columns(
        len(sources),
        tables.astype(np.uint8),
        in0,
        in1,
        gates.lit[results >> 1] ^ (results & 1),
        names=names,
        block_ptr=block_ptr,
    )
