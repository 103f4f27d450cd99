"""What exported C evaluates, and when: the gates that count, their order, parts and memory.

A netlist is first *lowered*: gates that read a constant or one signal twice become simpler ones,
output literals become nodes (a complement is a gate, or turns the function of the gate below), and
the head becomes a sum of bits with weights that are powers of two. The gates are then cut into
parts, one C function each. A signal that leaves its part lives in a slot of one working array;
slots are used again as soon as the last reader has passed, all others are locals of a function.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.gates import CONST_0, CONST_1, TT_NOT_A, complement_inputs, swap_inputs
from gate2hw.ir.netlist import Encoder, Netlist

__all__ = ["Program", "Schedule", "depends", "lower", "schedule"]

MAX_PLANES: Final = 31
"""Bits of a score above the least one: with them every score is an int32_t."""

_ALL: Final = np.arange(16, dtype=np.uint8)
_KEEP: Final = 1 << 62
"""Position of the last reader of a signal that must outlive all gates."""


def _depends(slot: int) -> tuple[bool, ...]:
    flipped = complement_inputs[2 - slot]
    return tuple((flipped != _ALL).tolist())


depends: Final = (_depends(0), _depends(1))
"""depends[slot][tt]: whether a function depends on its input `slot`."""


def _fixed_tables() -> tuple[npt.NDArray[np.uint8], ...]:
    """f(0, b) and f(a, a), as functions of b and of a."""
    f00, f01, f11 = _ALL & 1, _ALL >> 1 & 1, _ALL >> 3 & 1
    return f00 * 5 + f01 * 10, f00 * 3 + f11 * 12


_A_IS_0, _SAME = _fixed_tables()


@dataclass(frozen=True)
class Program:
    """A lowered netlist: node ids as in the netlist, gates added behind.

    `tt`, `in0`, `in1` are one entry a gate, gate g is node ``first_gate + g``. A plain circuit has
    `outputs`, one node each. A head has `base`, the least value of each score without the
    `terms`: ``terms[c][k]`` are the nodes that add ``2**k`` to the score of class c.
    """

    first_gate: int
    tt: list[int]
    in0: list[int]
    in1: list[int]
    outputs: list[int]
    base: list[int]
    terms: list[list[list[int]]]

    @property
    def roots(self) -> list[int]:
        """The nodes that are read after all gates, in order of reading."""
        return self.outputs + [n for bits in self.terms for nodes in bits for n in nodes]

    def operands(self, node: int) -> list[int]:
        """The nodes that the gate `node` depends on."""
        gate = node - self.first_gate
        tt = self.tt[gate]
        found = [self.in0[gate]] if depends[0][tt] else []
        if depends[1][tt]:
            found.append(self.in1[gate])
        return found

    def score_bits(self) -> int:
        """Bits of the greatest score less the least; 0 for a plain circuit."""
        if not self.base:
            return 0
        highest = max(
            base + sum(len(nodes) << k for k, nodes in enumerate(bits))
            for base, bits in zip(self.base, self.terms, strict=True)
        )
        return (highest - min(self.base)).bit_length()


class _Lowering:
    """Columns of a netlist that grow: complements and constants that outputs need become gates."""

    def __init__(self, net: Netlist) -> None:
        tt, in0, in1 = net.tt, net.in0, net.in1
        tt = np.where(in0 == in1, _SAME[tt], tt)
        tt = np.where(in0 == 0, _A_IS_0[tt], tt)
        # f(a, 0) is swapped f(0, b)
        tt = np.where(in1 == 0, swap_inputs[_A_IS_0[swap_inputs[tt]]], tt)
        self.first_gate = net.first_gate
        self.tt: list[int] = tt.tolist()
        self.in0: list[int] = in0.tolist()
        self.in1: list[int] = in1.tolist()
        readers = np.bincount(in0, minlength=net.n_nodes)
        self.readers: list[int] = (readers + np.bincount(in1, minlength=net.n_nodes)).tolist()
        self.nodes: dict[int, int] = {}

    def _gate(self, tt: int, node: int) -> int:
        self.tt.append(tt)
        self.in0.append(node)
        self.in1.append(node)
        return self.first_gate + len(self.tt) - 1

    def add(self, literals: set[int]) -> None:
        """Give every literal a node."""
        for literal in sorted(literals):
            node = literal >> 1
            if node == 0:
                self.nodes[literal] = self._gate(CONST_1 if literal & 1 else CONST_0, 0)
            elif not literal & 1:
                self.nodes[literal] = node
            elif node >= self.first_gate and not self.readers[node] and literal - 1 not in literals:
                self.tt[node - self.first_gate] ^= 15
                self.nodes[literal] = node
            else:
                self.nodes[literal] = self._gate(TT_NOT_A, node)


def _head_terms(net: Netlist) -> tuple[list[int], list[list[list[int]]]]:
    """`base` and, as literals, `terms`: constants folded, negative weights turned round."""
    base: list[int] = net.head.bias.tolist()
    terms: list[list[list[int]]] = [[] for _ in base]
    group = np.repeat(np.arange(net.n_classes), np.diff(net.head.group_ptr)).tolist()
    outputs, weights = net.outputs.tolist(), net.head.weight.tolist()
    for c, literal, weight in zip(group, outputs, weights, strict=True):
        if literal < 2:
            base[c] += weight * literal
            continue
        if weight < 0:
            literal, base[c], weight = literal ^ 1, base[c] + weight, -weight
        for k in range(weight.bit_length()):
            if weight >> k & 1:
                terms[c] += [[] for _ in range(k + 1 - len(terms[c]))]
                terms[c][k].append(literal)
    return base, terms


def lower(net: Netlist) -> Program:
    """The program of `net`; InputError where a score does not fit an int32_t."""
    lowering = _Lowering(net)
    base, terms = _head_terms(net) if net.n_classes else ([], [])
    plain = [] if net.n_classes else net.outputs.tolist()
    lowering.add({*plain, *(lit for bits in terms for lits in bits for lit in lits)})
    nodes = lowering.nodes
    program = Program(
        lowering.first_gate,
        lowering.tt,
        lowering.in0,
        lowering.in1,
        [nodes[literal] for literal in plain],
        base,
        [[[nodes[literal] for literal in literals] for literals in bits] for bits in terms],
    )
    _check_scores(net, program)
    return program


def _check_scores(net: Netlist, program: Program) -> None:
    if not net.n_classes:
        return
    bounds = net.head.score_bounds()
    low, high = int(bounds.min()), int(bounds.max())
    if low < -(2**31) or high >= 2**31 or program.score_bits() > MAX_PLANES:
        raise InputError(
            f"scores reach from {low} to {high}, C's int32_t holds a span of 31 bits: make "
            "weights or biases smaller"
        )


@dataclass(frozen=True)
class Schedule:
    """The order of the gates, cut into parts, and where signals live.

    `parts` are the nodes of each function; `slot` is the place in the working array of every
    signal that has one, inputs at 0.. in the order of `inputs`; `n_slots` words are enough.
    `n_locals` is the greatest number of locals of one function that are needed at once,
    `n_accesses` how often gates read or write a slot.
    """

    parts: list[list[int]]
    inputs: list[int]
    slot: dict[int, int]
    n_slots: int
    n_locals: int
    n_accesses: int

    @property
    def n_gates(self) -> int:
        """Gates that are evaluated."""
        return sum(map(len, self.parts))


def _depth_first(program: Program) -> list[int]:
    """Live gates, each root's cone as a whole, the deeper operand first."""
    first = program.first_gate
    done = bytearray(first + len(program.tt))
    order: list[int] = []
    for root in program.roots:
        stack = [root]
        while stack:
            node = stack[-1]
            if node < first or done[node]:
                stack.pop()
                continue
            # higher node ids stand in higher levels
            pending = sorted(n for n in program.operands(node) if n >= first and not done[n])
            if pending:
                stack += pending
                continue
            stack.pop()
            done[node] = 1
            order.append(node)
    return order


