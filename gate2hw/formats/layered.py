"""A circuit with classes as a LogicNetwork of dense layers, one a level, wires passing through."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.encodings import fix_input
from gate2hw.formats.foreign_layers import Stack
from gate2hw.formats.spec import ImportSpec
from gate2hw.ir.gates import CONST_0, TT_A
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork

__all__ = ["network_of"]

MAX_NEURONS: Final = 50_000_000


def _last_reader(net: Netlist) -> npt.NDArray[np.int64]:
    """(n_nodes,) int64: the highest level (1..L) that reads a node; outputs read at level L."""
    last = np.zeros(net.n_nodes, np.int64)
    level = net.node_level[net.first_gate :].astype(np.int64)
    for operand in (net.in0, net.in1):
        np.maximum.at(last, operand, level)
    nodes = net.outputs >> 1
    top = max(1, net.depth)
    np.maximum.at(last, nodes, np.where(net.node_level[nodes] < top, top, 0))
    return last


def network_of(net: Netlist, spec: ImportSpec, shape: tuple[int, ...], **info: Any) -> LogicNetwork:
    """Dense layers that compute `net`: its gates by level, and wires for what passes a level.

    `shape` is that of the model's input, whose encoded bits are the inputs of `net` in order. A
    negative bias, or a plain circuit without ``spec.classes``, is an InputError.
    """
    stack = Stack.over(spec, shape)
    if len(stack.encoding.codes) != net.n_inputs:
        raise InputError(
            f"the circuit has {net.n_inputs} inputs, the [input] of the spec gives "
            f"{len(stack.encoding.codes)} bits"
        )
    last = _last_reader(net)
    levels = list(itertools.pairwise(net.level_ptr.tolist()))
    alive = int(np.maximum(0, last - 1 - net.node_level).sum())
    if alive + net.n_gates > MAX_NEURONS:
        raise InputError(f"the circuit would be {alive + net.n_gates:,} neurons in layers")
    place = np.zeros(net.n_nodes, np.int64)
    place[1 : net.first_gate] = np.arange(net.n_inputs)
    for k, (low, high) in enumerate(levels[:-1], start=1):
        gates = np.arange(net.first_gate + low, net.first_gate + high)
        passing = np.flatnonzero((net.node_level < k) & (last > k))
        passing = passing[passing > 0]
        operands = np.stack([net.in0[low:high], net.in1[low:high]], axis=1)
        _layer(stack, f"level {k}", place, operands, net.tt[low:high], passing)
        nodes = np.concatenate([gates, passing])
        place[nodes] = np.arange(len(nodes))
    node, flip = net.outputs >> 1, (net.outputs & 1).astype(np.uint8)
    is_gate = (net.node_level[node] == net.depth) & (net.depth > 0)
    gate = np.where(is_gate, node - net.first_gate, 0)
    columns = [
        np.where(is_gate, column[gate] if net.n_gates else 0, node) for column in (net.in0, net.in1)
    ]
    tt = np.where(is_gate, net.tt[gate] if net.n_gates else 0, TT_A)
    tt = np.where(node == 0, CONST_0, tt) ^ (15 * flip)
    _layer(stack, "outputs", place, np.stack(columns, axis=1), tt, np.zeros(0, np.int64))
    if net.n_classes:
        ptr = net.head.group_ptr
        if (net.head.bias < 0).any():
            c = int(np.argmin(net.head.bias))
            raise InputError(
                f"class {c} has beta {int(net.head.bias[c])}; a network of gates cannot score "
                "less than nothing: convert the file to .npz instead of importing it"
            )
        ptr = stack.vote(ptr, net.head.bias) if net.head.bias.any() else ptr
    else:
        ptr = stack.equal_groups()
    return stack.network(ptr, **info)


def _layer(
    stack: Stack,
    where: str,
    place: npt.NDArray[np.int64],
    operands: npt.NDArray[Any],
    tt: npt.NDArray[Any],
    passing: npt.NDArray[np.int64],
) -> None:
    """Append a layer of gates, then of wires; operands that are node 0 are worked into tables."""
    tables = np.concatenate([tt, np.full(len(passing), TT_A)]).astype(np.uint64)
    nodes = np.concatenate([operands, np.stack([passing, passing], axis=1)]).astype(np.int64)
    for slot in (0, 1):
        is_zero = nodes[:, slot] == 0
        fixed = fix_input(tables, 2, slot, np.zeros(len(tables), np.bool_))
        tables = np.where(is_zero, fixed, tables)
    stack.dense(where, np.where(nodes == 0, 0, place[nodes]), tables)
