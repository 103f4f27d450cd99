"""Windows of three gates: what a gate may become, seen together with the two gates that it reads.

A gate ``g = f(a, b)`` with ``a = h(p, q)`` and ``b = k(r, s)`` is a function of four leaves. It is
tabulated over their 16 assignments (bit ``8p + 4q + 2r + s`` of a uint16); those that cannot occur,
because leaves are the same node or because of what the caller knows, are dropped. Whatever pair of
a, b and the leaves still decides g can take the place of (a, b). All identities of two-input gates
(absorption, common operands, x op x at any of the three places) are rows of that one table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.gates import CONST_0, TT_A, complement_inputs, is_trivial, swap_inputs
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.rewrite import Rewrite

__all__ = ["Choice", "Nodes", "Window", "assign", "decide", "resolve", "settle", "stays", "windows"]

Ids: TypeAlias = npt.NDArray[np.int32]
Cells: TypeAlias = npt.NDArray[np.uint8]
Masks: TypeAlias = npt.NDArray[np.uint16]

Know: TypeAlias = Callable[["Window"], None]

ALL: Final = np.uint8(15)
EQUAL: Final = np.uint8(9)
"""Cells (bit ``2*x + y``) that are possible for two unrelated signals, and for x = y."""

_ONLY_ZERO: Final = 1
P, Q, R, S, A, B = range(6)
VALUE: Final = np.array([0xFF00, 0xF0F0, 0xCCCC, 0xAAAA], np.uint16)
"""(4,) uint16: the assignments in which p, q, r, s are 1."""


def _spread_tables() -> npt.NDArray[np.uint16]:
    tables = np.zeros((4, 4, 16), np.uint16)
    for x, y in itertools.permutations(range(4), 2):
        for assignment in range(16):
            cell = 2 * (assignment >> (3 - x) & 1) + (assignment >> (3 - y) & 1)
            chosen = np.arange(16) >> cell & 1
            tables[x, y] |= (chosen << assignment).astype(np.uint16)
    return tables


spread: Final = _spread_tables()
"""(4, 4, 16) uint16: spread[x, y, cells] is the assignments whose leaves x, y are in `cells`."""


def _completions() -> tuple[Cells, Cells]:
    """The function for cells (must be 1, must be 0), and its cost.

    Cells in neither list are free. A constant costs 0, a wire 1, a gate 2; 9 marks a contradiction.
    Of gates that fit, an AND or OR (an odd number of ones) is taken: only one of them fits, up to
    its complement, so that equal gates stay equal.
    """
    table, cost = np.zeros((16, 16), np.uint8), np.full((16, 16), 9, np.uint8)
    by_cost = sorted(range(16), key=lambda tt: (_cost(tt), tt.bit_count() % 2 == 0))
    for on, off in itertools.product(range(16), repeat=2):
        if on & off == 0:
            fits = [tt for tt in by_cost if tt & on == on and tt & off == 0]
            table[on, off], cost[on, off] = fits[0], _cost(fits[0])
    return table, cost


def _cost(tt: int) -> int:
    if tt in (0, 15):
        return 0
    return 1 if is_trivial[tt] else 2


_COMPLETE, _COST = _completions()


class Nodes:
    """A netlist in normal form being rewritten, every node with a table and two leaves.

    `tt` (n_nodes,) uint8, `leaf0`, `leaf1` (n_nodes,) int32: what each gate computes by now; an
    input is a wire of itself. `possible` (n_nodes,) uint8: the cells of (leaf0, leaf1) that can
    occur. The columns are shared with `work`, whose `lit` says what stands for each node.
    """

    def __init__(self, net: Netlist) -> None:
        first = net.first_gate
        self.net = net
        self.work = Rewrite(net)
        sources = np.arange(first, dtype=np.int32)
        self.tt = np.concatenate([np.full(first, TT_A, np.uint8), net.tt])
        self.leaf0 = np.concatenate([sources, net.in0])
        self.leaf1 = np.concatenate([sources, net.in1])
        self.possible = np.full(net.n_nodes, ALL, np.uint8)
        self.possible[:first] = EQUAL
        self.possible[0] = _ONLY_ZERO
        self.fan_out = np.minimum(net.fan_out, 2).astype(np.uint8)
        self.work.tt = self.tt[first:]
        self.work.in0, self.work.in1 = self.leaf0[first:], self.leaf1[first:]

    def finish(self) -> Netlist:
        """The rewritten netlist; the same object if nothing changed. Dead gates stay."""
        return self.work.finish()


@dataclass
class Window:
    """Windows of n gates ``tt(a, b)``; rows of `node` and `value` are p, q, r, s, a, b.

    `gate` (n,) int64, `tt` (n,) uint8, `node` (6, n) int32 node ids, `value` (6, n) uint16: the
    assignments in which each is 1. `care` (n,) uint16: the assignments that can occur; `full`: the
    same if no two leaves had to do with each other. `whole` (2, n) bool: a (b) is a leaf of b
    (of a), and so stands for itself.
    """

    gate: npt.NDArray[np.int64]
    tt: Cells
    node: Ids
    value: Masks
    care: Masks
    full: Masks
    whole: npt.NDArray[np.bool_]

    def forbid(self, x: int, y: int, cells: Cells) -> None:
        """Drop the assignments whose rows x, y are in `cells` (n,)."""
        some = np.flatnonzero(cells)
        vx, vy = self.value[x, some], self.value[y, some]
        for cell, mask in enumerate((~vx & ~vy, ~vx & vy, vx & ~vy, vx & vy)):
            hit = some[(cells[some] >> np.uint8(cell) & 1).astype(np.bool_)]
            self.care[hit] &= ~mask[np.searchsorted(some, hit)]

    def known(self) -> Window:
        """The windows of which something is known: others cannot be rewritten."""
        some = np.flatnonzero(self.care != self.full)
        return Window(
            self.gate[some],
            self.tt[some],
            self.node[:, some],
            self.value[:, some],
            self.care[some],
            self.full[some],
            self.whole[:, some],
        )


def windows(nodes: Nodes, gate: npt.NDArray[np.int64], tt: Cells, a: Ids, b: Ids) -> Window:
    """The windows of gates ``tt(a, b)``, all (n,).

    Equal leaves and the cells that `nodes` knows to be impossible are seen to here. Where one
    operand is a leaf of the other, it is its own leaf: the relation would be lost else.
    """
    node = np.stack([nodes.leaf0[a], nodes.leaf1[a], nodes.leaf0[b], nodes.leaf1[b], a, b])
    whole = np.stack([(node[R] == a) | (node[S] == a), (node[P] == b) | (node[Q] == b)])
    for operand, rows, alone in ((a, (P, Q), whole[0]), (b, (R, S), whole[1])):
        if alone.any():
            for row in rows:
                np.copyto(node[row], operand, where=alone)
    table = np.where(whole, TT_A, nodes.tt[node[A:]])
    cells = np.where(whole, EQUAL, nodes.possible[node[A:]])
    value = np.empty((6, len(gate)), np.uint16)
    value[:A] = VALUE[:, None]
    value[A], value[B] = spread[P, Q][table[0]], spread[R, S][table[1]]
    unrelated = np.where(whole | (node[A:] < nodes.net.first_gate), EQUAL, ALL)
    full = spread[P, Q][unrelated[0]] & spread[R, S][unrelated[1]]
    care = spread[P, Q][cells[0]] & spread[R, S][cells[1]]
    for x, y in ((P, R), (P, S), (Q, R), (Q, S)):
        care &= np.where(node[x] == node[y], spread[x, y, EQUAL], np.uint16(0xFFFF))
    return Window(gate, tt, node, value, care, full, whole)


def _compose(tt: Cells, a: Masks, b: Masks) -> Masks:
    """The assignments in which ``tt(a, b)`` is 1."""
    result = np.zeros(len(tt), np.uint16)
    for cell, (x, y) in enumerate(((~a, ~b), (~a, b), (a, ~b), (a, b))):
        chosen = -(tt >> np.uint8(cell) & np.uint8(1)).astype(np.uint16)
        result |= x & y & chosen
    return result


def _cells(on: Masks, x: Any, y: Any) -> Cells:
    """(n,) uint8: the cells of (x, y) that some assignment of `on` is in."""
    result = np.zeros(len(on), np.uint8)
    for cell, mask in enumerate((~x & ~y, ~x & y, x & ~y, x & y)):
        result |= ((on & mask) != 0).astype(np.uint8) << np.uint8(cell)
    return result


_LEAF_PAIRS: Final = ((P, Q), (R, S), (P, R), (P, S), (Q, R), (Q, S))
_MIXED_PAIRS: Final = ((A, R, B), (A, S, B), (P, B, A), (Q, B, A))


@dataclass
class Choice:
    """The function chosen for each window: ``tt(x, y)`` of node ids x, y (n,).

    `cells` (n,) uint8: the cells of (x, y) that can occur. `moved` (n,) bool: it is not the
    function that the gate had.
    """

    tt: Cells
    x: Ids
    y: Ids
    cells: Cells
    moved: npt.NDArray[np.bool_]


def decide(nodes: Nodes, window: Window, *, only_gains: bool = False) -> Choice:
    """The cheapest function of two signals for each window.

    A constant is better than a wire, that than a gate; a gate on leaves is better than one on a or
    b and a leaf of the other, best if the operand dropped has no other reader. With `only_gains`,
    an operand that has other readers is not dropped for a leaf of it.
    """
    n = len(window.gate)
    on = _compose(window.tt, window.value[A], window.value[B]) & window.care
    off = window.care & ~on
    best = np.full(n, 255, np.uint8)
    tt, cells = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    rows = [np.zeros(n, np.intp) for _ in range(2)]
    for x, y, dropped in (*((x, y, -1) for x, y in _LEAF_PAIRS), *_MIXED_PAIRS, (A, B, -1)):
        vx, vy = (VALUE[row] if row < A else window.value[row] for row in (x, y))
        ones, zeros = _cells(on, vx, vy), _cells(off, vx, vy)
        cost = _COST[ones, zeros] * np.uint8(4)
        is_gate = cost == 8
        if dropped >= 0:
            # keeping both operands is no rewrite, and a gate that others read does not go away
            lives = nodes.fan_out[window.node[dropped]] > 1
            extra = 1 + np.where(lives, 8 if only_gains else 1, 0) + 8 * window.whole[dropped - A]
            cost += is_gate * extra.astype(np.uint8)
        elif x == A:
            cost += is_gate * np.uint8(3)
        better = cost < best
        np.copyto(best, cost, where=better)
        np.copyto(tt, _COMPLETE[ones, zeros], where=better)
        np.copyto(cells, ones | zeros, where=better)
        for row, value in zip(rows, (x, y), strict=True):
            np.copyto(row, value, where=better)
    number = np.arange(n)
    node_x, node_y = window.node[rows[0], number], window.node[rows[1], number]
    moved = (tt != window.tt) | (node_x != window.node[A]) | (node_y != window.node[B])
    return Choice(tt, node_x, node_y, cells, moved)


def assign(nodes: Nodes, gate: npt.NDArray[np.int64], choice: Choice) -> None:
    """Let `gate` (n,) compute `choice` in normal form; constants and wires go into `lit`."""
    lit, x, y = nodes.work.lit, choice.x, choice.y
    flip = choice.tt & np.uint8(1)
    tt = choice.tt ^ (np.uint8(15) * flip)
    stands = np.where(tt == CONST_0, 0, np.where(tt == TT_A, x, y))
    lit[gate] = 2 * np.where(is_trivial[tt], stands, gate) + (flip ^ (lit[gate] & 1))
    turned = x > y
    nodes.tt[gate] = np.where(turned, swap_inputs[tt], tt)
    nodes.leaf0[gate] = np.minimum(x, y)
    nodes.leaf1[gate] = np.maximum(x, y)
    nodes.possible[gate] = np.where(turned, swap_inputs[choice.cells], choice.cells)


def stays(nodes: Nodes, gate: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of `gate` that are gates still."""
    still: npt.NDArray[np.int64] = gate[nodes.work.lit[gate] >> 1 == gate]
    return still


def resolve(nodes: Nodes, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Let gates start..stop-1 read what stands for their operands by now; their node ids."""
    a, b = nodes.work.operands(start, stop)
    tt = complement_inputs[((a & 1) << 1) | (b & 1), nodes.net.tt[start:stop]]
    gate = np.arange(nodes.net.first_gate + start, nodes.net.first_gate + stop)
    x, y = (a >> 1).astype(np.int32), (b >> 1).astype(np.int32)
    assign(nodes, gate, Choice(tt, x, y, np.full(len(gate), ALL), np.ones(len(gate), np.bool_)))
    return gate


def settle(nodes: Nodes, gate: npt.NDArray[np.int64], know: Know | None = None) -> None:
    """Rewrite `gate` (n,), gates of one level, until none of their windows gives any more.

    `know` may forbid assignments of each window.
    """
    while len(gate):
        window = windows(nodes, gate, nodes.tt[gate], nodes.leaf0[gate], nodes.leaf1[gate])
        if know is not None:
            know(window)
        window = window.known()
        choice = decide(nodes, window)
        assign(nodes, window.gate, choice)
        gate = stays(nodes, window.gate[choice.moved])
