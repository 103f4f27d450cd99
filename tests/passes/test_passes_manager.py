"""The manager catches what a bad pass does; pipelines only get better; the bisector bisects."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import scores_of_bits
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.strash import strash
from gate2hw.passes.manager import PassManager, bisect, run_pipeline
from gate2hw.passes.pipelines import LEVELS, Pipeline
from gate2hw.passes.proof.equivalence import Proof


def bad_gate(net):
    """Complements the gate behind the first output that has one."""
    gate = int(net.outputs[net.outputs >= 2 * net.first_gate][0] >> 1) - net.first_gate
    tt = net.tt.copy()
    tt[gate] ^= 15
    return net.with_(tt=tt)


def bad_bias(net):
    """Loses the bias, as a peer does."""
    head = net.head
    return net.with_(head=type(head)(head.group_ptr, head.weight, head.bias * 0))


def bad_levels(net):
    """Reads a node of its own level."""
    return net.with_(in0=np.full(net.n_gates, net.n_nodes - 1))


def bad_outputs(net):
    """Forgets an output of a plain circuit."""
    return net.with_(outputs=net.outputs[1:], head=type(net.head).none(net.n_outputs - 1))


def run(net, *passes, **options):
    return PassManager(Pipeline(passes), **options).run(net)


@pytest.mark.parametrize("seed", range(6))
def test_levels_never_worse(oracle, seed):
    net = oracle.random_net(seed, n_gates=150, n_outputs=30, encoder=seed > 2, dense=True)
    bits = oracle.all_bits(5)
    if net.encoder is not None:
        bits = bits[(~bits[:, 1:4:2] | bits[:, 0:4:2]).all(axis=1)]
    cost = []
    for level in LEVELS:
        result = run_pipeline(net, level)
        verify_netlist(result.net)
        cost.append((result.net.n_gates, result.net.depth))
        np.testing.assert_array_equal(scores_of_bits(result.net, bits), scores_of_bits(net, bits))
        used = result.net.used_inputs().tolist()
        assert sorted([*used, *result.dead_inputs.tolist()]) == list(range(5))
    assert cost == sorted(cost, reverse=True)
    assert cost[0] == (net.n_gates, net.depth)
    assert cost[3] < cost[0]


@pytest.mark.parametrize("seed", range(6))
def test_fixed_point(oracle, seed):
    net = oracle.random_net(seed, n_gates=200, window=12, dense=True)
    result = run_pipeline(net, 3).net
    assert is_normal(result)
    for transform in (fold, strash, dce, head_constants):
        assert transform(result) is result
    assert run_pipeline(result, 3).net is result


def test_fixed_point_needs_hashing():
    """x ^ x' appears only after hashing, level after level."""
    builder = NetlistBuilder(3)
    pairs = [(1, 2), (1, 2)]
    for _ in range(4):
        a, b = (builder.gate(8, *pair) for pair in pairs)
        equal = builder.gate(6, a, b)
        a, b = builder.gate(14, equal, 1), builder.gate(14, 1, equal)
        pairs = [(a, builder.gate(8, a, 3)), (b, builder.gate(8, 3, b))]
    net = builder.build([2 * builder.gate(6, a, b)])
    unhashed = Pipeline((fold, dce, head_constants), until_fixed=True)
    assert PassManager(unhashed).run(net).net.n_gates > 0
    assert run_pipeline(net, 1).net.n_gates == 0


def test_stages_follow_each_other():
    """What stands in `then` works on what the stage before left, and is recorded after it."""
    builder = NetlistBuilder(2)
    net = builder.build([2 * builder.gate(12, builder.gate(8, 1, 2), 1)])
    stages = Pipeline((fold,), until_fixed=True, then=Pipeline((dce,)))
    result = PassManager(stages).run(net)
    assert [record.name for record in result.records] == ["fold", "dce"]
    assert result.net.n_gates == 1


def test_records(oracle):
    net = oracle.random_net(1, n_gates=80)
    messages: list[tuple[int, int, str]] = []
    result = run_pipeline(net, 2, progress=lambda *args: messages.append(args))
    assert [r.name for r in result.records][:3] == ["fold", "dce", "strash"]
    gates = net.n_gates
    for record in result.records:
        assert record.gates_before == gates
        gates = record.gates_after
        assert record.time_s >= 0
        assert record.n_vectors == (256 if record.changed else 0)
    assert gates == result.net.n_gates
    assert messages[-1][0] == messages[-1][1]


def test_level_0_is_same_object(oracle):
    net = oracle.random_net(1)
    assert run_pipeline(net, 0).net is net
    with pytest.raises(InputError, match="0, 1, 2, 3"):
        run_pipeline(net, 4)


def test_bad_pass_is_caught_with_counterexample(oracle):
    net = oracle.random_net(0, n_inputs=18, encoder=True, n_gates=50)
    with pytest.raises(CheckFailedError, match="pass 'bad_gate' changed score") as caught:
        run(net, fold, bad_gate, dce)
    text = str(caught.value)
    assert "input features [" in text
    assert "layer, kernel" in text
    values = [int(v) for v in text.split("[")[1].split("]")[0].split()]
    before = fold(net)
    bits = np.array(values)[before.encoder.feature] > before.encoder.threshold
    old, new = (scores_of_bits(n, bits[None])[0] for n in (before, bad_gate(before)))
    column = int(text.split("score ")[1].split()[0])
    assert f"from {old[column]} to {new[column]} on" in text
    assert old[column] != new[column]


