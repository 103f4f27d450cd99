import itertools

import numpy as np
import pytest

from gate2hw.ir import simulate as sim
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.netlist import Site
from gate2hw.ir.network import chain
from gate2hw.ir.unroll import census, encoder_of, instantiated_gates, unroll

CASES = {
    "plain": {},
    "depth1": {"depth": 1},
    "depth3": {"depth": 3, "kernels": 2},
    "padding": {"padding": (1, 2)},
    "stride": {"stride": (2, 1), "field": (2, 3)},
    "stride-padding": {"stride": (3, 2), "padding": (2, 1), "input_shape": (1, 7, 5)},
    "arity1": {"arity": 1, "depth": 2, "kernels": 2},
    "arity3": {"arity": 3, "depth": 2, "kernels": 2},
    "arity4": {"arity": 4, "depth": 1, "kernels": 3, "padding": (1, 1)},
    "channels": {"input_shape": (3, 5, 4), "thresholds": 3},
    "pool-overlap": {"pool": (3, 2), "pool_stride": (1, 2), "pool_padding": (2, 1)},
    "pool-padding": {"pool": (2, 3), "pool_padding": (1, 2)},
    "pool-first": {"kernels": 0, "pool": (3, 3), "pool_stride": (2, 2), "pool_padding": (1, 1)},
    "pool-of-one": {"pool": (1, 1)},
    "no-pool": {"pool": None},
    "no-dense": {"dense": ()},
    "deep": {"dense": (30, 20, 10)},
    "nothing": {"kernels": 0, "pool": None, "dense": ()},
    "tabular": {"input_shape": (9,), "thresholds": 3},
    "wide-values": {"input_shape": (6,), "thresholds": 5, "max_value": 65535},
    **{f"dense-arity{k}": {"dense": (25, 15), "dense_arity": k} for k in range(1, 7)},
}


def samples(encoder, n, rng):
    """Random inputs, half of them at a threshold or one beside it."""
    x = sim.random_features(encoder, n, rng)
    if not len(encoder.threshold):
        return x
    near = rng.choice(encoder.threshold, size=x.shape) + rng.integers(-1, 2, size=x.shape)
    return np.where(rng.random(x.shape) < 0.5, x, near.clip(0, encoder.max_value))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_unroll_agrees_with_the_oracle(case, seed, random_network, evaluate):
    network = random_network(seed, **CASES[case])
    net = unroll(network)
    assert net.n_gates == instantiated_gates(network)
    assert net.digest == network.digest
    x = samples(net.encoder, 70, np.random.default_rng(seed))
    scores = sim.scores(net, x)
    values = sim.unpack(sim.node_words(net, sim.pack(sim.encode(net.encoder, x))), len(x))
    last_gate = {net.site_of(g): g for g in range(net.n_gates)}
    for sample in range(0, len(x), 3):
        expected, places = evaluate(network, x[sample])
        assert scores[sample].tolist() == expected
        # the last gate of a site is the neuron's output: each gate stands at the right place
        for place, bit in places.items():
            assert values[sample, net.first_gate + last_gate[Site(*place)]] == bit, place
    pools = {site for site in last_gate if site.layer == "pool1"}
    assert len(last_gate) - len(pools) == len(places)
    for name, layer in network.layers():
        if isinstance(layer, OrPool):
            channels, rows, columns = layer.output_shape
            every = itertools.product(range(channels), range(rows), range(columns))
            n_gates = layer.window[0] * layer.window[1] - 1
            assert pools == {Site(name, *place, g) for place in every for g in range(n_gates)}


@pytest.mark.parametrize("case", CASES)
def test_the_census_counts_what_unroll_makes(case, random_network):
    network = random_network(1, **CASES[case])
    net, counted = unroll(network), census(network)
    layer = net.sites.layer_of(net.origin) if net.n_gates else np.zeros(0, np.int64)
    by_layer = {
        site.name: int((layer == number).sum()) for number, site in enumerate(net.sites.layers)
    }
    assert counted.by_layer == by_layer
    assert counted.by_function.tolist() == list(net.function_counts().values())
    assert counted.by_level.tolist() == np.diff(net.level_ptr).tolist()
    assert (counted.n_gates, counted.depth) == (net.n_gates, net.depth)
    assert counted.n_outputs == net.n_outputs


