"""prove_equal: proves what is equal, also with constants in the bias; finds planted faults."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.blif import write_blif
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import scores_of_bits
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.proof import equivalence
from gate2hw.passes.proof.alignment import Alignment, align
from gate2hw.passes.proof.equivalence import prove_equal
from gate2hw.tools.abc import CecResult, cec


def wide_and(n_inputs, wrong_at_end):
    """A chain of ANDs of all inputs: 64 * 16 random inputs never reach its only 1."""
    builder = NetlistBuilder(n_inputs)
    node = 1
    for i in range(2, n_inputs + 1):
        node = builder.gate(8, node, i)
    if wrong_at_end:
        return builder.build([0, 2])
    return builder.build([2 * node, 2])


@pytest.mark.parametrize("seed", range(3))
def test_pipelines_are_proved(oracle, tmp_path, seed):
    net = oracle.random_net(seed, n_inputs=8, n_gates=150, n_outputs=40, encoder=seed == 1)
    result = run_pipeline(net, 1).net
    assert result.n_outputs < net.n_outputs
    proof = prove_equal(net, result, work_dir=tmp_path, timeout_s=60)
    assert (proof.result, proof.counterexample) == ("equivalent", None)
    assert proof.method == "abc cec"
    assert proof.n_obligations > 0
    assert prove_equal(result, net, work_dir=tmp_path, timeout_s=60).result == "equivalent"


def test_every_pass_is_proved(oracle, tmp_path):
    net = oracle.random_net(11, n_gates=100)

    def prove(before, after):
        return prove_equal(before, after, work_dir=tmp_path, timeout_s=60)

    result = run_pipeline(net, 3, prove=prove)
    assert {r.proof for r in result.records if r.changed} == {"equivalent"}


@pytest.mark.parametrize("seed", range(3))
def test_planted_gate_fault(oracle, tmp_path, seed):
    net = oracle.random_net(seed, n_gates=60, dense=True)
    good = run_pipeline(net, 3).net
    tt = good.tt.copy()
    tt[int(good.outputs[-1] >> 1) - good.first_gate] ^= 8
    bad = good.with_(tt=tt)
    bits = oracle.all_bits(5)
    assert (scores_of_bits(bad, bits) != scores_of_bits(net, bits)).any()
    proof = prove_equal(net, bad, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "different"
    example = proof.counterexample[None]
    assert (scores_of_bits(bad, example) != scores_of_bits(net, example)).any()


def test_rare_fault_needs_abc(tmp_path):
    """Simulation alone would call these equal; the SAT solver's input is replayed."""
    proof = prove_equal(wide_and(40, False), wide_and(40, True), work_dir=tmp_path, timeout_s=60)
    assert (proof.result, proof.method) == ("different", "abc cec, replayed")
    assert proof.counterexample.all()


def with_head(net, group_ptr, weight, bias):
    return net.with_(head=Head(group_ptr, weight, bias))


