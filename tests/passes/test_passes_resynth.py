"""resynth: equal on legal codes, never worse, and a wrong answer of the tool is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import encode, pack, scores_of_bits, simulate
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes import resynth as resynth_module
from gate2hw.passes.local.fold import is_normal
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import Pipeline
from gate2hw.passes.proof.equivalence import prove_equal
from gate2hw.passes.resynth import EFFORTS, resynth

N_INPUTS = 8
CODE = Encoder(np.arange(8) // 3, 20 + 60 * (np.arange(8) % 3), (3,), 255)


def legal_bits():
    values = np.array([10, 50, 100, 200])
    grid = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    return np.unique(encode(CODE, grid), axis=0)


def some_net(oracle, seed, **shape):
    options = {"n_inputs": N_INPUTS, "n_gates": 100, "n_outputs": 20, "dense": True, **shape}
    return oracle.random_net(seed, **options).with_(encoder=CODE)


@pytest.mark.parametrize("care", ["thermometer", "none"])
@pytest.mark.parametrize("effort", EFFORTS)
def test_equal_and_better(oracle, care, effort, tmp_path):
    net = some_net(oracle, effort)
    got = resynth(net, care=care, effort=effort)
    verify_netlist(got)
    assert is_normal(got)
    start = normalise(net, care=care)
    is_start = got.content_digest() == start.content_digest()
    assert is_start or (got.n_gates, got.depth) < (start.n_gates, start.depth)
    assert not is_start or effort == 1
    bits = legal_bits() if care == "thermometer" else oracle.all_bits(N_INPUTS)
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    proof = prove_equal(net, got, work_dir=tmp_path, timeout_s=60, care=care)
    assert proof.result == "equivalent"
    assert (got.origin >= 0).all()
    for key in ("encoder", "head", "sites", "names", "digest", "n_inputs", "n_outputs"):
        assert getattr(got, key) == getattr(net, key)
    again = resynth(got, care=care, effort=effort)
    assert again is got or (again.n_gates, again.depth) < (got.n_gates, got.depth)


def test_three_gates_of_an_exclusive_or_become_one():
    net = parse_netlist(
        """netlist inputs=2
        3 = A_AND_NOT_B 1 2
        4 = NOT_A_AND_B 1 2
        5 = OR 3 4
        output 5
        """
    )
    got = resynth(net, effort=1)
    assert (got.n_gates, int(got.tt[0])) == (1, 6)
    assert resynth(got) is got


def test_care_set_reaches_below_a_gate():
    """t5 | (t9 & x) is t5, as t9 implies t5; without the care set it is not."""
    net = parse_netlist(
        """netlist inputs=4
        encoder shape=(3) max_value=10
        input 1 feature=0 threshold=5
        input 2 feature=0 threshold=9
        input 3 feature=1 threshold=5
        input 4 feature=2 threshold=5
        5 = AND 2 3
        6 = OR 1 5
        7 = XOR 4 6
        output 7
        """
    )
    assert resynth(net).n_gates == 1
    assert resynth(net, care="none") is net
    assert resynth(net.with_(encoder=None)).n_gates == 3


def test_parts_of_a_network(random_network, monkeypatch, tmp_path):
    """A trained-like network in many small parts; the same result twice."""
    net = normalise(unroll(random_network(3, kernels=6, dense=(60, 40))))
    small = replace(EFFORTS[2], part_gates=-(-net.n_gates // 3), orders=("inputs",))
    monkeypatch.setitem(EFFORTS, 2, small)
    got = resynth(net)
    assert got.n_gates < net.n_gates
    assert got.content_digest() == resynth(net).content_digest()
    proof = prove_equal(net, got, work_dir=tmp_path, timeout_s=60, care="thermometer")
    assert proof.result == "equivalent"


def test_plain_circuit(oracle):
    net = some_net(oracle, 9, n_classes=0).with_(encoder=None)
    got = resynth(net)
    words = pack(oracle.all_bits(N_INPUTS))
    np.testing.assert_array_equal(simulate(got, words), simulate(net, words))
    assert got.n_outputs == net.n_outputs
    empty = NetlistBuilder(2).build([0, 1, 2, 5])
    assert resynth(empty) is empty


def test_limits(oracle, monkeypatch):
    net = some_net(oracle, 1)
    monkeypatch.setitem(EFFORTS, 2, replace(EFFORTS[2], max_gates=net.n_gates - 1))
    assert resynth(net, effort=2) is net
    with pytest.raises(InputError, match="effort 4 is unknown"):
        resynth(net, effort=4)
    with pytest.raises(InputError, match="care set"):
        resynth(net, care="all")


def test_wrong_answer_is_caught(oracle, monkeypatch, tmp_path):
    """Planted: the tool's circuit comes back with one output stuck at 0."""
    net = some_net(oracle, 5, n_gates=40)
    genuine = resynth_module.to_netlist

    def faulty(luts):
        net = genuine(luts)
        return net.with_(outputs=np.concatenate([[0], net.outputs[1:]]))

    monkeypatch.setattr(resynth_module, "to_netlist", faulty)
    wrong = resynth(net)
    proof = prove_equal(net, wrong, work_dir=tmp_path, timeout_s=60, care="thermometer")
    assert proof.result == "different"
    with pytest.raises(CheckFailedError, match="resynth"):
        PassManager(Pipeline((resynth,))).run(net)


