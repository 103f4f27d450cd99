"""Plain networkx versions of the passes, one node at a time, and random nets to try them on."""

from __future__ import annotations

import itertools
from collections import Counter

import networkx as nx
import numpy as np

from gate2hw.ir.builder import from_columns
from gate2hw.ir.netlist import Encoder, Head, Netlist, SiteLayer, Sites
from gate2hw.ir.views import from_networkx, to_networkx


def random_net(
    seed: int,
    *,
    n_inputs: int = 5,
    n_gates: int = 40,
    n_classes: int = 3,
    n_outputs: int = 12,
    encoder: bool = False,
    window: int | None = None,
    dense: bool = False,
) -> Netlist:
    """A net of random gates on any lower nodes, the constant and equal inputs included.

    `window` limits how far down a gate reads; `dense` makes most gates real functions, so that
    the net does not collapse.
    """
    rng = np.random.default_rng(seed)
    first = 1 + n_inputs
    tt = rng.integers(0, 16, n_gates)
    if dense:
        tt = np.where(rng.random(n_gates) < 0.8, rng.choice([1, 6, 7, 8, 9, 14], n_gates), tt)
    low = np.maximum(0, np.arange(first, first + n_gates) - (window or first + n_gates))
    high = np.arange(first, first + n_gates)
    in0, in1 = rng.integers(low, high), rng.integers(low, high)
    outputs = rng.integers(0, 2 * (first + n_gates), n_outputs)
    head = Head.none(n_outputs)
    if n_classes:
        cuts = np.sort(rng.integers(0, n_outputs + 1, n_classes - 1))
        weight = rng.integers(-3, 6, n_outputs)
        head = Head(np.array([0, *cuts, n_outputs]), weight, rng.integers(-9, 10, n_classes))
    code = None
    if encoder:
        code = Encoder(np.arange(n_inputs) // 2, 50 + 100 * (np.arange(n_inputs) % 2), (9,), 255)
    return from_columns(
        n_inputs,
        tt.astype(np.uint8),
        in0.astype(np.int32),
        in1.astype(np.int32),
        outputs,
        head=head,
        encoder=code,
        origin=np.arange(n_gates, dtype=np.int32),
        sites=Sites((SiteLayer("layer", 1, n_gates),)),
        digest="d" * 8,
    )


def all_bits(n_inputs: int) -> np.ndarray:
    """(2**n, n) bool: every input."""
    return np.array(list(itertools.product([False, True], repeat=n_inputs))).reshape(-1, n_inputs)


def value_of(net: Netlist, bits: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Outputs and scores on one input, gate by gate in Python integers."""
    value = [0, *bits]
    for tt, a, b in zip(net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), strict=True):
        value.append(tt >> (2 * value[a] + value[b]) & 1)
    outputs = [value[lit >> 1] ^ (lit & 1) for lit in net.outputs.tolist()]
    ptr, weight = net.head.group_ptr.tolist(), net.head.weight.tolist()
    scores = [
        int(net.head.bias[c]) + sum(weight[o] * outputs[o] for o in range(ptr[c], ptr[c + 1]))
        for c in range(net.n_classes)
    ]
    return outputs, scores


def structure(net: Netlist) -> tuple[Counter, list]:
    """What a net is, whatever the order of its gates: its gates as a multiset, its outputs."""
    ids: dict[object, int] = {}
    key = [ids.setdefault(("node", n), n) for n in range(net.first_gate)]
    gates: Counter = Counter()
    columns = zip(
        net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), net.origin.tolist(), strict=True
    )
    for tt, a, b, origin in columns:
        operands, table = (key[a], key[b]), tt
        if operands[0] > operands[1]:
            operands = operands[::-1]
            table = (tt & 9) | (tt & 2) << 1 | (tt & 4) >> 1
        name = (table, operands)
        key.append(ids.setdefault(name, len(ids)))
        gates[table, operands, origin] += 1
    return gates, [(key[lit >> 1], lit & 1) for lit in net.outputs.tolist()]


def _gates(graph: nx.MultiDiGraph) -> list[int]:
    return [n for n in sorted(graph) if graph.nodes[n]["kind"] == "gate"]


def _operands(graph: nx.MultiDiGraph, node: int) -> list[int]:
    slots = {d["slot"]: u for u, _, d in graph.in_edges(node, data=True)}
    return [slots[0], slots[1]]


def _rebuild(graph: nx.MultiDiGraph, node: int, tt: int, operands: list[int]) -> None:
    graph.remove_edges_from(list(graph.in_edges(node, keys=True)))
    graph.nodes[node]["tt"] = tt
    for slot, operand in enumerate(operands):
        graph.add_edge(operand, node, key=slot, slot=slot)


def _finish(graph: nx.MultiDiGraph, stands: dict[int, tuple[int, int]]) -> Netlist:
    outputs = [(lit >> 1, lit & 1) for lit in graph.graph["outputs"]]
    graph.graph["outputs"] = [
        2 * stands[node][0] + (stands[node][1] ^ flip) for node, flip in outputs
    ]
    graph.remove_nodes_from([n for n in _gates(graph) if stands[n][0] != n])
    return from_networkx(graph)


def oracle_fold(net: Netlist) -> Netlist:
    """Tabulate each gate over the distinct variables that it reads."""
    graph = to_networkx(net, max_gates=100_000)
    stands = {n: (n, 0) for n in range(net.first_gate)}
    for node in _gates(graph):
        operands = [stands[u] for u in _operands(graph, node)]
        free = sorted({u for u, _ in operands} - {0})
        tt = graph.nodes[node]["tt"]
        table = {}
        for values in itertools.product([0, 1], repeat=len(free)):
            given = {0: 0, **dict(zip(free, values, strict=True))}
            a, b = (given[u] ^ flip for u, flip in operands)
            table[values] = tt >> (2 * a + b) & 1
        flip = table[(0,) * len(free)]
        needed = [
            i
            for i in range(len(free))
            if any(table[v] != table[(*v[:i], 1 - v[i], *v[i + 1 :])] for v in table)
        ]
        if not needed:
            stands[node] = (0, flip)
        elif len(needed) == 1:
            stands[node] = (free[needed[0]], flip)
        else:
            new = sum((table[a, b] ^ flip) << (2 * a + b) for a in (0, 1) for b in (0, 1))
            _rebuild(graph, node, new, free)
            stands[node] = (node, flip)
    return _finish(graph, stands)


def oracle_strash(net: Netlist) -> Netlist:
    """One dictionary of all gates."""
    graph = to_networkx(net, max_gates=100_000)
    stands = {n: (n, 0) for n in range(net.first_gate)}
    seen: dict[tuple[int, int, int], int] = {}
    for node in _gates(graph):
        a, b = (stands[u][0] for u in _operands(graph, node))
        tt = graph.nodes[node]["tt"]
        if a > b:
            f01, f10 = tt >> 1 & 1, tt >> 2 & 1
            a, b, tt = b, a, (tt & 9) | f10 << 1 | f01 << 2
        _rebuild(graph, node, tt, [a, b])
        stands[node] = (seen.setdefault((tt, a, b), node), 0)
    return _finish(graph, stands)


def oracle_dce(net: Netlist) -> Netlist:
    """Ancestors of the outputs."""
    graph = to_networkx(net, max_gates=100_000)
    live = {lit >> 1 for lit in graph.graph["outputs"]}
    for node in list(live):
        live |= nx.ancestors(graph, node)
    graph.remove_nodes_from([n for n in _gates(graph) if n not in live])
    return from_networkx(graph)


def oracle_head_constants(net: Netlist) -> Netlist:
    """Class by class, output by output."""
    outputs, weights, ptr, bias = [], [], [0], []
    for c in range(net.n_classes):
        total = int(net.head.bias[c])
        for o in range(net.head.group_ptr[c], net.head.group_ptr[c + 1]):
            literal, weight = int(net.outputs[o]), int(net.head.weight[o])
            if literal == 1:
                total += weight
            elif literal != 0:
                outputs.append(literal)
                weights.append(weight)
        ptr.append(len(outputs))
        bias.append(total)
    return net.with_(outputs=outputs, head=Head(ptr, weights, bias))