def test_wrong_guess_of_constant_does_not_prove(tmp_path):
    """A pass drops an output that is 0 on nearly all inputs: the obligation fails."""
    net = with_head(wide_and(40, False), [0, 2], [1, 1], [0])
    dropped = with_head(net.with_(outputs=[2]), [0, 1], [1], [0])
    assert align(net, dropped) is not None
    proof = prove_equal(net, dropped, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "different"
    assert proof.counterexample.all()


@pytest.mark.parametrize("fault", ["bias", "weight", "class"])
def test_head_faults(oracle, tmp_path, fault):
    """A bias lost, a weight changed, an output moved to the next class."""
    net = oracle.random_net(8, n_gates=80, n_outputs=30)
    good = head_constants(fold(net))
    assert good.n_outputs < net.n_outputs
    ptr, weight, bias = (
        np.array(x) for x in (good.head.group_ptr, good.head.weight, good.head.bias)
    )
    if fault == "bias":
        bias[1] += 1
    elif fault == "weight":
        weight[3] += 2
    else:
        ptr[1] += 1
    proof = prove_equal(net, with_head(good, ptr, weight, bias), work_dir=tmp_path, timeout_s=60)
    assert proof.result == "different"


def test_swapped_outputs_of_a_class_are_equal(tmp_path):
    net = with_head(NetlistBuilder(2).build([2, 4]), [0, 2], [1, 1], [0])
    proof = prove_equal(net, net.with_(outputs=[4, 2]), work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"


def rare_signals(order, *, is_flat, n_signals=24, n_inputs=40):
    """One class that counts, in `order`, ANDs of all inputs but two neighbours, the first twice.

    With `is_flat` each is built as a tree and the first is counted once, with weight 2.
    """
    builder = NetlistBuilder(n_inputs)
    lits = []
    for skipped in range(1, n_signals + 1):
        nodes = [i for i in range(1, n_inputs + 1) if i not in (skipped, skipped + 1)]
        while len(nodes) > 1:
            pair = builder.gate(8, *(nodes[:2] if is_flat else nodes[-2:]))
            nodes = [*nodes[2:], pair] if is_flat else [*nodes[:-2], pair]
        lits.append(2 * nodes[0])
    outputs = [lits[o] for o in order]
    weight = [1 + (is_flat and o == 0) for o in order]
    if not is_flat:
        outputs, weight = [*outputs, lits[0]], [*weight, 1]
    return builder.build(outputs, head=Head([0, len(outputs)], weight, [0]))


def test_signals_that_no_random_input_tells_apart(tmp_path, monkeypatch):
    """All look constant: SAT sweeping says which is which, and finds what differs."""
    order = np.random.default_rng(0).permutation(24).tolist()
    a, b = rare_signals(range(24), is_flat=False), rare_signals(order, is_flat=True)
    proof = prove_equal(a, b, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"
    bad = b.with_(outputs=[b.outputs[1], *b.outputs[1:]])
    assert prove_equal(a, bad, work_dir=tmp_path, timeout_s=60).result == "different"
    # the sweep is a guess like any other: one that takes all signals for equal proves nothing
    monkeypatch.setattr(equivalence, "swept_outputs", lambda net, **_: 2 + 0 * net.outputs)
    for other in (bad, b):
        assert prove_equal(a, other, work_dir=tmp_path, timeout_s=60).result == "undecided"


def test_obligations_that_fail_where_scores_agree_are_undecided(tmp_path, monkeypatch):
    """Output by output cannot show it; nothing is called different without a difference."""
    net = with_head(NetlistBuilder(2).build([2, 4]), [0, 2], [1, 1], [0])
    other = net.with_(outputs=[4, 2])
    in_order = Alignment(net.outputs, other.outputs, net, other)
    monkeypatch.setattr(equivalence, "align", lambda a, b, **_: in_order)
    proof = prove_equal(net, other, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "undecided"
    assert proof.n_undecided == 2
    assert "scores agree" in proof.reason


@pytest.mark.parametrize(("weight", "bias"), [([2, 1], [1]), ([1, 1], [2])])
def test_head_faults_that_simulation_misses(tmp_path, weight, bias):
    """A weight that is wrong where an output is almost never 1, a bias under a wrong constant."""
    net = with_head(wide_and(40, False), [0, 3], [1, 1, 1], [0])
    net = net.with_(outputs=[*net.outputs.tolist()[:1], 1, 2])
    good = head_constants(net)
    assert prove_equal(net, good, work_dir=tmp_path, timeout_s=60).result == "equivalent"
    bad = with_head(good, [0, 2], weight, bias)
    assert prove_equal(net, bad, work_dir=tmp_path, timeout_s=60).result == "different"


def test_only_constants(tmp_path):
    net = with_head(NetlistBuilder(2).build([0, 1]), [0, 1, 2], [1, 4], [0, 0])
    proof = prove_equal(net, head_constants(net), work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"


def test_interfaces_must_agree(oracle, tmp_path):
    net = oracle.random_net(1)
    for other in (
        oracle.random_net(1, n_inputs=6),
        oracle.random_net(1, n_classes=2),
        oracle.random_net(1, encoder=True),
    ):
        with pytest.raises(InputError, match="cannot be compared"):
            prove_equal(net, other, work_dir=tmp_path, timeout_s=60)


def test_false_counterexample_is_not_believed(oracle, tmp_path, monkeypatch):
    net = oracle.random_net(1)
    answer = CecResult("different", (0,) * 5, 0.0, "")
    monkeypatch.setattr(equivalence, "cec", lambda a, b, *, timeout_s: answer)
    with pytest.raises(ToolFailedError, match="does not replay"):
        prove_equal(net, fold(net), work_dir=tmp_path, timeout_s=1)
    answer = CecResult("different", (0,) * 4, 0.0, "")
    with pytest.raises(ToolFailedError, match="4 bits for 5 inputs"):
        prove_equal(net, fold(net), work_dir=tmp_path, timeout_s=1)
    answer = CecResult("undecided", None, 1.0, "")
    nothing = lambda self, a, b: np.zeros(a.n_outputs, bool)  # noqa: E731
    monkeypatch.setattr(equivalence._Comparison, "sort_out", nothing)
    assert prove_equal(net, fold(net), work_dir=tmp_path, timeout_s=1).result == "undecided"


@pytest.mark.parametrize("seed", range(3))
def test_abc_reads_what_is_written(oracle, tmp_path, seed):
    """AIGER and BLIF of one net are equal in the eyes of ABC, which shares no code with us."""
    net = oracle.random_net(seed, n_classes=0, dense=True)
    other = net.with_(outputs=net.outputs ^ (np.arange(net.n_outputs) == 5))
    write_aiger(net, tmp_path / "a.aig")
    write_blif(net, tmp_path / "b.blif")
    write_blif(other, tmp_path / "c.blif")
    paths = [tmp_path / name for name in ("a.aig", "b.blif", "c.blif")]
    assert cec(paths[0], paths[1], timeout_s=60).status == "equivalent"
    assert cec(paths[0], paths[2], timeout_s=60).status == "different"
