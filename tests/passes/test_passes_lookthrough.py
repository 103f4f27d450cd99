"""lookthrough: every identity of up to three gates from tables, random nets against the oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.ir.builder import NetlistBuilder, from_columns
from gate2hw.ir.simulate import pack, scores_of_bits, simulate, unpack
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local import window as window_module
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.lookthrough import lookthrough
from gate2hw.passes.local.strash import strash
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import Pipeline

X, Y, Z = 1, 2, 3
TTS = range(16)


def net_of(gates):
    """A plain circuit on three inputs: one output for every last gate of a list of gates."""
    columns, outputs = [], []
    for cone in gates:
        start = 4 + len(columns)
        for tt, a, b in cone:
            columns.append((tt, a if a >= 0 else start - 1 - a, b if b >= 0 else start - 1 - b))
        outputs.append(2 * (3 + len(columns)))
    tt, in0, in1 = np.array(columns, np.int64).T
    return from_columns(
        3, tt.astype(np.uint8), in0.astype(np.int32), in1.astype(np.int32), np.array(outputs)
    )


def tables(net, oracle):
    """(O,) the 8-bit truth table of each output."""
    bits = unpack(simulate(net, pack(oracle.all_bits(3))), 8)
    return (bits.astype(int) << np.arange(8)[:, None]).sum(axis=0)


def first(n):
    """Operand: gate n of the same cone."""
    return -1 - n


@pytest.mark.parametrize("other", [X, Y, "xy", "yx"])
def test_two_variables_need_one_gate(oracle, other):
    """All f(h(x, y), .) on one of the two inputs, or on another gate of both, either way round."""
    gates = []
    for h, f in itertools.product(TTS, TTS):
        if other in (X, Y):
            gates += [[(h, X, Y), (f, first(0), other)], [(h, X, Y), (f, other, first(0))]]
        else:
            pair = (X, Y) if other == "xy" else (Y, X)
            gates += [[(h, X, Y), (k, *pair), (f, first(0), first(1))] for k in TTS]
    net = net_of(gates)
    got = lookthrough(net)
    verify_netlist(got)
    np.testing.assert_array_equal(tables(got, oracle), tables(net, oracle))
    assert got.depth <= 1
    # five functions of a pair of inputs are left in normal form
    assert strash(dce(got)).n_gates <= 5


def decided_by(u, v, table):
    """Whether two signals (8,) decide the function (8,) of three inputs."""
    return all(len(set(table[(u == a) & (v == b)].tolist())) < 2 for a in (0, 1) for b in (0, 1))


def test_shared_operand(oracle):
    """All f(h(x, y), k(x, z)): what two of the five signals decide becomes a gate on such two."""
    cases = list(itertools.product(TTS, repeat=3))
    net = net_of([(h, X, Y), (k, X, Z), (f, first(0), first(1))] for h, k, f in cases)
    got = lookthrough(net)
    verify_netlist(got)
    want = tables(net, oracle)
    np.testing.assert_array_equal(tables(got, oracle), want)
    x, y, z = (np.arange(8) >> np.array([[2], [1], [0]])) & 1
    level, counts = got.node_level, [0, 0]
    for (h, k, _), table, lit in zip(cases, want.tolist(), got.outputs.tolist(), strict=True):
        bits, node = table >> np.arange(8) & 1, lit >> 1
        a, b = h >> (2 * x + y) & 1, k >> (2 * x + z) & 1
        if any(decided_by(u, v, bits) for u, v in ((x, y), (x, z), (y, z))):
            assert level[node] <= 1
            counts[0] += 1
        elif decided_by(a, z, bits) or decided_by(y, b, bits):
            gate = node - got.first_gate
            assert min(got.in0[gate], got.in1[gate]) < got.first_gate
            counts[1] += 1
    assert min(counts) > 500


def test_examples():
    net = parse_netlist(
        """netlist inputs=3
        4 = OR 1 2
        5 = AND 1 2
        6 = AND 2 3
        7 = AND 1 4        # absorption: x
        8 = XOR 1 5        # x & ~y
        9 = AND 5 6        # x & (y & z): one operand past its gate
        10 = OR 5 6
        output 7
        output 8
        output 9
        output 10
        """
    )
    got = strash(lookthrough(net))
    assert got.outputs[0] == 2 * 1
    assert got.n_gates == 5
    gate = (got.outputs[2] >> 1) - got.first_gate
    assert min(got.in0[gate], got.in1[gate]) < got.first_gate


def test_operand_without_other_reader_goes():
    """Of two operands that could be dropped, the one that nobody else reads is."""
    text = """netlist inputs=3
        4 = AND 1 2
        5 = AND 1 3
        6 = AND 4 5
        output 6
        output {}
        """
    for kept in (4, 5):
        got = lookthrough(parse_netlist(text.format(kept)))
        assert got.n_gates == 2


def _fixed(net, passes):
    while True:
        before = net
        for transform in passes:
            net = transform(net)
        if net is before:
            return net


@pytest.mark.parametrize("seed", range(40))
def test_random(oracle, seed):
    net = oracle.random_net(
        seed,
        n_gates=20 + 3 * seed,
        n_classes=seed % 4,
        dense=seed % 2 == 0,
        window=(None, 8, 20)[seed % 3],
    )
    got = lookthrough(net)
    verify_netlist(got)
    assert is_normal(got)
    assert lookthrough(got) is got
    assert got.n_gates <= net.n_gates
    assert got.depth <= net.depth
    assert (got.digest, got.sites, got.encoder) == (net.digest, net.sites, net.encoder)
    for bits in oracle.all_bits(5).astype(int):
        assert oracle.value_of(got, tuple(bits)) == oracle.value_of(net, tuple(bits))
    usual = _fixed(net, [fold, dce, strash])
    more = _fixed(net, [fold, dce, strash, lookthrough])
    assert (more.n_gates, more.depth) <= (usual.n_gates, usual.depth)


def test_gains_on_random_nets(oracle):
    """The pass does something: random nets of real functions shrink."""
    saved = 0
    for seed in range(20):
        net = _fixed(oracle.random_net(seed, n_gates=60, dense=True, window=9), [fold, dce, strash])
        saved += net.n_gates - dce(lookthrough(net)).n_gates
    assert saved > 20


def test_empty_and_sources():
    empty = NetlistBuilder(2).build([0, 1, 2, 5])
    assert lookthrough(empty) is empty


def test_planted_fault_is_caught(oracle, monkeypatch):
    """A wrong entry in the table of completions fails the manager's vectors."""
    net = oracle.random_net(1, n_gates=80, dense=True, window=9)
    passes = Pipeline((fold, dce, strash, lookthrough))
    result = PassManager(passes).run(net)
    bits = oracle.all_bits(5)
    np.testing.assert_array_equal(scores_of_bits(result.net, bits), scores_of_bits(net, bits))
    wrong = window_module._COMPLETE.copy()
    wrong[8, 7], wrong[4, 11] = 14, 2
    monkeypatch.setattr(window_module, "_COMPLETE", wrong)
    with pytest.raises(CheckFailedError, match="lookthrough"):
        PassManager(passes).run(net)
