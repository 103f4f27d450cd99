"""Windows and cut points: proofs that hold, faults that are found, guesses that are not trusted."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import node_words
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.proof import equivalence, proof_parts
from gate2hw.passes.proof.equivalence import prove_equal
from gate2hw.passes.proof.proof_vectors import draw_words
from gate2hw.passes.proof.proof_window import Cuts, cone, joint_windows, side_by_side, signatures


@pytest.fixture
def in_windows(monkeypatch):
    """Windows of at most 150 gates and stages of 120, 64 random vectors."""
    real = proof_parts.prove_parts

    def small(a, b, **options):
        return real(a, b, **options, stage_gates=120, window_gates=150)

    monkeypatch.setattr(equivalence, "WHOLE_GATES", 0)
    monkeypatch.setattr(equivalence, "N_VECTORS", 64)
    monkeypatch.setattr(equivalence, "prove_parts", small)


def layered(oracle, seed, n_gates=400):
    """A net whose gates read what is near below, so that it has levels to cut at."""
    return oracle.random_net(
        seed, n_inputs=16, n_gates=n_gates, n_outputs=40, window=60, dense=True, encoder=True
    )


@pytest.mark.parametrize(("seed", "care"), [(0, "thermometer"), (1, "none")])
def test_netlists_are_proved_in_windows(oracle, tmp_path, in_windows, seed, care):
    net = layered(oracle, seed)
    result = run_pipeline(net, 2, care=care).net
    proof = prove_equal(net, result, work_dir=tmp_path, timeout_s=60, care=care)
    assert proof.result == "equivalent"
    assert "cut points" in proof.coverage
    assert " 0 cut points" not in proof.coverage
    n = proof.n_obligations
    assert f"{n} of {n} signals proved" in proof.coverage
    assert "random vectors" in proof.coverage


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_fault_is_found_in_any_window(oracle, tmp_path, in_windows, monkeypatch, place):
    """Random vectors are taken away: the windows alone must find it, and give an input."""
    monkeypatch.setattr(equivalence, "first_difference", lambda *_, **__: (0, None))
    monkeypatch.setattr(equivalence, "N_WORDS", 0)
    net = layered(oracle, 4)
    good = run_pipeline(net, 1).net
    tt = good.tt.copy()
    tt[int(place * good.n_gates)] ^= 1
    bad = good.with_(tt=tt)
    proof = prove_equal(net, bad, work_dir=tmp_path, timeout_s=60)
    assert (proof.result, proof.method) == ("different", "abc cec in windows, replayed")
    values = [
        oracle.value_of(side, proof.counterexample.astype(int).tolist())[1] for side in (net, bad)
    ]
    assert values[0] != values[1]


def test_what_has_no_verdict_is_counted(oracle, tmp_path, in_windows, monkeypatch):
    net = layered(oracle, 2)
    result = run_pipeline(net, 2, care="none").net
    undecided = equivalence.CecResult("undecided", None, 0.0, "")
    monkeypatch.setattr(equivalence._Comparison, "decide", lambda self, a, b: undecided)
    monkeypatch.setattr(
        equivalence._Comparison, "sort_out", lambda self, a, b: np.zeros(a.n_outputs, bool)
    )
    proof = prove_equal(net, result, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "undecided"
    assert proof.n_undecided == proof.n_obligations
    assert "0 cut points: 0 of" in proof.coverage
    assert "no verdict about" in proof.reason


def test_wrong_guesses_never_become_cut_points(oracle, tmp_path, in_windows, monkeypatch):
    """All signals look alike to a blind simulation: nothing wrong may follow from it."""
    monkeypatch.setattr(equivalence, "_GUESS_ROUNDS", 1)
    monkeypatch.setattr(equivalence, "_GUESS_WORDS", 1)
    monkeypatch.setattr(equivalence, "N_WORDS", 0)
    monkeypatch.setattr(equivalence, "first_difference", lambda *_, **__: (0, None))
    monkeypatch.setattr(
        equivalence,
        "draw_words",
        lambda net, care, n, rng: np.zeros((net.n_inputs, n), np.uint64),
    )
    net = layered(oracle, 6)
    net = net.with_(head=Head.none(net.n_outputs))
    good = run_pipeline(net, 1).net
    assert prove_equal(net, good, work_dir=tmp_path, timeout_s=60).result == "equivalent"
    tt = good.tt.copy()
    tt[good.n_gates // 3] ^= 2
    bad = good.with_(tt=tt)
    assert prove_equal(net, bad, work_dir=tmp_path, timeout_s=60).result == "different"


def test_signatures_tell_equal_and_complement(oracle):
    net = oracle.random_net(3, n_inputs=6, n_gates=120)
    words = draw_words(net, "none", 4, np.random.default_rng(0))
    mark, phase = signatures(net, [words[:, :2], words[:, 2:]])
    value = node_words(net, words)
    normal = np.where((value[:, :1] & 1).astype(bool), ~value, value)
    for left in range(0, net.n_nodes, 7):
        same = (normal == normal[left]).all(axis=1)
        np.testing.assert_array_equal(mark == mark[left], same)
    np.testing.assert_array_equal(phase, value[:, 0] & 1)


def test_a_window_is_the_cone_over_its_cut_points(oracle):
    """With the cut variables set to what the nodes are, the window gives the outputs."""
    net = layered(oracle, 5).with_(encoder=None)
    net = net.with_(head=Head.none(net.n_outputs))
    words = draw_words(net, "none", 4, np.random.default_rng(1))
    value = node_words(net, words)
    name = np.full(net.n_nodes, -1, np.int64)
    cut = np.arange(net.first_gate + 100, net.first_gate + 200)
    name[cut] = np.arange(100)
    phase = np.zeros(net.n_nodes, bool)
    phase[cut[::3]] = True
    cuts = Cuts(name, phase)
    assert (cone(net, net.outputs, name) & (name >= 0)).any()
    windows = joint_windows(net, net, net.outputs, net.outputs, (cuts, cuts), 10_000)
    window = windows[0]
    node = np.zeros(net.n_inputs + 100, np.int64)
    node[: net.n_inputs] = np.arange(1, net.first_gate)
    node[net.n_inputs :] = cut
    given = value[node[window.leaves]]
    given ^= np.where(phase[node[window.leaves]], ~np.uint64(0), np.uint64(0))[:, None]
    found = node_words(window.net, given)
    assert window.net.n_gates < net.n_gates
    literals = window.net.outputs
    flips = np.where((literals ^ net.outputs) & 1, ~np.uint64(0), np.uint64(0))[:, None]
    np.testing.assert_array_equal(found[literals >> 1] ^ flips, value[net.outputs >> 1])
    n_gates = 2 * window.net.n_gates
    assert joint_windows(net, net, net.outputs, net.outputs, (cuts, cuts), 10) == n_gates


def test_side_by_side(oracle):
    a, b = (oracle.random_net(seed, n_classes=0) for seed in (1, 2))
    both = side_by_side(a, b)
    for bits in oracle.all_bits(5)[::3].astype(int).tolist():
        expected = oracle.value_of(a, bits)[0] + oracle.value_of(b, bits)[0]
        assert oracle.value_of(both, bits)[0] == expected
