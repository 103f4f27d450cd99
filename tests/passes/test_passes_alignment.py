"""align: obligations that hold imply equal scores; honest passes get some, faults get none."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head
from gate2hw.ir.simulate import node_words, pack, scores_of_bits, unpack
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.head_merge import head_merge
from gate2hw.passes.local.rewrite import substitute
from gate2hw.passes.local.strash import strash
from gate2hw.passes.proof import alignment, matching
from gate2hw.passes.proof.alignment import align, score_difference_form
from gate2hw.passes.proof.equivalence import prove_equal
from gate2hw.passes.proof.matching import Patterns

SEEDS = range(6)
N_INPUTS = 5


def literals(net, lits, bits):
    value = unpack(node_words(net, pack(bits)), len(bits))
    return value[:, lits >> 1] ^ ((lits & 1) == 1)


def hold(found, bits):
    """Whether every obligation holds on all of `bits`."""
    a, b = literals(found.net_a, found.a, bits), literals(found.net_b, found.b, bits)
    return np.array_equal(a, b)


def scores_agree(a, b, bits, relative):
    x, y = scores_of_bits(a, bits), scores_of_bits(b, bits)
    if relative:
        x, y = score_difference_form(x), score_difference_form(y)
    return np.array_equal(x, y)


def swept(net, bits):
    """`net` with all nodes that are equal or complement on `bits` merged, as a SAT sweep does."""
    value = unpack(node_words(net, pack(bits)), len(bits))
    lowest, lit = {}, []
    for node in range(net.n_nodes):
        column = value[:, node]
        lit.append(lowest.setdefault(column.tobytes(), 2 * node))
        lowest.setdefault((~column).tobytes(), 2 * node + 1)
    return substitute(net, np.array(lit))


def optimised(net, output, bits):
    return head_merge(swept(strash(fold(net)), bits), output=output)


def dense_net(oracle, seed, **options):
    options = {"n_gates": 60, "n_outputs": 30, "dense": True, **options}
    return oracle.random_net(seed, n_inputs=N_INPUTS, **options)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("output", ["scores", "class"])
def test_honest_pipelines_are_aligned(oracle, seed, output):
    """Raw against swept and merged, in both directions: all obligations hold."""
    net = dense_net(oracle, seed, n_classes=2 + seed % 3)
    bits = oracle.all_bits(N_INPUTS)
    got = optimised(net, output, bits)
    relative = output == "class"
    for a, b in ((net, got), (got, net), (net, head_merge(net, output=output))):
        found = align(a, b, relative=relative, may_extend=True)
        assert found is not None
        assert hold(found, bits)


def test_merged_outputs_are_proved(oracle, tmp_path):
    """The whole way, with ABC as the judge of the obligations."""
    net = dense_net(oracle, 7, n_gates=150, n_outputs=60)
    got = head_merge(strash(fold(net)), output="scores")
    assert got.n_outputs < head_constants(fold(net)).n_outputs
    assert prove_equal(net, got, work_dir=tmp_path, timeout_s=60).result == "equivalent"


def mutated(net, rng):
    """`net` with a random small change of its head."""
    ptr, weight, bias = (np.array(x) for x in (net.head.group_ptr, net.head.weight, net.head.bias))
    outputs = net.outputs.copy()
    o, c = rng.integers(len(weight)), rng.integers(len(bias))
    match rng.integers(5):
        case 0:
            weight[o] += rng.choice([-1, 1])
        case 1:
            bias[c] += rng.choice([-1, 1])
        case 2 if c and ptr[c] > ptr[c - 1]:
            ptr[c] -= 1
        case 3:
            outputs[o] ^= 1
        case _:
            outputs[o] = outputs[rng.integers(len(outputs))]
    return net.with_(outputs=outputs, head=Head(ptr, weight, bias))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("relative", [False, True])
def test_soundness(oracle, seed, relative):
    """Heads changed at random: where all obligations hold, the scores do agree."""
    rng = np.random.default_rng(seed)
    net = dense_net(oracle, seed, n_gates=12, n_classes=2 + seed % 2)
    bits = oracle.all_bits(N_INPUTS)
    merged = optimised(net, "class" if relative else "scores", bits)
    n_wrong = 0
    for _ in range(20):
        bad = mutated(merged, rng) if merged.n_outputs else merged
        agree = scores_agree(net, bad, bits, relative)
        n_wrong += not agree
        found = align(net, bad, relative=relative, may_extend=True)
        if found is not None and hold(found, bits):
            assert agree
    assert n_wrong > 0 or not merged.n_outputs


def inputs_net(groups, bias=None, n_inputs=4):
    pairs = [pair for group in groups for pair in group]
    head = Head(np.cumsum([0, *map(len, groups)]), [w for _, w in pairs], bias or [0] * len(groups))
    return NetlistBuilder(n_inputs).build([lit for lit, _ in pairs], head=head)


BASE = [[(2, 1), (4, 1), (2, 1)], [(4, 1), (5, 1), (6, 1)], [(4, 1), (8, 1)]]


@pytest.mark.parametrize(
    ("groups", "bias", "absolute", "relative"),
    [
        ([[(2, 2), (4, 1)], [(6, 1)], [(4, 1), (8, 1)]], [0, 1, 0], True, True),
        ([[(2, 2)], [(6, 1), (5, 1)], [(8, 1)]], [0, 0, 0], False, True),
        ([[(3, -2)], [(7, -1), (5, 1)], [(8, 1)]], [2, 1, 0], False, True),
        ([[(2, 2)], [(6, 1), (5, 1)], [(8, 1)]], [7, 7, 7], False, True),
        ([[(2, 2), (4, 1)], [(6, 1)], [(4, 1), (8, 1)]], [0, 0, 0], False, False),
        ([[(2, 1), (4, 1)], [(6, 1)], [(4, 1), (8, 1)]], [0, 1, 0], False, False),
        ([[(2, 3), (4, 1)], [(6, 1)], [(4, 1), (8, 1)]], [0, 1, 0], False, False),
        ([[(2, 2)], [(6, 1)], [(8, 1)]], [0, 0, 0], False, False),
        ([[(4, 1)], [(6, 1), (2, 2)], [(4, 1), (8, 1)]], [0, 1, 0], False, False),
        ([[(2, 2), (4, 1)], [(6, 1)], [(8, 1)]], [0, 1, 0], False, False),
    ],
    ids=[
        "merged",
        "common literal dropped",
        "counted complemented",
        "all scores moved",
        "bias lost",
        "weight lost",
        "weight off by one",
        "bias lost, relative",
        "merged across classes",
        "dropped from one class",
    ],
)
def test_rules(oracle, groups, bias, absolute, relative):
    """Each rule of head_merge, and each way to get it wrong."""
    net, other = inputs_net(BASE), inputs_net(groups, bias)
    bits = oracle.all_bits(4)
    for is_relative, expected in ((False, absolute), (True, relative)):
        assert scores_agree(net, other, bits, is_relative) == expected
        found = align(net, other, relative=is_relative)
        assert (found is not None and hold(found, bits)) == expected


def test_complement_across_two_classes(oracle):
    net = inputs_net([[(2, 1), (4, 1)], [(3, 1), (6, 1)]])
    got = head_merge(net, output="class")
    found = align(net, got, relative=True)
    assert got.n_outputs == 3
    assert hold(found, oracle.all_bits(4))
    assert align(net, got, relative=False) is None
    bias = got.head.bias + np.array([1, 0])
    bad = got.with_(head=Head(got.head.group_ptr, got.head.weight, bias))
    assert align(net, bad, relative=True) is None


@pytest.mark.parametrize(("inner", "is_constant"), [(11, True), (13, False)])
def test_signals_of_one_side_cancel(oracle, inner, is_constant):
    """Outputs that add up to 1 by function only: an XOR gate is the witness; a fault has none."""
    builder = NetlistBuilder(2)
    first = builder.gate(8, 1, 2)
    second = builder.gate(7, builder.gate(inner, 1, 2), 1)  # NAND of x and (~x | y) or (x | ~y)
    head = Head([0, 2, 3], [1, 1, 1], [0, 0])
    net = builder.build([2 * first, 2 * second, 2], head=head)
    constant = NetlistBuilder(2).build([2], head=Head([0, 0, 1], [1], [1, 0]))
    bits = oracle.all_bits(2)
    assert scores_agree(net, constant, bits, False) == is_constant
    for a, b in ((net, constant), (constant, net)):
        assert align(a, b) is None
        found = align(a, b, may_extend=True)
        assert (found is not None) == is_constant
        if found is not None:
            assert hold(found, bits)
            assert (found.net_a is a) == (a is constant)
            assert (found.net_b is b) == (b is constant)


def rare(n_inputs=40):
    """A chain of ANDs of all inputs, and one of all but the last, inverted."""
    builder = NetlistBuilder(n_inputs)
    node, nodes = 1, []
    for i in range(2, n_inputs + 1):
        node = builder.gate(8, node, i)
        nodes.append(node)
    other = builder.gate(2, n_inputs, nodes[-2])
    return builder, node, other


def test_wrong_guess_fails_and_patterns_mend_it():
    """Two signals that are almost never 1: taken for equal, until an input tells them apart."""
    builder, node, other = rare()
    head = Head([0, 2], [1, 1], [0])
    a = builder.build([2 * node, 2 * other], head=head)
    b = builder.build([2 * other, 2 * node], head=head)
    assert align(a, b).a.tolist() == a.outputs.tolist()
    bits = np.ones((2, 40), bool)
    bits[1, -1] = False
    assert not hold(align(a, b), bits)
    found = align(a, b, patterns=bits[:1])
    assert hold(found, bits)
    dropped = builder.build([2 * other], head=Head([0, 1], [1], [0]))
    guess = align(a, dropped)
    assert not hold(guess, bits)
    assert align(a, dropped, patterns=bits[:1]) is None


def test_in_order_guess_is_only_a_guess(monkeypatch):
    """Even a reduction that lies about a constant proves nothing."""
    builder, node, _ = rare()
    net = builder.build([2 * node, 2], head=Head([0, 2], [1, 1], [0]))
    dropped = net.with_(outputs=[2], head=Head([0, 1], [1], [0]))
    guess = alignment._reduced_outputs
    monkeypatch.setattr(
        alignment, "_reduced_outputs", lambda n: np.array([0, 2]) if n is net else guess(n)
    )
    found = align(net, dropped)
    assert not hold(found, np.ones((1, 40), bool))


def coded_net(outputs):
    code = Encoder(np.array([0, 0, 1, 1]), np.array([50, 150, 50, 150]), (2,), 255)
    builder = NetlistBuilder(4)
    both = builder.gate(8, 1, 2)  # of one feature: equal to the rarer bit on legal codes
    lits = {"both": 2 * both, "rarer": 4, "other": 6}
    head = Head([0, len(outputs)], [1] * len(outputs), [0])
    return builder.build([lits[o] for o in outputs], head=head, encoder=code)


def test_care_decides_the_guess():
    a, b = coded_net(["other", "both"]), coded_net(["rarer", "other"])
    found = align(a, b, care="thermometer")
    legal = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]], bool)
    assert hold(found, legal)
    assert not hold(align(a, b, care="none"), np.array([[0, 1, 0, 0]], bool))


def test_patterns_are_legal_and_cover_both_values():
    net = coded_net(["both"])
    values = unpack(Patterns(net, "thermometer").words, 2048)
    assert not (values[:, 1] & ~values[:, 0]).any()
    assert (values.mean(axis=0) > 0.2).all()
    assert (values.mean(axis=0) < 0.8).all()
    free = unpack(Patterns(net, "none").words, 2048)
    assert (free[:, 1] & ~free[:, 0]).any()


def test_large_nets_run_on_fewer_words(monkeypatch):
    """Given inputs come first: they are used even where one word is all there is time for."""
    monkeypatch.setattr(matching, "_ALL_WORDS", 1)
    builder, node, other = rare()
    a = builder.build([2 * node, 2 * other], head=Head([0, 2], [1, 1], [0]))
    b = a.with_(outputs=a.outputs[::-1])
    bits = np.ones((1, 40), bool)
    patterns = Patterns(a, "none", bits)
    assert patterns.n_words(a, b) == 1
    assert not patterns.agree(a, a.outputs, b, b.outputs)
    assert hold(align(a, b, patterns=bits), bits)


def test_score_difference_form():
    scores = np.array([[3, 5, 1], [4, 6, 2]])
    assert score_difference_form(scores).tolist() == [[0, 2, -2], [0, 2, -2]]


def test_classes_must_agree(oracle):
    a, b = dense_net(oracle, 1, n_classes=2), dense_net(oracle, 1, n_classes=3)
    assert align(a, b) is None
    plain = dense_net(oracle, 1, n_classes=0)
    assert align(plain, plain.with_(outputs=plain.outputs[:5], head=Head.none(5))) is None
    assert align(plain, fold(plain)).a.tolist() == plain.outputs.tolist()


def test_relative_with_one_class_is_free(oracle):
    net = dense_net(oracle, 2, n_classes=1)
    got = partial(head_merge, output="class")(net)
    assert got.n_outputs == 0
    assert align(net, got, relative=True, may_extend=True) is not None
