import networkx as nx
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.views import from_networkx, to_networkx


@pytest.mark.parametrize("seed", range(6))
def test_round_trip(seed, random_netlist):
    net = random_netlist(seed, encoder=seed % 2 == 0, named=seed % 3 == 0, n_classes=seed % 4)
    assert from_networkx(to_networkx(net)) == net


def test_attributes():
    net = parse_netlist("netlist inputs=1\n2 = XOR 1 1\n3 = AND 2 1\noutput ~3\n")
    graph = to_networkx(net)
    assert dict(graph.nodes(data=True)) == {
        0: {"kind": "const", "level": 0},
        1: {"kind": "input", "level": 0},
        2: {"kind": "gate", "level": 1, "tt": 6, "origin": -1},
        3: {"kind": "gate", "level": 2, "tt": 8, "origin": -1},
    }
    edges = sorted((u, v, d["slot"]) for u, v, d in graph.edges(data=True))
    assert edges == [(1, 2, 0), (1, 2, 1), (1, 3, 1), (2, 3, 0)]
    assert graph.graph["outputs"] == [7]


def test_a_changed_graph_with_new_ids():
    net = parse_netlist("netlist inputs=2\n3 = AND 1 2\noutput 3\n")
    graph = to_networkx(net)
    graph.add_node("new", kind="gate", tt=6)
    graph.add_edge(3, "new", slot=1)
    graph.add_edge(2, "new", slot=0)
    graph.graph["outputs"] = [("new", True)]
    changed = from_networkx(graph)
    assert (changed.tt.tolist(), changed.in0.tolist(), changed.in1.tolist()) == (
        [8, 6],
        [1, 2],
        [2, 3],
    )
    assert changed.outputs.tolist() == [9]


def broken(change):
    graph = to_networkx(parse_netlist("netlist inputs=2\n3 = AND 1 2\n4 = XOR 3 1\noutput 4\n"))
    change(graph)
    return graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.add_edge(4, 3, slot=0), "cycle"),
        (lambda g: g.remove_edge(1, 3), "gate 3 does not read exactly slots 0 and 1"),
        (lambda g: g.add_edge(2, 4, slot=1), "gate 4 does not read"),
        (lambda g: g.edges[1, 3, 0].update(slot=1), "gate 3 does not read"),
        (lambda g: g.nodes[3].update(tt=16), "gate 3: truth table 16"),
        (lambda g: g.add_node("x"), "node 'x' is neither"),
        (lambda g: g.graph.update(outputs=[12]), "output reads 6"),
    ],
)
def test_broken_graphs(change, message):
    with pytest.raises(IRError, match=message):
        from_networkx(broken(change))


def test_large_netlists_are_refused(random_netlist):
    with pytest.raises(IRError, match=r"30 gates are too many .* \(limit 29\)"):
        to_networkx(random_netlist(1), max_gates=29)
    assert nx.is_directed_acyclic_graph(to_networkx(random_netlist(1), max_gates=30))
