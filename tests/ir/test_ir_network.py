import networkx as nx
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.layers import GroupSum, LogicDense, Thermometer
from gate2hw.ir.network import LogicNetwork, chain

THERMOMETER = Thermometer((4,), [[1, 2]] * 4, 9)
DENSE = LogicDense((8,), [[0, 1], [2, 3]], [8, 6])
SUM = GroupSum((2,), [0, 1, 2])
LAYERS = [("in", THERMOMETER), ("dense", DENSE), ("sum", SUM)]


def test_a_chain_in_order():
    network = chain(LAYERS, class_names=("no", "yes"), dataset="d", info={"seed": 1})
    assert [name for name, _ in network.layers()] == ["in", "dense", "sum"]
    assert network.graph.edges["in", "dense"]["shape"] == (8,)
    assert network.thermometer is THERMOMETER
    assert network.group_sum is SUM
    assert network.n_unique_gates == 2


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("in", THERMOMETER)], "at least a Thermometer and a GroupSum"),
        ([("in", THERMOMETER), ("in", DENSE), ("sum", SUM)], "two layers are named 'in'"),
        ([("dense", DENSE), ("sum", SUM)], "layer 'dense': .* one Thermometer, its first"),
        ([*LAYERS[:1], ("in2", THERMOMETER), *LAYERS[1:]], "layer 'in2'.*Thermometer"),
        (LAYERS[:2], "layer 'dense': .* one GroupSum, its last layer"),
        ([*LAYERS[:2], ("s", SUM), ("sum", SUM)], "layer 's': .*GroupSum"),
        (
            [*LAYERS[:2], ("sum", GroupSum((3,), [0, 3]))],
            r"layer 'sum' expects input of shape \(3,\), but 'dense' gives \(2,\)",
        ),
        (
            [*LAYERS[:1], ("dense", LogicDense((8,), [[0, 9]], [8])), LAYERS[2]],
            "layer 'dense', gate 0: input 1 is wired to 9",
        ),
    ],
)
def test_broken_chains_name_the_layer(layers, message):
    with pytest.raises(IRError, match=message):
        chain(layers)


def graph_of(*edges, ops=None):
    graph = nx.DiGraph()
    for name, op in (ops or dict(LAYERS)).items():
        graph.add_node(name, op=op)
    shapes = {"in": (8,), "dense": (2,), "sum": (2,)}
    graph.add_edges_from((u, v, {"shape": shapes[u]}) for u, v in edges)
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (graph_of(("in", "dense"), ("dense", "sum"), ("sum", "in")), "cycle"),
        (graph_of(("in", "dense"), ("in", "sum")), "one chain"),
        (graph_of(("in", "dense")), "one chain"),
        (
            graph_of(("in", "dense"), ops={"in": THERMOMETER, "dense": "Dense"}),
            "layer 'dense': str is no layer type",
        ),
    ],
)
def test_broken_graphs(graph, message):
    with pytest.raises(IRError, match=message):
        LogicNetwork(graph).verify()


def test_an_edge_with_a_wrong_shape():
    graph = graph_of(("in", "dense"), ("dense", "sum"))
    LogicNetwork(graph).verify()
    graph.edges["in", "dense"]["shape"] = (9,)
    with pytest.raises(IRError, match=r"edge 'in' -> 'dense' does not carry shape \(8,\)"):
        LogicNetwork(graph).verify()


def test_class_names_must_fit():
    with pytest.raises(IRError, match="3 class names for 2 classes"):
        chain(LAYERS, class_names=("a", "b", "c"))


def test_digest_is_of_what_is_computed():
    digest = chain(LAYERS).digest
    assert digest == chain(LAYERS, dataset="d", info={"x": 1}).digest
    assert digest == chain([*LAYERS[:2], ("sum", GroupSum((2,), [0, 1, 2], tau=7.0))]).digest
    others = [
        [("in", Thermometer((4,), [[1, 3]] * 4, 9)), *LAYERS[1:]],
        [("in", Thermometer((4,), [[1, 2]] * 4, 8)), *LAYERS[1:]],
        [LAYERS[0], ("dense", LogicDense((8,), [[0, 1], [2, 3]], [8, 7])), LAYERS[2]],
        [LAYERS[0], ("dense", LogicDense((8,), [[1, 0], [2, 3]], [8, 6])), LAYERS[2]],
        [*LAYERS[:2], ("sum", GroupSum((2,), [0, 2]))],
    ]
    digests = {chain(layers).digest for layers in others}
    assert len(digests) == len(others)
    assert digest not in digests
