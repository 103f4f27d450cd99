"""Counters against integers: on all inputs where they are few, else on random ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.counter_plan import Plan
from gate2hw.ir.counters import COUNTER_FORMS, counter, popcount_cost, signed_digits
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import pack, simulate, unpack


def values(plan, bits):
    """(N,) int64: the scores that a counter gives, by the reference simulator of LUTs."""
    luts = plan.to_luts()
    shown = unpack(simulate(luts, pack(bits)), len(bits))
    return shown @ (1 << np.arange(shown.shape[1]))


def all_bits(n):
    return np.array(list(itertools.product([False, True], repeat=n)), bool).reshape(1 << n, n)


def width_of(weights, constant):
    low = constant + sum(min(w, 0) for w in weights)
    high = constant + sum(max(w, 0) for w in weights)
    return max(1, high.bit_length(), 1 + max((-low - 1).bit_length(), high.bit_length()))


@pytest.mark.parametrize("weight", [0, 1, 2, 3, 7, -1, -5, 11, 255, -(2**31), 2**31 - 1])
def test_signed_digits(weight):
    digits = signed_digits(weight)
    assert sum(sign << power for power, sign in digits) == weight
    powers = [power for power, _ in digits]
    assert all(b - a > 1 for a, b in itertools.pairwise(powers))


@pytest.mark.parametrize("form", COUNTER_FORMS)
@pytest.mark.parametrize("n_bits", range(14))
def test_all_inputs(form, n_bits):
    """From 1 to 13 bits every block of both forms is used."""
    plan = counter((1,) * n_bits, 0, max(1, n_bits.bit_length()), form)
    bits = all_bits(n_bits)
    np.testing.assert_array_equal(values(plan, bits), bits.sum(axis=1))


@pytest.mark.parametrize("form", COUNTER_FORMS)
@pytest.mark.parametrize("seed", range(40))
def test_weights_and_constants(form, seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-9, 10, rng.integers(0, 11)).tolist()
    constant = int(rng.integers(-30, 31))
    bits = all_bits(len(weights))
    expected = constant + bits @ np.array(weights, np.int64).reshape(-1)
    # too narrow a width gives the score modulo a power of two
    for width in (width_of(weights, constant), 3):
        got = values(counter(weights, constant, width, form), bits)
        np.testing.assert_array_equal(got, expected % (1 << width))


@pytest.mark.parametrize("form", COUNTER_FORMS)
@pytest.mark.parametrize("n_bits", [20, 50, 63, 64, 127, 200, 250])
def test_wide(form, n_bits):
    rng = np.random.default_rng(n_bits)
    bits = rng.random((256, n_bits)) < rng.random((256, 1))
    bits[0], bits[1] = False, True
    plan = counter((1,) * n_bits, 0, n_bits.bit_length(), form)
    np.testing.assert_array_equal(values(plan, bits), bits.sum(axis=1))


def test_planted_fault_shows():
    """One bit of one table of a seven-bit counter is wrong: all inputs together notice it."""
    plan = counter((1,) * 7, 0, 3, "luts")
    bits = all_bits(7)
    n_seen = 0
    faults = [(t, bit) for t, signals in enumerate(plan.fanin) for bit in range(1 << len(signals))]
    for table, bit in faults:
        init = list(plan.init)
        init[table] ^= 1 << bit
        bad = type(plan)(plan.n_bits, tuple(init), plan.fanin, plan.score)
        n_seen += bool((values(bad, bits) != bits.sum(axis=1)).any())
    # some rows of the tables never occur
    assert n_seen >= 0.7 * len(faults)


@pytest.mark.parametrize(
    ("form", "n_bits", "n_tables"),
    [
        ("luts", 3, 2),
        ("luts", 6, 5),
        ("luts", 7, 6),
        ("full_adders", 7, 8),
        ("gates", 2, 2),
        ("gates", 3, 5),
        ("gates", 7, 19),
    ],
)
def test_known_sizes(form, n_bits, n_tables):
    """19 gates for 7 bits is the best known (Kojevnikov, Kulikov and Yaroslavtsev, 2009)."""
    assert counter((1,) * n_bits, 0, n_bits.bit_length(), form).n_tables == n_tables


@pytest.mark.parametrize("n_bits", [20, 50, 100, 150, 200, 250])
def test_cost_a_bit(n_bits):
    """Full adders alone take about 5 gates and 2 LUTs a bit."""
    width = n_bits.bit_length()
    assert counter((1,) * n_bits, 0, width, "gates").n_tables <= 4.5 * n_bits
    assert counter((1,) * n_bits, 0, width, "luts").n_tables <= 1.5 * n_bits
    assert counter((1,) * n_bits, 0, width, "luts").depth <= 20
    assert counter((1,) * n_bits, 0, width, "gates").depth <= 50
    shallow = counter((1,) * n_bits, 0, width, "luts_shallow")
    assert shallow.n_tables <= 1.65 * n_bits
    adders = counter((1,) * n_bits, 0, width, "full_adders")
    assert adders.depth <= shallow.depth <= adders.depth + 2


@pytest.mark.parametrize("form", COUNTER_FORMS)
def test_tables_have_the_form(form):
    plan = counter((1, 3, -2, 1, 1, 1, 1, 1, 1), 5, 5, form)
    assert (
        max(map(len, plan.fanin))
        <= {"gates": 2, "full_adders": 3, "luts": 4, "luts_shallow": 4}[form]
    )
    assert min(map(len, plan.fanin)) >= 2
    # in order, and every table is needed
    first = 1 + plan.n_bits
    for number, signals in enumerate(plan.fanin):
        assert all(signal < first + number for signal in signals)
    read = {s for signals in plan.fanin for s in signals} | {lit >> 1 for lit in plan.score}
    assert set(range(first, first + plan.n_tables)) <= read


def test_constants_are_free_where_they_can_be():
    assert counter((), 6, 3, "luts").n_tables == 0
    assert counter((2,), 1, 2, "gates").n_tables == 0
    assert counter((1,), 1, 2, "gates").n_tables == 0
    assert counter((1, 1), 1, 2, "luts").n_tables == counter((1, 1), 0, 2, "luts").n_tables
    assert counter((-1,), 0, 2, "luts").score == (2, 2)


def test_plan_folds():
    plan = Plan(2)
    assert plan.table(8, 2, 0) == 0
    assert plan.table(8, 2, 1) == 2
    assert plan.table(6, 1, 4) == 5
    assert plan.table(8, 3, 5) == 6
    assert plan.init == [1]  # NOR
    assert plan.table(0b1100, 2, 4) == 2


def test_popcount_cost():
    net = NetlistBuilder(8).build(
        [2, 4, 6, 8, 10, 12, 14, 16, 2],
        head=Head([0, 7, 9], [1] * 7 + [3, 1], [0, 0]),
    )
    cost = popcount_cost(net)
    assert (cost.n_bits, cost.n_added) == (9, 10)
    width = 3
    for form, total in (("gates", cost.two_input_gates), ("luts", cost.luts4)):
        each = [counter((1,) * 7, 0, width, form), counter((3, 1), 0, width, form)]
        assert total == sum(plan.n_tables for plan in each)
    assert cost.gates_per_bit == cost.two_input_gates / 9
    assert cost.luts4_per_bit == cost.luts4 / 9


def test_popcount_cost_of_plain_circuit():
    cost = popcount_cost(NetlistBuilder(1).build([2]))
    assert (cost.two_input_gates, cost.luts4) == (0, 0)
