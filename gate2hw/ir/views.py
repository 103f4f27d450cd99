"""networkx views of small netlists: for people, plots, custom passes and the tests' oracles."""

from __future__ import annotations

import networkx as nx
import numpy as np

from gate2hw.errors import IRError
from gate2hw.ir.builder import from_columns
from gate2hw.ir.netlist import Netlist

__all__ = ["from_networkx", "to_networkx"]


def to_networkx(net: Netlist, *, max_gates: int = 10_000) -> nx.MultiDiGraph:
    """Return `net` as a graph: nodes are ids, edges run from operand to gate.

    Node attributes: ``kind`` (``"const"``, ``"input"``, ``"gate"``), ``level`` and, for gates,
    ``tt`` and ``origin``; edge attribute ``slot`` (0 or 1; a gate may read a node twice). Graph
    attributes: ``outputs``, a list of literals, and ``netlist``, the source, whose head, encoder
    and names `from_networkx` takes over. Raises IRError above `max_gates`.
    """
    if net.n_gates > max_gates:
        raise IRError(
            f"{net.n_gates:,} gates are too many for a networkx view (limit {max_gates:,}); "
            "raise max_gates if you mean it"
        )
    graph = nx.MultiDiGraph(outputs=net.outputs.tolist(), netlist=net)
    level = net.node_level.tolist()
    graph.add_node(0, kind="const", level=0)
    graph.add_nodes_from((i, {"kind": "input", "level": 0}) for i in range(1, net.first_gate))
    columns = zip(
        net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), net.origin.tolist(), strict=True
    )
    for node, (tt, a, b, origin) in enumerate(columns, start=net.first_gate):
        graph.add_node(node, kind="gate", level=level[node], tt=tt, origin=origin)
        graph.add_edge(a, node, key=0, slot=0)
        graph.add_edge(b, node, key=1, slot=1)
    return graph


def from_networkx(graph: nx.MultiDiGraph) -> Netlist:
    """Return the netlist of a graph made by `to_networkx` and changed since.

    Gates may have any hashable id; inputs and constant keep theirs. ``graph.graph["outputs"]`` are
    ``2*node + complement`` literals, or (node, complement) pairs where ids are no integers.
    Gates of a level keep the order in which the graph holds them. Raises IRError for a cycle, or
    a gate that does not read exactly two operands.
    """
    source: Netlist = graph.graph["netlist"]
    if not nx.is_directed_acyclic_graph(graph):
        raise IRError("the graph has a cycle")
    number: dict[object, int] = {i: i for i in range(source.first_gate)}
    gates: list[tuple[int, int, int, int]] = []
    position = {node: i for i, node in enumerate(graph)}
    for generation in nx.topological_generations(graph):
        for node in sorted(generation, key=position.__getitem__):
            data = graph.nodes[node]
            if data.get("kind") != "gate":
                if node not in number:
                    raise IRError(f"node {node!r} is neither a gate, an input nor the constant")
                continue
            operands = {d.get("slot"): u for u, _, d in graph.in_edges(node, data=True)}
            if set(operands) != {0, 1} or graph.in_degree(node) != 2:
                raise IRError(f"gate {node!r} does not read exactly slots 0 and 1")
            if data.get("tt") not in range(16):
                raise IRError(f"gate {node!r}: truth table {data.get('tt')} is outside 0..15")
            number[node] = source.first_gate + len(gates)
            a, b = number[operands[0]], number[operands[1]]
            gates.append((int(data["tt"]), a, b, data.get("origin", -1)))
    outputs = []
    for output in graph.graph["outputs"]:
        node, flip = output if isinstance(output, tuple) else divmod(output, 2)
        if node not in number:
            raise IRError(f"output reads {node!r}, which is no node of the graph")
        outputs.append(2 * number[node] + int(flip))
    tt, in0, in1, origin = np.array(gates, np.int64).reshape(-1, 4).T
    return from_columns(
        source.n_inputs,
        tt.astype(np.uint8),
        in0.astype(np.int32),
        in1.astype(np.int32),
        np.array(outputs, np.int64),
        head=source.head,
        encoder=source.encoder,
        origin=origin.astype(np.int32),
        sites=source.sites,
        names=source.names,
        digest=source.digest,
    )
