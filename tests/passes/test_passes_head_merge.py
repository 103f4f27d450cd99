"""head_merge: scores (or winners and ties) stay, nothing is counted twice, nothing gets dearer."""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Head, Names
from gate2hw.ir.simulate import classes, scores_of_bits
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.head_merge import digit_count, head_merge
from gate2hw.passes.local.strash import strash

SEEDS = range(30)
KINDS = ("scores", "class")


def inputs_net(n_inputs, groups, bias=None):
    """Classes that count inputs directly; a group is a list of (literal, weight)."""
    pairs = [pair for group in groups for pair in group]
    ptr = np.cumsum([0, *map(len, groups)])
    head = Head(ptr, [w for _, w in pairs], bias or [0] * len(groups))
    return NetlistBuilder(n_inputs).build([lit for lit, _ in pairs], head=head)


def merged(groups, output, bias=None):
    """The groups after the pass, as lists of (literal, weight), and the bias."""
    net = inputs_net(6, groups, bias)
    got = head_merge(net, output=output)
    ptr = got.head.group_ptr.tolist()
    pairs = list(zip(got.outputs.tolist(), got.head.weight.tolist(), strict=True))
    return [pairs[a:b] for a, b in itertools.pairwise(ptr)], got.head.bias.tolist()


def affine(net):
    """Oracle: {(node, class): weight} and the bias, one output at a time."""
    weight, bias = defaultdict(int), net.head.bias.tolist()
    for c in range(net.n_classes):
        for o in range(net.head.group_ptr[c], net.head.group_ptr[c + 1]):
            w, lit = int(net.head.weight[o]), int(net.outputs[o])
            if lit & 1:
                bias[c] += w
                w = -w
            if lit >> 1:
                weight[lit >> 1, c] += w
    return {key: w for key, w in weight.items() if w}, bias


def least_digits(limit):
    """{weight: the fewest signed powers of two that add up to it}, by breadth first."""
    powers = [s << k for k in range(limit.bit_length() + 2) for s in (1, -1)]
    found, wave = {0: 0}, [0]
    while wave:
        wave = [w + p for w in wave for p in powers if abs(w + p) <= 4 * limit]
        wave = [w for w in dict.fromkeys(wave) if w not in found]
        n = 1 + max(found.values())
        found.update(dict.fromkeys(wave, n))
    return found