def test_the_oracle_sees_one_wrong_gate(random_network, evaluate):
    network = random_network(5, dense=(30,))
    net = unroll(network)
    x = sim.random_features(net.encoder, 200, np.random.default_rng(0))
    expected = [evaluate(network, sample)[0] for sample in x[:60]]
    gate = net.n_gates - 1
    tt = net.tt.copy()
    tt[gate] ^= 15
    assert sim.scores(net, x[:60]).tolist() == expected
    assert sim.scores(net.with_(tt=tt), x[:60]).tolist() != expected


def test_sites_by_hand():
    thermometer = Thermometer((1, 3, 4), [[10]], 255)
    leaves = [
        [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]],
        [[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]],
    ]
    conv = LogicConv((1, 3, 4), leaves, ([[8, 14], [6, 9]], [[7], [1]]), (2, 2))
    pool = OrPool((2, 2, 3), (2, 1), (2, 1))
    dense = LogicDense((2, 1, 3), [[0, 5], [4, 1]], [8, 14])
    net = unroll(
        chain(
            [
                ("t", thermometer),
                ("c", conv),
                ("p", pool),
                ("d", dense),
                ("s", GroupSum((2,), [0, 1, 2])),
            ]
        )
    )
    # tree level 0: [gate][kernel][row][column]: gate 1, kernel 0, row 1, column 2
    gate = ((1 * 2 + 0) * 2 + 1) * 3 + 2
    assert net.site_of(gate) == Site("c", 0, 1, 2, 1)
    # its leaves are (1, 0) and (1, 1) from (1, 2): inputs (2, 2) and (2, 3) of a 3 x 4 map
    assert (net.in0[gate], net.in1[gate], net.tt[gate]) == (1 + 2 * 4 + 2, 1 + 2 * 4 + 3, 14)
    # tree level 1 starts after 2 gates x 2 kernels x 6 positions
    assert net.site_of(24 + 6 + 3) == Site("c", 1, 1, 0, 2)
    assert net.tt[24 + 6 + 3] == 1
    # pool: 2 channels x 1 x 3, each the OR of rows 0 and 1
    assert net.site_of(36 + 4) == Site("p", 1, 0, 1, 0)
    assert (net.in0[40], net.in1[40]) == (13 + 24 + 6 + 1, 13 + 24 + 6 + 4)
    assert net.site_of(42) == Site("d", 0, -1, -1, 0)
    assert str(net.site_of(33)) == "c, kernel 1, position (1, 0), gate 2"
    assert (net.in0[43], net.in1[43]) == (13 + 36 + 4, 13 + 36 + 1)
    assert net.level_ptr.tolist() == [0, 24, 36, 42, 44]
    assert net.outputs.tolist() == [2 * (13 + 42), 2 * (13 + 43)]


def test_thermometer_bits_are_channel_times_thresholds_plus_threshold():
    encoder = encoder_of(Thermometer((2, 1, 3), [[1, 5], [2, 7]], 9))
    assert encoder.feature.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert encoder.threshold.tolist() == [1, 1, 1, 5, 5, 5, 2, 2, 2, 7, 7, 7]
    assert encoder.shape == (2, 1, 3)
    tabular = encoder_of(Thermometer((2,), [[1, 5], [2, 7]], 9))
    assert tabular.feature.tolist() == [0, 0, 1, 1]
    assert tabular.threshold.tolist() == [1, 5, 2, 7]


def test_padding_is_constant_zero(random_network):
    net = unroll(random_network(3, padding=(2, 2), pool=None))
    assert (net.in0 == 0).any()
    assert (net.in1 == 0).any()


def test_class_names_travel(random_network):
    assert unroll(random_network(3, class_names=("a", "b", "c"))).names.classes == ("a", "b", "c")
