"""Normal form after a tool, and the prefix of the care set that drops away."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.care import legalised
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import pack, scores_of_bits, simulate, unpack
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.normalise import better, drop_prefix, normalise
from gate2hw.passes.local.strash import strash

# inputs 1, 2 are bits of one feature, the second the rarer
LEGAL = [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize("tt", range(0, 16, 2))
def test_gates_on_two_bits(tt):
    code = Encoder(np.zeros(2), np.array([5, 9]), (1,), 10)
    built = NetlistBuilder(2)
    net = fold(built.build([2 * built.gate(tt, 1, 2)], encoder=code))
    got = drop_prefix(net)
    bits = np.array(LEGAL, bool)
    column = unpack(simulate(net, pack(bits)), 3)[:, 0]
    np.testing.assert_array_equal(unpack(simulate(got, pack(bits)), 3)[:, 0], column)
    wires = [np.zeros(3, bool), bits[:, 0], bits[:, 1]]
    assert got.n_gates == (not any((column == wire).all() for wire in wires))
    if got.n_gates == net.n_gates:
        assert got is net


def test_other_inputs_stay():
    code = Encoder(np.array([0, 1]), np.array([5, 9]), (2,), 10)
    for net_code, tt in itertools.product((code, None), (6, 8, 14)):
        built = NetlistBuilder(2)
        net = built.build([2 * built.gate(tt, 1, 2)], encoder=net_code)
        assert drop_prefix(net) is net
        assert normalise(net) is net


@pytest.mark.parametrize("seed", range(6))
def test_prefix_drops_away(oracle, seed):
    """A legalised net, read as one on codes, becomes the net that went in."""
    net = normalise(oracle.random_net(seed, n_inputs=8, n_gates=60, encoder=True, dense=True))
    prefixed = legalised(net)
    assert prefixed.n_gates > net.n_gates
    got = normalise(prefixed.with_(encoder=net.encoder))
    assert (got.n_gates, got.depth) == (net.n_gates, net.depth)
    kept = normalise(prefixed.with_(encoder=net.encoder), care="none")
    assert kept.n_gates > got.n_gates


@pytest.mark.parametrize("seed", range(6))
def test_fixed_point(oracle, seed):
    net = oracle.random_net(seed, n_gates=100)
    got = normalise(net)
    assert is_normal(got)
    assert strash(got) is got
    assert dce(got) is got
    assert normalise(got) is got
    bits = oracle.all_bits(5)
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    with pytest.raises(InputError):
        normalise(net, care="all")


def test_better_is_gates_then_depth():
    built = NetlistBuilder(3)
    inner = built.gate(8, 1, 2)
    chain = built.build([2 * inner, 2 * built.gate(8, inner, 3)])
    built = NetlistBuilder(3)
    flat = built.build([2 * built.gate(8, 1, 2), 2 * built.gate(8, 2, 3)])
    small = NetlistBuilder(3).build([2, 4])
    assert better(small, chain)
    assert better(flat, chain)
    assert not better(chain, flat)
    assert not better(flat, flat)
    assert not better(chain, small)
