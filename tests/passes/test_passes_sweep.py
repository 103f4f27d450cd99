"""sweep and the prover of pairs: exactly the equal signals merge, and nothing unproved does."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import encode, node_words, pack, scores_of_bits, simulate, unpack
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes import sweep as sweep_module
from gate2hw.passes.local.fold import is_normal
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import Pipeline
from gate2hw.passes.proof.equivalence import prove_equal
from gate2hw.passes.proof.sat_pairs import diverse_words, prove_pairs
from gate2hw.passes.sweep import candidates, sweep

N_INPUTS = 8
CODE = Encoder(np.arange(8) // 3, 20 + 60 * (np.arange(8) % 3), (3,), 255)


def legal_bits():
    values = np.array([10, 50, 100, 200])
    grid = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    return np.unique(encode(CODE, grid), axis=0)


def some_net(oracle, seed, *, encoder=True, n_classes=3):
    net = oracle.random_net(
        seed, n_inputs=N_INPUTS, n_gates=120, n_outputs=25, dense=True, n_classes=n_classes
    )
    return net.with_(encoder=CODE if encoder else None)


def functions(net, bits):
    """One canonical number a node: its values on `bits` or their complement."""
    value = unpack(node_words(net, pack(bits)), len(bits)).T
    value = value ^ value[:, :1]
    return [row.tobytes() for row in value]


@pytest.mark.parametrize("care", ["thermometer", "none"])
@pytest.mark.parametrize("seed", range(5))
def test_all_equal_signals_merge(oracle, care, seed, tmp_path):
    """Afterwards no two signals are equal or complement, by brute force, and scores stay."""
    net = some_net(oracle, seed)
    got = sweep(net, care=care)
    verify_netlist(got)
    assert is_normal(got)
    bits = legal_bits() if care == "thermometer" else oracle.all_bits(N_INPUTS)
    np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    gates = functions(got, bits)[got.first_gate :]
    assert len(set(gates)) == len(gates)
    assert not set(gates) & set(functions(got, bits)[: got.first_gate])
    assert got.n_gates <= normalise(net, care=care).n_gates
    assert got.depth <= net.depth
    assert sweep(got, care=care) is got
    proof = prove_equal(net, got, work_dir=tmp_path, timeout_s=60, care=care)
    assert proof.result == "equivalent"
    assert (got.encoder, got.head) == (net.encoder, net.head)


@pytest.mark.parametrize("seed", range(3))
def test_plain_circuits_and_parts(oracle, seed, monkeypatch):
    net = some_net(oracle, seed, encoder=False, n_classes=0)
    whole = sweep(net)
    monkeypatch.setattr(sweep_module, "PART_GATES", 30)
    parted = sweep(net)
    words = pack(oracle.all_bits(N_INPUTS))
    for got in (whole, parted):
        np.testing.assert_array_equal(simulate(got, words), simulate(net, words))
        assert got.n_outputs == net.n_outputs
    assert whole.n_gates <= parted.n_gates <= normalise(net).n_gates


def test_large_nets_and_empty_ones_stay(oracle, monkeypatch):
    net = some_net(oracle, 0)
    monkeypatch.setattr(sweep_module, "MAX_GATES", net.n_gates - 1)
    assert sweep(net) is net
    empty = NetlistBuilder(2).build([0, 3])
    assert sweep(empty) is empty


def test_pairs_are_proved_one_by_one():
    """Equal everywhere, equal on legal codes only, complement, different on one input in 256."""
    built = NetlistBuilder(N_INPUTS)
    conjunction = 1
    for node in range(2, 9):
        conjunction = built.gate(8, conjunction, node)
    a = built.gate(14, 1, 2)
    left, right = built.gate(6, 1, 4), built.gate(9, 1, 4)
    rare = built.gate(14, 7, conjunction)
    almost = built.gate(6, 7, conjunction)
    net = built.build([2 * n for n in (conjunction, a, left, right, rare, almost)], encoder=CODE)
    conjunction, a, left, right, rare, almost = net.outputs.tolist()
    first = np.array([a, left, left, rare, almost, conjunction])
    second = np.array([2, right, right ^ 1, 14, 14, 0])
    proved = prove_pairs(net, first, second, care="thermometer")
    assert proved.tolist() == [True, False, True, True, False, False]
    proved = prove_pairs(net, first, second, care="none")
    assert proved.tolist() == [False, False, True, True, False, False]
    assert len(prove_pairs(net, first[:0], second[:0], care="none")) == 0


def test_wrong_merges_are_caught(oracle, monkeypatch, tmp_path):
    """A prover that believes everything, given candidates that hardly agree, does not get past."""
    net = normalise(some_net(oracle, 1, n_classes=0))

    def close_ones(net, *, care, seed=0):
        lit = 2 * np.arange(net.n_nodes)
        lit[-5:] = 2 * np.arange(net.first_gate, net.first_gate + 5)
        return lit

    monkeypatch.setattr(sweep_module, "candidates", close_ones)
    assert (
        sweep(net) is net
        or prove_equal(net, sweep(net), work_dir=tmp_path, timeout_s=60, care="thermometer").result
        == "equivalent"
    )
    monkeypatch.setattr(sweep_module, "prove_pairs", lambda net, a, b, care: np.ones(len(a), bool))
    wrong = sweep(net)
    assert wrong.n_gates < net.n_gates
    proof = prove_equal(net, wrong, work_dir=tmp_path, timeout_s=60, care="thermometer")
    assert proof.result == "different"
    with pytest.raises(CheckFailedError, match="sweep"):
        PassManager(Pipeline((sweep,))).run(net)


@pytest.mark.parametrize("care", ["thermometer", "none"])
def test_candidates_and_vectors(oracle, care):
    net = normalise(some_net(oracle, 2), care="none")
    words = diverse_words(net, 8, np.random.default_rng(0), care=care)
    bits = unpack(words, 512)
    is_legal = (~bits[:, 1:] | bits[:, :-1])[:, [0, 1, 3, 4, 6]].all()
    assert is_legal == (care == "thermometer")
    every = legal_bits() if care == "thermometer" else oracle.all_bits(N_INPUTS)
    function = functions(net, every)
    lit = candidates(net, care=care)
    np.testing.assert_array_equal(lit, candidates(net, care=care))
    assert (lit >> 1 <= np.arange(net.n_nodes)).all()
    for node in range(net.first_gate, net.n_nodes):
        assert lit[node] >> 1 == function.index(function[node])