def test_digit_count():
    least = least_digits(64)
    values = np.arange(-64, 65)
    assert digit_count(values).tolist() == [least[w] for w in values.tolist()]
    assert digit_count(np.array([2**31 - 1, -(2**31), 0])).tolist() == [2, 1, 0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("output", KINDS)
def test_random_nets(oracle, seed, output):
    net = oracle.random_net(seed, n_gates=10, n_outputs=40, n_classes=1 + seed % 5)
    net = strash(fold(net))
    got = head_merge(net, output=output)
    verify_netlist(got)
    bits = oracle.all_bits(5)
    before, after = scores_of_bits(net, bits), scores_of_bits(got, bits)
    if output == "scores":
        np.testing.assert_array_equal(before, after)
        assert affine(net) == affine(got)
    else:
        np.testing.assert_array_equal(before - before[:, :1], after - after[:, :1])
        np.testing.assert_array_equal(classes(before), classes(after))
    for a, b in itertools.pairwise(got.head.group_ptr.tolist()):
        nodes = (got.outputs[a:b] >> 1).tolist()
        assert len(set(nodes)) == len(nodes)
        assert 0 not in nodes
    assert digit_count(got.head.weight).sum() <= digit_count(net.head.weight).sum()
    assert head_merge(got, output=output) is got
    assert got.n_gates == net.n_gates


@pytest.mark.parametrize("seed", SEEDS)
def test_one_polarity_a_node(oracle, seed):
    net = head_merge(oracle.random_net(seed, n_outputs=60, n_gates=8), output="scores")
    literals = set(net.outputs.tolist())
    assert not any(lit ^ 1 in literals for lit in literals)
    for node in {lit >> 1 for lit in literals}:
        weights = net.head.weight[net.outputs >> 1 == node]
        assert (weights < 0).sum() <= (weights > 0).sum()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_class_shift_is_cheapest(seed, n_classes):
    """Against every shift in a wide range, node by node."""
    rng = np.random.default_rng(seed)
    table = rng.choice([0, 1, 1, 1, 1, 2, 3, -1], size=(6, n_classes))
    groups = [[(2 * n + 2, int(w)) for n, w in enumerate(table[:, c])] for c in range(n_classes)]
    net = inputs_net(6, groups)
    got = head_merge(net, output="class")
    digits = defaultdict(int)
    for lit, w in zip(got.outputs.tolist(), got.head.weight.tolist(), strict=True):
        digits[(lit >> 1) - 1] += int(digit_count(np.array(w)))
    for n, row in enumerate(table):
        best = min(int(digit_count(row - t).sum()) for t in range(-8, 9))
        if 2 * np.count_nonzero(row) >= n_classes:
            assert digits[n] == best


def test_identity_when_nothing_to_do():
    net = inputs_net(6, [[(2, 1), (5, 3)], [(6, 1)]], bias=[4, -2])
    for output in KINDS:
        assert head_merge(net, output=output) is net
    plain = NetlistBuilder(2).build([2, 2, 3, 0])
    assert head_merge(plain, output="class") is plain


def test_equal_literals_become_a_weight():
    assert merged([[(2, 1), (4, 1), (2, 1), (2, 1)]], "scores") == ([[(2, 3), (4, 1)]], [0])


def test_complements_become_a_constant():
    groups = [[(2, 1), (4, 1), (3, 1)], [(6, 2), (7, 5)]]
    assert merged(groups, "scores") == ([[(4, 1)], [(7, 3)]], [1, 2])


def test_constants_and_zero_weights():
    assert merged([[(1, 4), (2, 0), (0, 9), (4, 1)]], "scores", [7]) == ([[(4, 1)]], [11])


def test_negative_weights_turn():
    assert merged([[(2, -2), (5, -1)]], "scores") == ([[(3, 2), (4, 1)]], [-3])


def test_common_literal_drops():
    groups = [[(2, 2), (4, 1)], [(2, 1)], [(6, 1), (2, 1)]]
    assert merged(groups, "class") == ([[(2, 1), (4, 1)], [], [(6, 1)]], [0, 0, 0])
    assert merged(groups, "scores")[1] == [0, 0, 0]
    assert len(merged(groups, "scores")[0][1]) == 1


def test_counted_by_all_but_one():
    groups = [[(2, 1)], [(2, 1)], [(4, 1)], [(2, 1)]]
    assert merged(groups, "class") == ([[], [], [(3, 1), (4, 1)], []], [0, 0, -1, 0])


def test_complement_across_two_classes():
    groups, bias = merged([[(2, 1), (4, 1)], [(3, 1), (6, 1)]], "class")
    assert sorted(map(len, groups)) == [1, 2]
    assert (2, 2) in groups[0] or (3, 2) in groups[1]
    assert bias[1] - bias[0] in (1, -1)


def test_ties_stay_ties():
    """Equal scores before are equal after: the lowest class wins both."""
    net = inputs_net(6, [[(2, 1), (4, 1)], [(4, 1), (6, 1)], [(4, 1)]])
    got = head_merge(net, output="class")
    assert got.n_outputs == 2
    bits = np.array(list(itertools.product([False, True], repeat=6)))
    before = scores_of_bits(net, bits)
    assert (before[:, 0] == before[:, 1]).any()
    np.testing.assert_array_equal(classes(before), classes(scores_of_bits(got, bits)))


def test_names_follow():
    net = inputs_net(3, [[(2, 1), (4, 1), (2, 1)], [(6, 1)]])
    net = net.with_(names=Names(outputs=("a", "b", "c", "d"), classes=("p", "q")))
    got = head_merge(net, output="scores")
    assert got.names == Names(outputs=("a", "b", "d"), classes=("p", "q"))


MOST = 2**31


@pytest.mark.parametrize(
    ("group", "expected", "bias"),
    [
        ([(2, -MOST)], [(2, -MOST)], 0),
        ([(3, -MOST)], [(3, -MOST)], 0),
        ([(2, 1 - MOST), (2, -1)], [(2, -MOST)], 0),
        # +2**31 fits no 32 bits, but its complement's weight does
        ([(2, MOST - 1), (2, 1)], [(3, -MOST)], MOST),
        ([(2, 1 - MOST), (3, -1), (2, -2)], [(2, -MOST)], -1),
    ],
)
def test_the_largest_weights(group, expected, bias):
    groups, biases = merged([group], "scores")
    assert (groups, biases) == ([expected], [bias])
    assert affine(inputs_net(6, groups, biases)) == affine(inputs_net(6, [group]))


@pytest.mark.parametrize(
    "group", [[(2, MOST - 1), (2, 2)], [(2, -MOST), (2, -1)], [(2, -MOST), (3, 1)]]
)
def test_weights_that_do_not_fit(group):
    with pytest.raises(InputError, match=r"class 1 counts node 1 .* does not fit 32 bits"):
        head_merge(inputs_net(3, [[(4, 1)], group]), output="scores")


def test_biases_at_the_end_of_their_range():
    most = 2**63 - 1
    groups = [[(4, 1)], [(2, 1), (3, 1)]]
    assert merged(groups, "scores", [-most - 1, most - 1])[1] == [-most - 1, most]
    with pytest.raises(
        InputError, match=r"bias of class 1 becomes 9223372036854775808, .* 64 bits"
    ):
        merged(groups, "scores", [0, most])
    # what is added on the way may be more, if the sum fits
    turned = [[(3, -5), (3, 3)]]
    assert merged(turned, "scores", [most])[1] == [most - 2]
    constant = inputs_net(2, [[(1, 1)]], [most])
    with pytest.raises(InputError, match="bias of class 0"):
        head_constants(constant)
    assert head_constants(inputs_net(2, [[(1, 1)]], [most - 1])).head.bias.tolist() == [most]


@pytest.mark.parametrize("seed", SEEDS)
def test_covers_head_constants(oracle, seed):
    net = fold(oracle.random_net(seed, n_outputs=20))
    once = head_merge(head_constants(net), output="scores")
    assert once.content_digest() == head_merge(net, output="scores").content_digest()


@pytest.mark.parametrize("fault", ["weight", "bias", "class"])
def test_planted_faults_show(oracle, fault):
    """The comparison used above notices a weight, a bias, a class that is off by one."""
    net = fold(oracle.random_net(4, n_gates=10, n_outputs=40))
    got = head_merge(net, output="class")
    ptr, weight, bias = (np.array(x) for x in (got.head.group_ptr, got.head.weight, got.head.bias))
    if fault == "weight":
        weight[0] += 1
    elif fault == "bias":
        bias[0] += 1
    else:
        ptr[1] += 1
    bad = got.with_(head=Head(ptr, weight, bias))
    bits = oracle.all_bits(5)
    before, after = scores_of_bits(net, bits), scores_of_bits(bad, bits)
    assert (before - before[:, :1] != after - after[:, :1]).any()


def test_works_as_a_pass(oracle):
    """What a pipeline needs: one argument, a name."""
    transform = partial(head_merge, output="class")
    net = oracle.random_net(3, n_outputs=40)
    assert transform(net).n_outputs < net.n_outputs
    assert transform.func.__name__ == "head_merge"
