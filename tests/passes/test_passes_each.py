"""Each pass against its networkx oracle, on random nets and on all two-gate chains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.ir.builder import NetlistBuilder, from_columns
from gate2hw.ir.netlist import Head, Names
from gate2hw.ir.simulate import node_words, pack, scores_of_bits, simulate, unpack
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local import strash as strash_module
from gate2hw.passes.local.dce import dce, dead_inputs
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.rewrite import substitute
from gate2hw.passes.local.strash import strash

PASSES = {"fold": fold, "strash": strash, "dce": dce, "head_constants": head_constants}
SEEDS = range(25)


def test_oracle_knows_truth(oracle):
    """The judge of the passes is itself right: gate by gate against the reference simulator."""
    net = oracle.random_net(3)
    bits = oracle.all_bits(5)
    expected = scores_of_bits(net, bits)
    for row, scores in zip(bits.astype(int), expected, strict=True):
        assert oracle.value_of(net, tuple(row))[1] == scores.tolist()


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_like_oracle(oracle, name, seed):
    shape = {"n_gates": 1 + 7 * seed, "n_classes": seed % 4, "encoder": seed % 2 == 0}
    net = oracle.random_net(seed, **shape, window=None if seed % 3 else 6)
    inputs = [net]
    inputs += [fold(net)] if name in ("strash", "dce") else []
    inputs += [dce(fold(net))] if name == "head_constants" else []
    for source in inputs:
        got = PASSES[name](source)
        if name == "head_constants" and not net.n_classes:
            assert got is source
            continue
        expected = getattr(oracle, f"oracle_{name}")(source)
        verify_netlist(got)
        assert oracle.structure(got) == oracle.structure(expected)
        for key in ("group_ptr", "weight", "bias"):
            np.testing.assert_array_equal(getattr(got.head, key), getattr(expected.head, key))
        assert (got.digest, got.sites, got.encoder) == (net.digest, net.sites, net.encoder)


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_scores_and_same_object(oracle, name, seed):
    """Scores stay on every input; what is returned twice is the same object."""
    net = oracle.random_net(seed, n_gates=60, n_classes=1 + seed % 3)
    got = PASSES[name](net)
    bits = oracle.all_bits(5)
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    assert PASSES[name](got) is got
    if got.content_digest() == net.content_digest():
        assert got is net


@pytest.mark.parametrize("name", PASSES)
def test_plain_circuit_and_empty(oracle, name):
    net = oracle.random_net(5, n_classes=0)
    got = PASSES[name](net)
    words = pack(oracle.all_bits(5))
    np.testing.assert_array_equal(simulate(net, words), simulate(got, words))
    empty = NetlistBuilder(2).build([0, 1, 2, 5])
    assert PASSES[name](empty) is empty


def two_gate_chains():
    """All f(a, b) then g(c, d) with g reading f, on shared inputs and the constant."""
    first_gate, columns, outputs = 4, [], []
    for a, b in itertools.product(range(3), repeat=2):
        for f in range(16):
            inner = first_gate + len(columns)
            columns.append((f, a, b))
            others = [(inner, d) for d in range(4)] + [(c, inner) for c in range(4)]
            for c, d in [*others, (inner, inner)]:
                for g in range(16):
                    outputs.append(2 * (first_gate + len(columns)) + (len(columns) & 1))
                    columns.append((g, c, d))
    tt, in0, in1 = np.array(columns).T
    return from_columns(
        3, tt.astype(np.uint8), in0.astype(np.int32), in1.astype(np.int32), np.array(outputs)
    )


def test_all_two_gate_chains(oracle):
    net = two_gate_chains()
    assert net.n_outputs == 9 * 16 * 9 * 16
    words = pack(oracle.all_bits(3))
    expected = unpack(simulate(net, words), 8)
    got = fold(net)
    assert is_normal(got)
    assert oracle.structure(got) == oracle.structure(oracle.oracle_fold(net))
    np.testing.assert_array_equal(unpack(simulate(got, words), 8), expected)
    merged = strash(got)
    assert oracle.structure(merged) == oracle.structure(oracle.oracle_strash(got))
    np.testing.assert_array_equal(unpack(simulate(merged, words), 8), expected)
    # 5 normal functions of 3 pairs of inputs are all that one level can hold
    assert merged.level_ptr[1] <= 15


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_form(oracle, seed):
    net = oracle.random_net(seed, n_gates=100)
    assert not is_normal(net)
    got = fold(net)
    assert is_normal(got)
    assert is_normal(strash(got))
    assert is_normal(dce(strash(got)))
    assert (got.in0 < got.in1).all()
    assert (got.in0 > 0).all()
    assert not (got.tt & 1).any()


def test_fold_orders_inputs_only():
    """A net that is normal but for the order of one gate's inputs is not left as it is."""
    net = parse_netlist("netlist inputs=2\n3 = NOT_A_AND_B 2 1\noutput 3\n")
    got = fold(net)
    assert (got.tt[0], got.in0[0], got.in1[0]) == (4, 1, 2)
    assert fold(got) is got


