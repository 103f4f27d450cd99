"""Netlists as ANDs and complements alone, as AIGER counts and writes them.

Any of the 16 functions is a number of ANDs: XOR three, constants, wires and inverters none, all
others one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.gates import (
    CONST_0,
    CONST_1,
    TABLE,
    TT_A,
    TT_AND,
    TT_B,
    TT_NOT_A,
    TT_NOT_B,
    TT_XOR,
    complement_inputs,
)
from gate2hw.ir.netlist import Netlist

__all__ = ["Ands", "to_ands"]

CHUNK = 1 << 16
BLOCK = 1 << 14
"""ANDs, or gates, handled at a time: their temporaries stay in the caches."""

_AND, _XOR, _ALIAS_A, _ALIAS_B, _ALIAS_0 = range(5)


def _and_form() -> npt.NDArray[np.uint8]:
    """(16, 4) uint8 by tt: kind, complement of operand a, of b, of the result."""
    form = np.zeros((16, 4), np.uint8)
    alias = {
        CONST_0: (_ALIAS_0, 0),
        CONST_1: (_ALIAS_0, 1),
        TT_A: (_ALIAS_A, 0),
        TT_NOT_A: (_ALIAS_A, 1),
        TT_B: (_ALIAS_B, 0),
        TT_NOT_B: (_ALIAS_B, 1),
        TT_XOR: (_XOR, 0),
        15 ^ TT_XOR: (_XOR, 1),
    }
    for tt, _, _ in TABLE:
        if tt in alias:
            form[tt] = (alias[tt][0], 0, 0, alias[tt][1])
            continue
        for flips in range(8):
            if int(complement_inputs[flips >> 1, TT_AND]) ^ (15 * (flips & 1)) == tt:
                form[tt] = (_AND, flips >> 2, flips >> 1 & 1, flips & 1)
    return form


_FORM: Final = _and_form()
_FORM_COLUMNS: Final = np.ascontiguousarray(_FORM.T).astype(np.int64)
_N_ANDS: Final = np.array([{_AND: 1, _XOR: 3}.get(int(kind), 0) for kind in _FORM[:, 0]], np.uint8)


@dataclass(frozen=True)
class Ands:
    """A netlist as ANDs: AND k defines variable ``first + k`` = rhs0[k] & rhs1[k].

    `rhs0`, `rhs1` (A,) int64 literals, rhs0 >= rhs1, of lower variables; `lit` (n_nodes,) int64
    is the literal of each node of the netlist; `outputs` (O,) int64.
    """

    first: int
    rhs0: npt.NDArray[np.int64]
    rhs1: npt.NDArray[np.int64]
    lit: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]


def _fill_ands(
    rhs: npt.NDArray[np.int64],
    tt: npt.NDArray[np.uint8],
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    own: npt.NDArray[np.int64],
    first: int,
) -> npt.NDArray[np.int64]:
    """Write the ANDs of gates on literals a, b into `rhs`, from `own` on; return their literals."""
    kind, flip_a, flip_b, flip = _FORM_COLUMNS[:, tt]
    result = 2 * (first + own)
    at = np.flatnonzero(kind == _AND)
    place = own[at]
    rhs[0, place], rhs[1, place] = a[at] ^ flip_a[at], b[at] ^ flip_b[at]
    if len(at) < len(tt):
        at = np.flatnonzero(kind == _XOR)
        place, xa, xb, both = own[at], a[at], b[at], result[at]
        # a ^ b = ~(a & b) & ~(~a & ~b)
        rhs[0, place], rhs[1, place] = xa, xb
        rhs[0, place + 1], rhs[1, place + 1] = xa ^ 1, xb ^ 1
        rhs[0, place + 2], rhs[1, place + 2] = both + 3, both + 1
        result[at] += 4
        for which, alias in ((_ALIAS_A, a), (_ALIAS_B, b), (_ALIAS_0, np.int64(0))):
            np.copyto(result, alias, where=kind == which)
    result ^= flip
    return result


def to_ands(net: Netlist) -> Ands:
    """Return `net` as ANDs, vectorised in blocks of a level; inputs keep their numbers."""
    first = net.first_gate
    start = np.zeros(net.n_gates + 1, np.int64)
    np.cumsum(_N_ANDS[net.tt], out=start[1:])
    rhs = np.empty((2, int(start[-1])), np.int64)
    lit = np.arange(0, 2 * net.n_nodes, 2, dtype=np.int64)
    for bottom, top in net.levels():
        for low in range(bottom, top, BLOCK):
            high = min(low + BLOCK, top)
            a, b = lit[net.in0[low:high]], lit[net.in1[low:high]]
            own = start[low:high]
            lit[first + low : first + high] = _fill_ands(rhs, net.tt[low:high], a, b, own, first)
    for low in range(0, rhs.shape[1], CHUNK):
        chunk = rhs[:, low : low + CHUNK]
        high_side = chunk.max(axis=0)
        np.minimum(chunk[0], chunk[1], out=chunk[1])
        chunk[0] = high_side
    outputs = lit[net.outputs >> 1] ^ (net.outputs & 1)
    return Ands(first, rhs[0], rhs[1], lit, outputs)
