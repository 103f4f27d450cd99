"""Kernels simplified before unrolling: equal to `unroll`, with its sites, and truly shared."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir import simulate as sim
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.network import chain
from gate2hw.ir.unroll import instantiated_gates, unroll
from gate2hw.passes import share_kernels as module
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.share_kernels import Channels, share_kernels
from gate2hw.passes.unroll_shared import unroll_shared

TRIVIAL = np.array([0, 3, 5, 10, 12, 12, 12, 15], np.uint64)

CASES = {
    "plain": {},
    "depth3": {"depth": 3, "kernels": 3},
    "padding": {"padding": (1, 2)},
    "padding-stride": {"stride": (3, 2), "padding": (2, 1), "input_shape": (1, 7, 5)},
    "wide-padding": {"padding": (4, 4)},
    "arity1": {"arity": 1, "depth": 2, "kernels": 3},
    "arity3": {"arity": 3, "depth": 2, "kernels": 2, "padding": (1, 1)},
    "channels": {"input_shape": (3, 5, 4), "thresholds": 3, "kernels": 8},
    "pool-overlap": {"pool": (3, 2), "pool_stride": (1, 2), "pool_padding": (2, 1)},
    "pool-first": {"kernels": 0, "pool": (3, 3), "pool_stride": (2, 2), "pool_padding": (1, 1)},
    "pool-of-one": {"pool": (1, 1), "pool_stride": (2, 1)},
    "no-pool": {"pool": None},
    "no-dense": {"dense": ()},
    "deep": {"dense": (40, 30, 20)},
    "nothing": {"kernels": 0, "pool": None, "dense": ()},
    "tabular": {"input_shape": (9,), "thresholds": 3, "dense": (30, 20)},
    **{f"dense-arity{k}": {"dense": (25, 15), "dense_arity": k} for k in (1, 3, 6)},
}


def wired(network, seed):
    """`network` with most tables made constants, wires and inverters, and doubled neurons."""
    rng = np.random.default_rng(seed)

    def thinned(tables, arity):
        if arity != 2:
            return tables
        return np.where(rng.random(tables.shape) < 0.6, rng.choice(TRIVIAL, tables.shape), tables)

    layers = []
    for name, layer in network.layers():
        if isinstance(layer, LogicConv):
            same = np.arange(layer.n_kernels) // 2 * 2
            tables = tuple(thinned(t, layer.arity)[same] for t in layer.tables)
            flip = np.uint64(2 ** (2**layer.arity) - 1) * (np.arange(layer.n_kernels) % 4 == 1)
            tables = (*tables[:-1], tables[-1] ^ flip.astype(np.uint64)[:, None])
            leaves = layer.leaves[same]
            layer = LogicConv(
                layer.input_shape, leaves, tables, layer.field, layer.stride, layer.padding,
                layer.arity,
            )  # fmt: skip
        elif isinstance(layer, LogicDense):
            layer = LogicDense(layer.input_shape, layer.wiring, thinned(layer.tables, layer.arity))
        layers.append((name, layer))
    return chain(layers, class_names=network.class_names)


def two_convolutions(seed, padding=(1, 1)):
    """conv - conv - pool - conv - dense, mostly wires: what is equal shows up a layer later."""
    rng = np.random.default_rng(seed)
    layers = [("in", Thermometer((2, 11, 11), np.array([[60, 120], [90, 150]]), 255))]

    def conv(name, kernels):
        shape = layers[-1][1].output_shape
        leaves = rng.integers(0, [shape[0], 3, 3], (kernels, 4, 3))
        tables = tuple(rng.integers(0, 16, (kernels, n)).astype(np.uint64) for n in (2, 1))
        layers.append((name, LogicConv(shape, leaves, tables, (3, 3), (1, 1), padding)))

    conv("c1", 10)
    conv("c2", 12)
    layers.append(("p", OrPool(layers[-1][1].output_shape, (2, 2), (2, 2), (1, 0))))
    conv("c3", 12)
    shape = layers[-1][1].output_shape
    wiring = rng.integers(0, np.prod(shape), (40, 2))
    layers.append(("d", LogicDense(shape, wiring, rng.integers(0, 16, 40).astype(np.uint64))))
    layers.append(("s", GroupSum((40,), [0, 20, 40])))
    return wired(chain(layers), seed)


def check_equal(network, seed=0):
    raw, shared = unroll(network), unroll_shared(network)
    assert shared.sites == raw.sites
    assert (shared.digest, shared.encoder, shared.names) == (raw.digest, raw.encoder, raw.names)
    assert (shared.n_outputs, shared.n_inputs) == (raw.n_outputs, raw.n_inputs)
    assert (shared.head.group_ptr == raw.head.group_ptr).all()
    assert shared.n_gates <= raw.n_gates == instantiated_gates(network)
    x = sim.random_features(raw.encoder, 128, np.random.default_rng(seed))
    words = sim.pack(sim.encode(raw.encoder, x))
    np.testing.assert_array_equal(sim.simulate(shared, words), sim.simulate(raw, words))
    np.testing.assert_array_equal(sim.scores(shared, x), evaluate(network, x))
    return raw, shared, words


def check_origins(raw, shared, words):
    """Each gate computes what unroll's gate of the same site does, or its complement."""
    reference = np.zeros((len(raw.sites), words.shape[1]), np.uint64)
    reference[raw.origin] = sim.node_words(raw, words)[raw.first_gate :]
    own = sim.node_words(shared, words)[shared.first_gate :]
    assert (shared.origin >= 0).all()
    expected = reference[shared.origin]
    assert ((own == expected).all(axis=1) | (own == ~expected).all(axis=1)).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_unroll(case, seed, random_network):
    network = random_network(seed, **CASES[case])
    if seed:
        network = wired(network, seed)
    raw, shared, words = check_equal(network)
    if all(getattr(layer, "arity", 2) <= 2 for _, layer in network.layers()):
        check_origins(raw, shared, words)
    # what is simplified once is what would be simplified in each position
    small, again = normalise(shared, care="none"), normalise(raw, care="none")
    assert (small.n_gates, small.depth) == (again.n_gates, again.depth)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (1, 0)])