def _live_inputs(program: Program, order: list[int], encoder: Encoder | None) -> list[int]:
    """Inputs that count, by feature and threshold, so that samples are read in order."""
    read = {n for node in order for n in program.operands(node)} | set(program.roots)
    inputs = sorted(node for node in read if node < program.first_gate)
    if encoder is None:
        return inputs
    feature, threshold = encoder.feature.tolist(), encoder.threshold.tolist()
    return sorted(inputs, key=lambda node: (feature[node - 1], threshold[node - 1]))


def _place(program: Program, order: list[int], inputs: list[int], part_size: int) -> Schedule:
    last: dict[int, int] = {}
    last_local: dict[int, int] = {}
    for position, node in enumerate(order):
        start = position - position % part_size
        for operand in program.operands(node):
            last[operand] = position
            # a reader in a later part reads the slot
            if last_local.get(operand, -1) >= start:
                last_local[operand] = position
        last_local[node] = position
    for node in program.roots:
        last[node] = _KEEP
    slot = {node: number for number, node in enumerate(inputs)}
    n_slots = len(inputs)
    free: list[int] = []
    ends = [0] * (len(order) + 1)
    alive = n_locals = n_accesses = 0
    where: dict[int, int] = {}
    for position, node in enumerate(order):
        start = position - position % part_size
        for operand in program.operands(node):
            n_accesses += where.get(operand, -1) < start
            if last[operand] == position and operand in slot:
                heapq.heappush(free, slot[operand])
        where[node] = position
        if last[node] >= start + part_size:
            n_accesses += 1
            if free:
                slot[node] = heapq.heappop(free)
            else:
                slot[node], n_slots = n_slots, n_slots + 1
        alive = (alive if position % part_size else 0) - ends[position]
        if last_local[node] > position:
            alive += 1
            ends[last_local[node]] += 1
        n_locals = max(n_locals, alive)
    parts = [order[n : n + part_size] for n in range(0, len(order), part_size)]
    return Schedule(parts, inputs, slot, n_slots, n_locals, n_accesses)


def schedule(program: Program, encoder: Encoder | None, part_size: int) -> Schedule:
    """Order, parts of `part_size` gates, and slots.

    Depth first, a cone is evaluated where it is needed: trained networks then keep half as many
    signals in memory as level by level (digits: 629 words, not 1,467), and write a third as many.
    """
    order = _depth_first(program)
    return _place(program, order, _live_inputs(program, order, encoder), part_size)