def test_bad_pass_on_plain_circuit(oracle):
    net = oracle.random_net(2, n_classes=0)
    with pytest.raises(CheckFailedError, match=r"'bad_gate' changed output \d+, from gate \d+"):
        run(net, bad_gate)
    with pytest.raises(CheckFailedError, match="outputs of a plain circuit from 12 to 11"):
        run(net, bad_outputs)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (bad_bias, "'bad_bias' changed score"),
        (bad_levels, "'bad_levels' broke the netlist"),
        (lambda net: net.with_(digest="x"), "changed digest"),
        (lambda net: net.with_(n_inputs=net.n_inputs + 1), "broke the netlist|changed n_inputs"),
    ],
)
def test_other_faults(oracle, transform, message):
    net = oracle.random_net(4, n_gates=60)
    with pytest.raises(CheckFailedError, match=message):
        run(net, fold, transform)


def test_prover_is_asked(oracle):
    asked = []

    def prove(before, after):
        asked.append((before, after))
        return Proof("equivalent", "test", None, 0.0)

    net = oracle.random_net(1, n_gates=80)
    result = run_pipeline(net, 3, prove=prove)
    changed = [r for r in result.records if r.changed]
    assert len(asked) == len(changed) > 1
    assert {r.proof for r in changed} == {"equivalent"}
    assert asked[0][0] is net
    assert asked[-1][1] is result.net

    def disprove(before, after):
        return Proof("different", "test", np.array([True, False, True, True, False]), 0.0)

    with pytest.raises(CheckFailedError, match="'fold' is proved wrong on input bits 10110"):
        run_pipeline(net, 3, prove=disprove)


def only_legal(net):
    """Right where bit 1 of a feature implies bit 0: reads a AND b of inputs 0 and 1 as b."""
    lower = (net.in0 == 1) & (net.in1 == 2) & (net.tt == 8)
    return net.with_(tt=np.where(lower, 10, net.tt)) if lower.any() else net


def shifted(net, *, by):
    """All scores of a sample changed alike."""
    return net.with_(head=type(net.head)(net.head.group_ptr, net.head.weight, net.head.bias + by))


def test_care_decides_what_counts(oracle):
    builder = NetlistBuilder(4)
    gate = builder.gate(8, 1, 2)
    encoder = oracle.random_net(1, n_inputs=4, encoder=True).encoder
    net = builder.build([2 * gate], head=Head([0, 1], [1], [0]), encoder=encoder)
    assert run(net, only_legal, care="thermometer").net is not net
    with pytest.raises(CheckFailedError, match=r"'only_legal' changed score 0 .* on input bits"):
        run(net, only_legal, care="none")
    with pytest.raises(InputError, match="care set 'all' is unknown"):
        run(net, only_legal, care="all")


def test_relative_compares_differences_of_scores(oracle):
    net = oracle.random_net(3, n_gates=60)
    shift = partial(shifted, by=3)
    result = run(net, shift, relative=True)
    assert [record.name for record in result.records] == ["shifted"]
    with pytest.raises(CheckFailedError, match="'shifted' changed score"):
        run(net, shift)
    with pytest.raises(CheckFailedError, match="'bad_bias' changed score difference"):
        run(net, bad_bias, relative=True)


@pytest.mark.parametrize("place", range(7))
def test_bisect_finds_planted_pass(oracle, place):
    net = oracle.random_net(7, n_gates=80, dense=True)
    passes = [fold, dce, strash, fold, dce, head_constants]
    passes.insert(place, bad_gate)
    bits = oracle.all_bits(5)
    expected = scores_of_bits(net, bits)
    asked = []

    def is_bad(candidate):
        asked.append(candidate)
        return bool((scores_of_bits(candidate, bits) != expected).any())

    found = bisect(net, passes, is_bad)
    assert found is not None
    assert (found.index, found.name) == (place, "bad_gate")
    assert not is_bad(found.before)
    assert is_bad(found.after)
    assert len(asked) <= 7


def test_bisect_of_good_and_bad_start(oracle):
    net = oracle.random_net(7)
    assert bisect(net, [fold, dce], lambda _: False) is None
    with pytest.raises(InputError, match="before the first pass"):
        bisect(net, [fold], lambda _: True)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("care", ["thermometer", "none"])
def test_no_level_leaves_dead_gates(oracle, seed, care):
    """Head merging stops counting signals; their cones must go too."""
    net = oracle.random_net(seed, n_gates=60, n_outputs=30, encoder=seed % 2 == 0)
    for level in LEVELS[1:]:
        result = run_pipeline(net, level, care=care, output="class").net
        assert dce(result) is result


def test_an_unknown_output_is_refused(oracle):
    with pytest.raises(InputError, match="did you mean 'class'"):
        run_pipeline(oracle.random_net(0), 2, output="clas")


@pytest.mark.parametrize("output", ["scores", "class"])
def test_snapshots_are_what_lower_levels_end_with(oracle, output):
    net = oracle.random_net(2, n_inputs=12, n_gates=300, n_outputs=40, encoder=True)
    results = [run_pipeline(net, level, output=output) for level in range(4)]
    digests = [result.net.content_digest() for result in results]
    assert len(set(digests)) == 4
    for level, result in enumerate(results):
        assert [low.content_digest() for low in result.snapshots] == digests[1:level]
    # a level that changes nothing leaves no second copy of the same netlist
    done = run_pipeline(results[3].net, 3, output=output)
    assert all(low is not done.net for low in done.snapshots)
    assert run_pipeline(done.net, 3, output=output).snapshots == ()
