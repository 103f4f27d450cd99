"""Windows of a netlist for partitioned proofs: the cone of some signals, cut at known ones.

A cut point is a class of signals that were guessed equal by simulation and then proved: inside a
window it is a free variable. Two windows that are equal for all values of their variables are
equal; the reverse need not hold, as the variables may depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import complement_inputs
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.passes.proof.proof_vectors import Evaluator, Words

__all__ = ["Cuts", "Window", "cone", "joint_windows", "side_by_side", "signatures"]

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]

_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


def signatures(net: Netlist, rounds: list[Words]) -> tuple[npt.NDArray[np.uint64], Bits]:
    """What simulation shows of every node: (n_nodes,) uint64 hash, (n_nodes,) bool phase.

    Nodes that are equal or complements on all given words have one hash; phase is the value on
    the first sample, so that node xor phase is the same signal for all of them.
    """
    evaluator = Evaluator(net, rounds[0].shape[1])
    total = np.zeros(net.n_nodes, np.uint64)
    phase: Bits | None = None
    for words in rounds:
        evaluator.run(words)
        for column in range(words.shape[1]):
            value = evaluator.value[evaluator.place, column]
            if phase is None:
                phase = (value & np.uint64(1)).astype(bool)
            value ^= np.where(phase, ~np.uint64(0), np.uint64(0))
            total = (total ^ value) * _MIX
            total ^= total >> np.uint64(29)
    assert phase is not None
    return total, phase


@dataclass
class Cuts:
    """Cut points of one netlist: `name` (n_nodes,) int64 is the variable of a node, -1 if none.

    Variables are numbered alike in both netlists of a proof; `phase` (n_nodes,) bool says that
    the node is the variable's complement.
    """

    name: Ints
    phase: Bits


def cone(net: Netlist, lits: Ints, name: Ints) -> Bits:
    """(n_nodes,) bool: all that the literals depend on, down to the inputs and the cut points.

    Cut points themselves are in the result and not looked through, unless a literal names them.
    """
    mark = np.zeros(net.n_nodes, bool)
    roots = np.unique(lits >> 1)
    mark[roots] = True
    is_root = np.zeros(net.n_nodes, bool)
    is_root[roots] = True
    first = net.first_gate
    for start, stop in reversed(list(net.levels())):
        nodes = slice(first + start, first + stop)
        open_ = mark[nodes] & ((name[nodes] < 0) | is_root[nodes])
        gates = start + np.flatnonzero(open_)
        mark[net.in0[gates]] = True
        mark[net.in1[gates]] = True
    return mark


@dataclass(frozen=True)
class Window:
    """A cone as a plain circuit: `net` has the pairs' literals as outputs.

    `leaves` (V,) int64 names its inputs, in rising order: input i of the whole netlist as i, cut
    variable v as n_inputs + v.
    """

    net: Netlist
    leaves: Ints


def _leaves(net: Netlist, mark: Bits, lits: Ints, name: Ints) -> tuple[Ints, Ints, Ints]:
    """Nodes that are variables of the window, their numbers, and the gates to keep."""
    first = net.first_gate
    is_root = np.zeros(net.n_nodes, bool)
    is_root[lits >> 1] = True
    nodes = np.flatnonzero(mark)
    nodes = nodes[nodes > 0]
    is_input = nodes < first
    is_cut = ~is_input & (name[nodes] >= 0) & ~is_root[nodes]
    inputs, cuts = nodes[is_input], nodes[is_cut]
    number = np.concatenate([inputs - 1, net.n_inputs + name[cuts]])
    gates = nodes[~is_input & ~is_cut] - first
    return np.concatenate([inputs, cuts]), number, gates


def _extract(
    net: Netlist, lits: Ints, parts: tuple[Ints, Ints, Ints], leaves: Ints, cuts: Cuts
) -> Netlist:
    nodes, number, gates = parts
    first = 1 + len(leaves)
    lit = np.zeros(net.n_nodes, np.int64)
    lit[nodes] = 2 * (1 + np.searchsorted(leaves, number))
    is_cut = nodes >= net.first_gate
    lit[nodes[is_cut]] |= cuts.phase[nodes[is_cut]]
    lit[net.first_gate + gates] = 2 * (first + np.arange(len(gates)))
    a, b = lit[net.in0[gates]], lit[net.in1[gates]]
    ptr = np.searchsorted(gates, net.level_ptr)
    return from_columns(
        len(leaves),
        complement_inputs[2 * (a & 1) + (b & 1), net.tt[gates]],
        (a >> 1).astype(np.int32),
        (b >> 1).astype(np.int32),
        lit[lits >> 1] ^ (lits & 1),
        head=Head.none(len(lits)),
        block_ptr=ptr.astype(np.int64),
    )


def joint_windows(
    a: Netlist, b: Netlist, lits_a: Ints, lits_b: Ints, cuts: tuple[Cuts, Cuts], most: int
) -> tuple[Window, Window] | int:
    """The windows of the pairs in both netlists, over the same variables.

    Where they hold more than `most` gates together, only that number is returned.
    """
    sides = []
    n_gates = 0
    for net, lits, cut in ((a, lits_a, cuts[0]), (b, lits_b, cuts[1])):
        parts = _leaves(net, cone(net, lits, cut.name), lits, cut.name)
        n_gates += len(parts[2])
        sides.append((net, lits, parts, cut))
    if n_gates > most:
        return n_gates
    leaves = np.unique(np.concatenate([parts[1] for _, _, parts, _ in sides]))
    left, right = (_extract(net, lits, parts, leaves, cut) for net, lits, parts, cut in sides)
    return Window(left, leaves), Window(right, leaves)


def side_by_side(a: Netlist, b: Netlist, outputs: Ints | None = None) -> Netlist:
    """A plain circuit of the gates of `a`, then those of `b`, over the same inputs.

    `outputs` are literals of it; by default the outputs of `a`, then those of `b`.
    """
    shift = np.arange(b.n_nodes, dtype=np.int64)
    shift[b.first_gate :] += a.n_gates
    if outputs is None:
        outputs = np.concatenate([a.outputs, 2 * shift[b.outputs >> 1] + (b.outputs & 1)])
    return from_columns(
        a.n_inputs,
        np.concatenate([a.tt, b.tt]),
        np.concatenate([a.in0, shift[b.in0].astype(np.int32)]),
        np.concatenate([a.in1, shift[b.in1].astype(np.int32)]),
        outputs,
        block_ptr=np.concatenate([a.level_ptr, a.n_gates + b.level_ptr[1:]]),
    )
