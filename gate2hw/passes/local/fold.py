"""fold: constants, wires and inverters disappear, the rest is brought into normal form.

Afterwards (DESIGN.md, part 2) no gate is a constant, a wire or an inverter, every gate has
``f(0,0) = 0`` (complements are carried by the literals that read it, and go into their tables) and
``in0 < in1``: x op x, x op ~x and gates on constants are gone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.gates import CONST_0, TT_A, TT_B, complement_inputs
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.rewrite import Rewrite, blocks

__all__ = ["fold", "is_normal"]

_TT, _FLIP = 0x0F, 0x10
_CONST, _WIRE_A, _WIRE_B, _NO_GATE = 0x20, 0x40, 0x80, 0xE0


def _rules() -> npt.NDArray[np.uint8]:
    """(512,) uint8: what becomes of a gate.

    Index: tt, then bits 4 and 5 = input a and b complemented, 6 and 7 = a and b are node 0,
    8 = both are the same node. Value: the new table, its output complement, and whether the gate
    is a constant or a wire of a or b rather than a gate.
    """
    rules = np.zeros(512, np.uint8)
    for index in range(512):
        ca, cb, a_is_0, b_is_0, same = (index >> bit & 1 for bit in (4, 5, 6, 7, 8))
        tt = int(complement_inputs[2 * ca + cb, index & 15])
        new = 0
        for address in range(4):
            a, b = address >> 1, address & 1
            b = a if same else b
            read = 2 * (0 if a_is_0 else a) + (0 if b_is_0 else b)
            new |= (tt >> read & 1) << address
        flip = new & 1
        new ^= 15 * flip
        rule = {CONST_0: _CONST, TT_A: _WIRE_A, TT_B: _WIRE_B}.get(new, new)
        rules[index] = rule | (_FLIP * flip)
    return rules


_RULES: Final = _rules()


def fold(net: Netlist) -> Netlist:
    """Return `net` in normal form; the same object if it is so already. Dead gates stay."""
    work = Rewrite(net)
    lit, first = work.lit, net.first_gate
    for start, stop in blocks(net):
        a, b = work.operands(start, stop)
        node_a, node_b = a >> 1, b >> 1
        index = net.tt[start:stop].astype(np.uint16)
        for bit, condition in (
            (4, a & 1),
            (5, b & 1),
            (6, node_a == 0),
            (7, node_b == 0),
            (8, node_a == node_b),
        ):
            index |= condition.astype(np.uint16) << np.uint16(bit)
        rule = _RULES[index]
        tt = rule & _TT
        base = lit[first + start : first + stop]
        np.copyto(base, 0, where=(rule & _CONST) != 0)
        np.copyto(base, a & ~1, where=(rule & _WIRE_A) != 0)
        np.copyto(base, b & ~1, where=(rule & _WIRE_B) != 0)
        base |= (rule & _FLIP) >> 4
        work.tt[start:stop] = tt
        work.in0[start:stop] = node_a
        work.in1[start:stop] = node_b
    return work.finish()


def is_normal(net: Netlist) -> bool:
    """Whether `net` is in normal form."""
    odd_or_trivial = (net.tt & 1).astype(bool) | np.isin(net.tt, [CONST_0, TT_A, TT_B])
    reads_constant = net.in0 == 0
    return not (odd_or_trivial | reads_constant | (net.in0 >= net.in1)).any()
