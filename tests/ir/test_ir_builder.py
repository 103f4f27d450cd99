import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir import simulate as sim
from gate2hw.ir.builder import NetlistBuilder, from_columns, relevel
from gate2hw.ir.netlist import Head, SiteLayer, Sites
from gate2hw.ir.verify import verify_netlist


def outputs_of(net, n_words=2):
    words = np.random.default_rng(7).integers(0, 2**64, (net.n_inputs, n_words), dtype=np.uint64)
    return sim.simulate(net, words).tolist()


def test_gates_are_put_into_levels():
    builder = NetlistBuilder(2)
    late = builder.gate(6, builder.gate(8, 1, 2), 1)
    early = builder.gate(14, 1, 2)
    net = builder.build([2 * late, 2 * early + 1], head=Head([0, 2], [1, 1], [3]), digest="d")
    assert net.tt.tolist() == [8, 14, 6]
    assert net.level_ptr.tolist() == [0, 2, 3]
    assert net.in0.tolist() == [1, 1, 3]
    assert net.outputs.tolist() == [2 * 5, 2 * 4 + 1]
    assert net.digest == "d"


def test_builder_refuses_what_is_not_below():
    builder = NetlistBuilder(2)
    with pytest.raises(IRError, match="node 3: input 1 reads node 3, not below it"):
        builder.gate(8, 1, 3)
    with pytest.raises(IRError, match="input 0 reads node -1"):
        builder.gate(8, -1, 1)
    with pytest.raises(IRError, match="truth table 16"):
        builder.gate(16, 1, 2)
    with pytest.raises(IRError, match=r"outputs\[0\] is 6"):
        builder.build([6])


def columns(seed, n_gates=60, n_inputs=6):
    rng = np.random.default_rng(seed)
    limit = 1 + n_inputs + np.arange(n_gates)
    tt = rng.integers(0, 16, n_gates).astype(np.uint8)
    in0, in1 = (rng.integers(0, limit).astype(np.int32) for _ in range(2))
    outputs = rng.integers(0, 2 * (1 + n_inputs + n_gates), 20)
    return n_inputs, tt, in0, in1, outputs


def levels_by_hand(n_inputs, in0, in1):
    level = [0] * (1 + n_inputs)
    for a, b in zip(in0.tolist(), in1.tolist(), strict=True):
        level.append(1 + max(level[a], level[b]))
    return level


@pytest.mark.parametrize("seed", range(10))
def test_from_columns_keeps_function_order_and_origin(seed):
    n_inputs, tt, in0, in1, outputs = columns(seed)
    sites = Sites((SiteLayer("c", 1, len(tt)),))
    origin = np.arange(len(tt), dtype=np.int32)
    net = from_columns(n_inputs, tt, in0, in1, outputs, origin=origin, sites=sites)
    level = np.array(levels_by_hand(n_inputs, in0, in1)[1 + n_inputs :])
    order = np.argsort(level, kind="stable")
    assert net.tt.tolist() == tt[order].tolist()
    assert net.origin.tolist() == order.tolist()
    assert np.diff(net.level_ptr).tolist() == np.bincount(level)[1:].tolist()
    value = [0, 0b01, 0b11, 0b10, 0, 0b01, 0b10]
    for f, a, b in zip(tt.tolist(), in0.tolist(), in1.tolist(), strict=True):
        bits = [f >> (2 * (value[a] >> s & 1) + (value[b] >> s & 1)) & 1 for s in range(2)]
        value.append(bits[0] + 2 * bits[1])
    samples = np.array([[v >> s & 1 for v in value[1:7]] for s in range(2)], bool)
    out = sim.unpack(sim.simulate(net, sim.pack(samples)), 2)
    for s in range(2):
        assert out[s].tolist() == [
            bool((value[lit >> 1] >> s & 1) ^ (lit & 1)) for lit in outputs.tolist()
        ]


@pytest.mark.parametrize("n_gates", [1, 40, 3000])
def test_a_chain_is_walked_gate_by_gate(n_gates):
    nodes = np.arange(2, 2 + n_gates, dtype=np.int32)
    net = from_columns(
        1, np.full(n_gates, 3, np.uint8), nodes - 1, nodes - 1, np.array([2 * (1 + n_gates)])
    )
    assert net.depth == n_gates
    words = np.array([[0b1100]], np.uint64)
    out = int(sim.simulate(net, words)[0, 0])
    assert out == (0b1100 if n_gates % 2 == 0 else 2**64 - 1 - 0b1100)


def test_blocks_found_and_blocks_given_agree():
    n_inputs, tt, in0, in1, outputs = columns(3, n_gates=500)
    net = from_columns(n_inputs, tt, in0, in1, outputs)
    again = from_columns(n_inputs, net.tt, net.in0, net.in1, net.outputs, block_ptr=net.level_ptr)
    assert again == net == from_columns(n_inputs, net.tt, net.in0, net.in1, net.outputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in0": [1, 4]}, "node 4 reads node 4, which is not below it"),
        ({"in1": [2, -1]}, r"in1\[1\] is -1, allowed are 0\.\.4"),
        ({"in1": [5, 2]}, r"in1\[0\] is 5"),
        ({"outputs": [-2]}, r"outputs\[0\] is -2"),
        ({"outputs": [10]}, r"outputs\[0\] is 10, allowed are 0\.\.9"),
        ({"in0": [1]}, "2 truth tables for 1 and 2 operands"),
        ({"n_inputs": -1}, "-1 inputs"),
        ({"block_ptr": np.array([0, 1])}, "block_ptr must rise from 0 to the number of gates, 2"),
        ({"block_ptr": np.array([0, 2, 1, 2])}, "block_ptr must rise"),
        ({"block_ptr": np.array([0, 2])}, r"gates 0\.\.1 read gates that are not below them"),
        ({"origin": np.array([0])}, "column origin has 1 entries"),
    ],
)
def test_from_columns_refuses(changes, message):
    values = {
        "n_inputs": 2,
        "tt": np.array([8, 6], np.uint8),
        "in0": np.array([1, 3], np.int32),
        "in1": np.array([2, 1], np.int32),
        "outputs": np.array([8]),
    }
    from_columns(**values)
    as_arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in changes.items()}
    with pytest.raises(IRError, match=message):
        from_columns(**(values | as_arrays))


@pytest.mark.parametrize("seed", range(5))
def test_relevel_moves_gates_down(seed, random_netlist):
    net = random_netlist(seed, n_gates=80)
    rng = np.random.default_rng(seed)
    in0 = np.where(rng.random(net.n_gates) < 0.4, rng.integers(0, 6, net.n_gates), net.in0)
    loose = net.with_(in0=in0.astype(np.int32))
    moved = relevel(net, in0=loose.in0)
    verify_netlist(moved)
    assert moved.depth <= net.depth
    assert outputs_of(moved) == outputs_of(loose)
    assert sorted(moved.origin.tolist()) == sorted(net.origin.tolist())
    assert (moved.digest, moved.head, moved.sites) == (net.digest, net.head, net.sites)
    assert relevel(net) == net


def test_relevel_refuses(random_netlist):
    net = random_netlist(1)
    with pytest.raises(TypeError, match="unknown columns"):
        relevel(net, truth_tables=net.tt)
    with pytest.raises(IRError, match="not below them"):
        relevel(net, in0=np.full(net.n_gates, net.n_nodes - 1, np.int32))
