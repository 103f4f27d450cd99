"""Closures against all choices of small graphs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.passes.closure import Closure


def value_of(chosen, arcs, values) -> int | None:
    """Gain less cost of a choice; None where it is not closed."""
    if any(chosen[a] and not chosen[b] for a, b in arcs):
        return None
    return sum(value for value, is_in in zip(values, chosen, strict=True) if is_in)


@pytest.mark.parametrize("seed", range(30))
def test_no_choice_is_better_and_no_smaller_one_as_good(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 9
    arcs = [(int(a), int(b)) for a, b in rng.integers(0, n, (14, 2)) if a != b]
    arcs += arcs[:2]
    values = rng.integers(-4, 5, n).tolist()
    closure = Closure(4)
    assert closure.add(n - 4) == 4
    tail, head = np.array(arcs).T
    closure.implies(tail, head)
    for node, value in enumerate(values):
        (closure.gain if value > 0 else closure.cost)(np.array([node]), np.array([abs(value)]))
    chosen = closure.solve()
    all_choices = list(itertools.product([False, True], repeat=n))
    rated = [(value_of(choice, arcs, values), choice) for choice in all_choices]
    best = max(value for value, _ in rated if value is not None)
    assert value_of(chosen.tolist(), arcs, values) == best
    smallest = min(sum(choice) for value, choice in rated if value == best)
    assert chosen.sum() == smallest


def test_several_gains_and_costs_of_a_node_add_up() -> None:
    closure = Closure(2)
    closure.implies(np.array([0]), np.array([1]))
    closure.gain(np.array([0, 0]), np.array([2, 2]))
    closure.cost(np.array([1]), np.array([3]))
    assert closure.solve().tolist() == [True, True]
    closure.cost(np.array([0]), np.array([1]))
    assert closure.solve().tolist() == [False, False]


def test_the_same_implication_many_times_is_one() -> None:
    for n_times in range(1, 9):
        closure = Closure(2)
        closure.implies(np.zeros(n_times, np.int64), np.ones(n_times, np.int64))
        closure.gain(np.array([0]), np.array([2]))
        closure.cost(np.array([1]), np.array([3]))
        assert closure.solve().tolist() == [False, False]


def test_gains_beyond_what_the_cut_counts_are_refused() -> None:
    closure = Closure(2)
    closure.gain(np.array([0, 1]), np.array([2**28, 2**28 - 1]))
    assert closure.solve().tolist() == [True, True]
    closure.gain(np.array([0]), np.array([1]))
    with pytest.raises(InputError, match="fewer ranks"):
        closure.solve()


def test_an_empty_graph() -> None:
    assert Closure(0).solve().shape == (0,)
    assert Closure(3).solve().tolist() == [False] * 3
