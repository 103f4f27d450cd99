"""care_observe: gates become what they are where anybody looks.

A gate that only an AND reads is looked at where the other operand is 1, and that bounds features of
the input (`bounds`). From the outputs down, each gate collects the bounds under which it is looked
at (all that its readers agree on), and is rewritten to the cheapest function that agrees there.

Operands of one gate must not both rely on the other: of each AND only one operand is told that it
is looked at where the other is 1, first its lower one in a sweep over all gates, then the higher
one in another. So a gate is exact wherever its bounds hold: the operand that was not told anything
new is exact there, and the other one wherever the first lets it through.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.gates import TT_A, TT_NOT_A, is_trivial
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.passes.local.bounds import Bounds, Slots, both, either, excluded
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.rewrite import blocks, substitute
from gate2hw.passes.local.window import Choice, Nodes, Window, decide, windows

__all__ = ["care_observe"]

N_SLOTS: Final = 8
"""Features that the bounds of one gate's readers hold."""
MAX_ROUNDS: Final = 8
"""A gate with more readers in one level counts as looked at everywhere."""

Ids: TypeAlias = npt.NDArray[np.int64]


def _lets_through() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(2, 16): the value of b at which f(a, b) depends on a, that of a at which it does on b.

    (16,): whether that is one value, as for AND, and not both, as for XOR.
    """
    value = np.zeros((2, 16), np.int64)
    for tt in range(16):
        f = [tt >> address & 1 for address in range(4)]
        value[:, tt] = f[1] != f[3], f[2] != f[3]
    return value, np.array([tt.bit_count() % 2 == 1 for tt in range(16)])


_VALUE, _IS_AND = _lets_through()


class _Looks:
    """Under which bounds each node is looked at; `is_read` (n_nodes,) if it is at all."""

    def __init__(self, net: Netlist) -> None:
        self.slots = Slots.empty(N_SLOTS, net.n_nodes)
        self.is_read = np.zeros(net.n_nodes, np.bool_)
        self.is_free = np.zeros(net.n_nodes, np.bool_)
        self.is_free[: net.first_gate] = True
        self.release(net.outputs >> 1)

    def release(self, node: npt.NDArray[Any]) -> None:
        """Nodes that are looked at everywhere."""
        self.is_read[node] = self.is_free[node] = True
        self.slots.put(node, Slots.empty(N_SLOTS, len(node)))

    def add(self, node: Ids, slots: Slots) -> None:
        """`node` (n,), in any order and repeated, is looked at under `slots` (n columns) too."""
        bound = slots.seen() != 0
        self.release(node[~bound])
        for _ in range(MAX_ROUNDS):
            some = np.flatnonzero(bound & ~self.is_free[node])
            if not len(some):
                return
            target, first = np.unique(node[some], return_index=True)
            new = slots.take(some[first])
            old = self.is_read[target]
            self.slots.put(target[~old], new.take(~old))
            common = either(self.slots.take(target[old]), new.take(old))
            self.slots.put(target[old], common)
            self.is_read[target] = True
            self.release(target[old][common.seen() == 0])
            bound[some[first]] = False
        self.release(node[bound])


def _sweep(net: Netlist, encoder: Encoder, told: int) -> Netlist:
    """One sweep from the outputs down that tells operand `told` (0 or 1) of each AND."""
    nodes = Nodes(net)
    bounds = Bounds(encoder, net.n_nodes)
    every = list(blocks(net))
    for start, stop in every:
        gate = np.arange(net.first_gate + start, net.first_gate + stop)
        x, y = nodes.leaf0[gate], nodes.leaf1[gate]
        nodes.possible[gate] &= ~bounds.impossible(x, y)
        bounds.learn(gate, nodes.tt[gate], x, y, nodes.possible[gate])
    looks = _Looks(net)
    for start, stop in reversed(every):
        gate = np.arange(net.first_gate + start, net.first_gate + stop)
        gate = gate[looks.is_read[gate]]
        window = windows(nodes, gate, nodes.tt[gate], nodes.leaf0[gate], nodes.leaf1[gate])
        bounds.tell(window)
        _look(window, bounds, looks)
        window = window.known()
        _replace(nodes, window.gate, decide(nodes, window, only_gains=True))
        _pass_down(nodes, gate, bounds, looks, told)
    changed = net.with_(tt=nodes.work.tt, in0=nodes.work.in0, in1=nodes.work.in1)
    return fold(dce(fold(substitute(changed, nodes.work.lit))))


def _look(window: Window, bounds: Bounds, looks: _Looks) -> None:
    """Forbid what the bounds of the readers of each gate rule out."""
    some = np.flatnonzero(~looks.is_free[window.gate])
    under = looks.slots.take(window.gate[some])
    seen = under.seen()
    for row in range(6):
        for value in (0, 1):
            literal = 2 * window.node[row, some].astype(np.int64) + value
            near = np.flatnonzero(bounds.seen[literal] & seen)
            apart = excluded(bounds.slots.take(literal[near]), under.take(near))
            hit = some[near[apart]]
            mask = window.value[row, hit]
            window.care[hit] &= ~mask if value else mask


def _replace(nodes: Nodes, gate: Ids, choice: Choice) -> None:
    """Let `gate` compute `choice`, complements and all: those above have read it already."""
    tt, lit = choice.tt, nodes.work.lit
    is_wire = (tt == TT_A) | (tt == TT_NOT_A)
    node = np.where((tt == 0) | (tt == 15), 0, np.where(is_wire, choice.x, choice.y))
    lit[gate] = np.where(is_trivial[tt], 2 * node + (tt & 1), 2 * gate)
    nodes.tt[gate], nodes.leaf0[gate], nodes.leaf1[gate] = tt, choice.x, choice.y


def _pass_down(nodes: Nodes, gate: Ids, bounds: Bounds, looks: _Looks, told: int) -> None:
    """Tell what `gate` (n,) reads by now under which bounds it is looked at."""
    stands = nodes.work.lit[gate].astype(np.int64) >> 1
    is_wire = stands != gate
    looks.add(stands[is_wire], looks.slots.take(gate[is_wire]))
    gate = gate[~is_wire]
    under, tt = looks.slots.take(gate), nodes.tt[gate]
    operands = [nodes.leaf0[gate].astype(np.int64), nodes.leaf1[gate].astype(np.int64)]
    looks.add(operands[1 - told], under)
    is_and = _IS_AND[tt]
    looks.add(operands[told][~is_and], under.take(~is_and))
    at, other = np.flatnonzero(is_and), operands[1 - told][is_and]
    passing = bounds.of(other, _VALUE[told, tt[is_and]])
    looks.add(operands[told][at], both(under.take(at), passing))


def care_observe(net: Netlist, *, care: CareSet = "thermometer") -> Netlist:
    """Return `net` with each gate as simple as its readers allow on legal codes, without SAT.

    The same object if no gate is saved; repeated until none is. Outputs keep their function on
    legal codes, gates inside do not. Never more gates or levels; the result is in normal form
    without dead gates. With care "none", or without an encoder, always the same object. A sweep
    is linear in the number of gates.
    """
    if check_care(care) == "none" or net.encoder is None:
        return net
    best = dce(net if is_normal(net) else fold(net))
    told, n_idle = 0, 0
    while n_idle < 2:
        result = _sweep(best, net.encoder, told)
        is_better = result.n_gates < best.n_gates
        best = result if is_better else best
        told, n_idle = 1 - told, 0 if is_better else n_idle + 1
    return best