@pytest.mark.parametrize("seed", range(6))
def test_equal_over_several_convolutions(seed, padding):
    network = two_convolutions(seed, padding)
    check_origins(*check_equal(network))
    shared, raw = unroll_shared(network), unroll(network)
    assert normalise(shared, care="none").n_gates == normalise(raw, care="none").n_gates


def same_everywhere(network):
    raw, shared = unroll(network), unroll_shared(network)
    words = sim.random_words(raw, 4, np.random.default_rng(0))
    return np.array_equal(sim.simulate(raw, words), sim.simulate(shared, words))


def test_forgetting_the_padding_is_seen(monkeypatch):
    """Complements taken for related in the padding as well: wrong, and the tests see it."""
    networks = [two_convolutions(seed) for seed in range(8)]
    assert all(same_everywhere(network) for network in networks)
    monkeypatch.setattr(module, "_is_inside", lambda layer: np.ones(layer.field, bool))
    assert not all(same_everywhere(network) for network in networks)


def test_complements_behind_a_pool_are_seen(monkeypatch):
    networks = [two_convolutions(seed, (0, 0)) for seed in range(8)]
    monkeypatch.setattr(Channels, "pooled", lambda channels: channels)
    assert not all(same_everywhere(network) for network in networks)


def by_hand(padding):
    """Six kernels: AND, its complement, the same AND, constant 1, a wire, one nobody reads."""
    leaf = [[0, 0, 0], [0, 0, 1]]
    leaves = np.array([leaf, leaf, leaf[::-1], leaf, leaf, [[0, 1, 1], [0, 1, 0]]])
    tables = np.array([[8], [7], [8], [15], [12], [6]], np.uint64)
    conv = LogicConv((1, 3, 3), leaves, (tables,), (2, 2), (1, 1), padding)
    shape = conv.output_shape
    size = shape[1] * shape[2]
    # neuron k reads elements 0 of two channels
    wiring = np.array([[0, size], [size, 2 * size], [3 * size, 4 * size], [0, 4 * size]])
    dense = LogicDense(shape, wiring, np.array([14, 6, 8, 8], np.uint64))
    layers = [("in", Thermometer((1, 3, 3), [[9]], 99)), ("c", conv), ("d", dense)]
    return chain([*layers, ("s", GroupSum((4,), [0, 2, 4]))])


def test_what_is_shared():
    network = by_hand((0, 0))
    conv, dense = share_kernels(network)
    # one AND for three kernels, XOR dropped, constant and wire are no gates
    assert conv.net.n_gates == 1
    assert conv.live.tolist() == [True, False, False, False, True, False]
    # AND | NAND = 1, NAND ^ AND = 1, 1 & wire = wire; AND & wire stays a gate
    assert dense.net.n_gates == 1
    assert dense.net.outputs[:2].tolist() == [1, 1]
    assert unroll_shared(network).n_gates == 4 + 1
    assert instantiated_gates(network) == 6 * 4 + 4
    check_equal(network)
    check_equal(by_hand((1, 1)))


def test_padding_keeps_a_constant_one_apart():
    """A channel that is 1 is 0 in the padding, where the next convolution reads it."""
    leaves = np.zeros((1, 2, 3), np.int32)
    one = LogicConv((1, 2, 2), leaves, (np.array([[15]], np.uint64),), (1, 1))
    wire = LogicConv((1, 2, 2), leaves, (np.array([[12]], np.uint64),), (1, 1), padding=(1, 1))
    layers = [("in", Thermometer((1, 2, 2), [[9]], 99)), ("one", one), ("wire", wire)]
    network = chain([*layers, ("s", GroupSum((1, 4, 4), [0, 8, 16]))])
    shared = unroll_shared(network)
    assert shared.n_gates == 0
    assert shared.outputs.reshape(4, 4).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