def test_identities():
    net = parse_netlist(
        """netlist inputs=2
        3 = NOT_A 1 2      # inverter, absorbed above and into outputs
        4 = AND 1 3        # x & ~x
        5 = XOR 1 1        # x ^ x
        6 = OR 3 1         # ~x | x
        7 = XNOR 3 2       # = x ^ y
        8 = NAND 0 2       # 1
        output 4
        output 5
        output 6
        output 7
        output 8
        output 3
        """
    )
    got = fold(net)
    assert got.n_gates == 1
    assert got.tt[0] == 6
    assert got.outputs.tolist() == [0, 0, 1, 6, 1, 3]


def test_complement_equal_gates_coincide():
    net = parse_netlist(
        """netlist inputs=2
        3 = AND 1 2
        4 = NAND 2 1
        output 3
        output 4
        """
    )
    got = strash(fold(net))
    assert got.n_gates == 1
    assert got.outputs.tolist() == [6, 7]


def test_strash_beyond_one_key(oracle, monkeypatch):
    """Nets too large for 64-bit keys are sorted by three columns, with the same result."""
    nets = [fold(oracle.random_net(seed, n_gates=200)) for seed in range(5)]
    expected = [strash(net).content_digest() for net in nets]
    monkeypatch.setattr(strash_module, "KEY_NODES", 0)
    assert [strash(net).content_digest() for net in nets] == expected


def test_dead_inputs_keep_numbers():
    net = parse_netlist("netlist inputs=4\n5 = AND 1 2\n6 = OR 3 5\noutput 5\n")
    got = dce(net)
    assert got.n_gates == 1
    assert got.n_inputs == 4
    assert dead_inputs(got).tolist() == [2, 3]
    assert dead_inputs(net).tolist() == [2, 3]


def test_head_constants_respects_weights():
    net = NetlistBuilder(2).build(
        [1, 2, 0, 1, 1, 4],
        head=Head([0, 3, 5, 6], [3, 1, 7, -2, 5, 1], [10, 0, -1]),
        names=Names(outputs=tuple("abcdef"), classes=("p", "q", "r")),
    )
    got = head_constants(net)
    assert got.outputs.tolist() == [2, 4]
    assert got.head.bias.tolist() == [13, 3, -1]
    assert got.head.group_ptr.tolist() == [0, 1, 1, 2]
    assert got.head.weight.tolist() == [1, 1]
    assert got.names.outputs == ("b", "f")


@pytest.mark.parametrize("seed", range(8))
def test_substitute(oracle, seed):
    """Replacing nodes by equal or complement ones, found by exhaustive simulation."""
    net = oracle.random_net(seed, n_gates=120, n_classes=2)
    mask = np.uint64(2**32 - 1)
    value = (node_words(net, pack(oracle.all_bits(5)))[:, 0] & mask).tolist()
    lowest: dict[int, int] = {}
    lit = []
    for node, word in enumerate(value):
        lit.append(lowest.setdefault(word, 2 * node))
        lowest.setdefault(word ^ int(mask), 2 * node + 1)
    got = substitute(net, np.array(lit))
    verify_netlist(got)
    bits = oracle.all_bits(5)
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    assert got.n_gates == len({v >> 1 for v in lit if v >> 1 >= net.first_gate})
    ordered = substitute(net, 2 * np.arange(net.n_nodes))
    assert substitute(ordered, 2 * np.arange(net.n_nodes)) is ordered


def test_substitute_follows_chains():
    net = parse_netlist(
        """netlist inputs=2
        3 = NOT_A 1 1
        4 = NOT_A 3 3
        5 = AND 4 2
        output 5
        """
    )
    got = substitute(net, np.array([0, 2, 4, 3, 7, 10]))
    assert (got.n_gates, got.tt[0], got.in0[0], got.in1[0]) == (1, 8, 1, 2)
    assert got.depth == 1
