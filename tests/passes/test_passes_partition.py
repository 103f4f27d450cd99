"""Parts of a netlist: they cover it, read only parts before them, and are put together again."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import TT_A, TT_NOT_A, TT_OR, TT_XOR
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import node_words, pack, scores_of_bits
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold
from gate2hw.passes.partition import map_parts, parts

ORDERS = ("inputs", "outputs")


def some_net(oracle, seed, **shape):
    options = {"n_inputs": 8, "n_gates": 150, "n_outputs": 30, "dense": True, **shape}
    return dce(fold(oracle.random_net(seed, **options)))


def reading_everything(net):
    """`net` with each output computed from itself and every input, though it needs only itself."""
    tt, in0, in1 = net.tt.tolist(), net.in0.tolist(), net.in1.tolist()

    def gate(table, a, b):
        tt.append(table)
        in0.append(a)
        in1.append(b)
        return net.n_nodes + len(tt) - 1 - net.n_gates

    zero = 0
    for node in range(1, net.first_gate):
        zero = gate(TT_OR, zero, gate(TT_XOR, node, node))
    outputs = []
    for lit in net.outputs.tolist():
        kept = gate(TT_NOT_A if lit & 1 else TT_A, lit >> 1, lit >> 1)
        outputs.append(2 * gate(TT_NOT_A, gate(TT_OR, kept, zero), zero) + 1)
    columns = np.array(tt, np.uint8), np.array(in0, np.int32), np.array(in1, np.int32)
    return from_columns(net.n_inputs, *columns, np.array(outputs), encoder=net.encoder)


@pytest.mark.parametrize("order_by", ORDERS)
@pytest.mark.parametrize("max_gates", [1, 7, 40, 1000])
def test_parts_cover_and_are_ordered(oracle, order_by, max_gates):
    net = some_net(oracle, max_gates)
    known = set(range(net.first_gate))
    n_gates = 0
    for part in parts(net, max_gates=max_gates, order_by=order_by):
        verify_netlist(part.net)
        assert 1 <= part.net.n_gates <= max_gates
        assert set(part.inputs.tolist()) <= known
        assert not set(part.outputs.tolist()) & known
        known |= set(part.outputs.tolist())
        n_gates += part.net.n_gates
    assert n_gates == net.n_gates
    assert set((net.outputs >> 1).tolist()) <= known


@pytest.mark.parametrize("order_by", ORDERS)
@pytest.mark.parametrize("max_gates", [1, 13, 60])
def test_map_parts(oracle, order_by, max_gates):
    """Parts that begin to read all their inputs do not make cycles, and scores stay."""
    net = some_net(oracle, 3)
    bits = oracle.all_bits(8)
    assert map_parts(net, lambda part: part, max_gates=max_gates, order_by=order_by) is net
    got = map_parts(net, reading_everything, max_gates=max_gates, order_by=order_by)
    assert got.n_gates > net.n_gates
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    assert (got.digest, got.sites, got.names) == (net.digest, net.sites, net.names)


def test_fault_in_one_part_shows(oracle):
    net = some_net(oracle, 4)
    bits = oracle.all_bits(8)
    first = []

    def flip(part):
        if first:
            return part
        first.append(part)
        return part.with_(outputs=part.outputs ^ 1)

    got = map_parts(net, flip, max_gates=20)
    assert (scores_of_bits(got, bits) != scores_of_bits(net, bits)).any()


def test_origins_go_along(oracle):
    net = some_net(oracle, 5)
    got = map_parts(net, lambda part: part.with_(digest="other"), max_gates=20)
    assert got is not net
    words = pack(oracle.all_bits(8))
    tables = []
    for side in (net, got):
        value = node_words(side, words)[side.first_gate :]
        tables.append({int(o): row.tobytes() for o, row in zip(side.origin, value, strict=True)})
    assert tables[0] == tables[1]


def test_features_stay_together(oracle):
    """Bits of one feature keep their order; signals from other parts are features of their own."""
    feature = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    code = Encoder(feature, np.array([1, 5, 9, 3, 4, 1, 2, 3]), (3,), 10)
    net = some_net(oracle, 6).with_(encoder=code)
    n_free = 0
    for part in parts(net, max_gates=15):
        for number, node in enumerate(part.inputs.tolist()):
            mine = part.net.encoder.feature[number]
            if node < net.first_gate:
                assert mine == feature[node - 1]
                assert part.net.encoder.threshold[number] == code.threshold[node - 1]
            else:
                n_free += 1
                assert (part.net.encoder.feature == mine).sum() == 1
    assert n_free


def test_empty(oracle):
    net = from_columns(
        2, np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros(0, np.int32), np.array([3])
    )
    assert list(parts(net, max_gates=5)) == []
    assert map_parts(net, reading_everything, max_gates=5) is net