def chain(n_gates, n_inputs=10):
    """`n_gates` ANDs, each on the one below and an input of its own."""
    builder = NetlistBuilder(n_inputs)
    node = 1
    for i in range(2, n_gates + 2):
        node = builder.gate(8, node, i)
    return builder.build([2 * node])


def flat(n_gates, depth):
    """ANDs on inputs 1 and others that an XOR chain of `depth` gates reads."""
    builder = NetlistBuilder(10)
    nodes = [builder.gate(8, 1, i) for i in range(2, 2 + n_gates - depth + 1)]
    node = nodes[0]
    for other in range(2, depth + 1):
        node = builder.gate(6, node, other)
    return builder.build([2 * n for n in (node, *nodes[1:])])


@pytest.mark.parametrize(
    ("options", "n_gates", "depth"),
    [
        ({}, 7, 5),
        ({"max_depth": 3}, 8, 4),
        ({"max_depth": 4}, 8, 4),
        ({"max_depth": 5}, 7, 5),
        ({"max_depth": 6}, 6, 6),
    ],
)
def test_levels_are_bounded(monkeypatch, options, n_gates, depth):
    """The fewest gates within the bound, whatever shape the tool comes up with."""
    net = flat(9, 4)
    shapes = [chain(6), flat(7, 5), flat(8, 4), flat(8, 8)]
    monkeypatch.setattr(resynth_module, "_variants", lambda *_: shapes)
    monkeypatch.setattr(resynth_module, "restore_origins", lambda before, after: after)
    monkeypatch.setattr(resynth_module, "map_parts", lambda net, change, **_: change(net))
    got = resynth(net, care="none", effort=1, **options)
    assert (net.n_gates, net.depth) == (9, 4)
    assert (got.n_gates, got.depth) == (n_gates, depth)


def test_parts_that_grow_together_are_held_back(monkeypatch):
    """Each part within its bound, the whole beyond its own: done again without growth."""
    asked = []

    def growing(net, change, **_):
        asked.append(change.keywords["extra"])
        return chain(8) if asked[-1] else flat(8, 4)

    monkeypatch.setattr(resynth_module, "map_parts", growing)
    monkeypatch.setattr(resynth_module, "restore_origins", lambda before, after: after)
    got = resynth(flat(9, 4), care="none", effort=1, max_depth=6)
    assert (got.n_gates, got.depth, asked) == (8, 4, [2, 0])
