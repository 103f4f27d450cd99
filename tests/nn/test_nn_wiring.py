"""Wiring: balanced, no gate reads one signal twice, reproducible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.errors import InputError
from gate2hw.nn.wiring import (
    balanced_leaves,
    balanced_pairs,
    balanced_rows,
    candidate_leaves,
    local_leaves,
    local_pairs,
    random_leaves,
    random_pairs,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(2, 100), st.integers(0, 99))
def test_pairs_are_balanced_and_never_equal(n_gates: int, n_signals: int, seed: int) -> None:
    pairs = balanced_pairs(n_gates, n_signals, np.random.default_rng(seed))
    assert pairs.shape == (n_gates, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    uses = np.bincount(pairs.ravel(), minlength=n_signals)
    assert len(uses) == n_signals
    # with a handful of gates, no exchange may exist and one use moves to a neighbour
    assert uses.max() - uses.min() <= (1 if n_gates > 3 else 2)


def test_pairs_are_reproducible() -> None:
    first, second, other = (
        balanced_pairs(50, 20, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_one_signal_is_refused() -> None:
    with pytest.raises(InputError, match="only 1"):
        balanced_pairs(3, 1, np.random.default_rng(0))


def test_leaves_lie_in_the_field_of_few_channels() -> None:
    rng = np.random.default_rng(3)
    leaves = balanced_leaves(40, 8, n_channels=10, field=(3, 2), channels_per_tree=2, rng=rng)
    assert leaves.shape == (40, 8, 3)
    assert (leaves >= 0).all()
    assert (leaves < [10, 3, 2]).all()
    channels = [np.unique(tree[:, 0]) for tree in leaves]
    assert max(map(len, channels)) == 2
    uses = np.bincount(np.concatenate(channels), minlength=10)
    assert uses.sum() == 80
    assert uses.max() == uses.min() == 8
    pairs = leaves.reshape(40, 4, 2, 3)
    assert (pairs[:, :, 0] != pairs[:, :, 1]).any(axis=-1).all()
    for tree in leaves:
        assert len({tuple(leaf) for leaf in tree.tolist()}) == 8


def test_a_field_of_one_place_is_refused() -> None:
    with pytest.raises(InputError, match="has one place"):
        balanced_leaves(
            2, 2, n_channels=3, field=(1, 1), channels_per_tree=1, rng=np.random.default_rng(0)
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 12), st.integers(0, 60), st.integers(0, 99))
def test_rows_are_balanced_and_hold_no_signal_twice(n_rows, row, more, seed) -> None:
    rows = balanced_rows(n_rows, row, row + more, np.random.default_rng(seed))
    assert rows.shape == (n_rows, row)
    assert all(len(set(signals)) == row for signals in rows.tolist())
    uses = np.bincount(rows.ravel(), minlength=row + more)
    assert uses.max() - uses.min() <= 1


def test_random_pairs_differ_and_reach_everything() -> None:
    pairs = random_pairs(3000, 7, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs @ [7, 1], minlength=49).reshape(7, 7)
    assert (counts + np.eye(7, dtype=int) > 0).all()
    assert np.bincount(pairs.ravel()).max() - np.bincount(pairs.ravel()).min() > 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 6), st.integers(1, 3))
def test_local_pairs_are_near_and_first_inputs_balanced(channels, height, width, reach) -> None:
    shape = (channels, height, width)
    pairs = local_pairs(200, shape, reach, np.random.default_rng(1))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    _, row, column = np.unravel_index(pairs, shape)
    for place in (row, column):
        assert np.abs(place[:, 0] - place[:, 1]).max() <= reach
    uses = np.bincount(pairs[:, 0], minlength=channels * height * width)
    assert uses.max() - uses.min() <= 1


def test_other_leaves_lie_in_the_field_too() -> None:
    tree = {"n_channels": 9, "field": (4, 3), "channels_per_tree": 2}
    random = random_leaves(30, 8, rng=np.random.default_rng(0), **tree)
    local = local_leaves(30, 8, reach=1, rng=np.random.default_rng(0), **tree)
    for leaves in (random, local):
        assert leaves.shape == (30, 8, 3)
        assert leaves.dtype == np.int32
        assert (leaves >= 0).all()
        assert (leaves < [9, 4, 3]).all()
        assert max(len(set(channels)) for channels in leaves[:, :, 0].tolist()) == 2
        pairs = leaves.reshape(30, 4, 2, 3)
        assert (pairs[:, :, 0] != pairs[:, :, 1]).any(2).all()
    steps = np.abs(np.diff(local.reshape(30, 4, 2, 3), axis=2))[..., 1:]
    assert steps.max() == 1
    assert np.abs(np.diff(random.reshape(30, 4, 2, 3), axis=2))[..., 1:].max() == 3


def test_candidates_of_a_gate_all_differ() -> None:
    tree = {"n_channels": 5, "field": (3, 3), "channels_per_tree": 2}
    leaves = candidate_leaves(20, 4, 9, rng=np.random.default_rng(0), **tree)
    assert leaves.shape == (20, 4, 9, 3)
    for gate in leaves.reshape(40, 18, 3).tolist():
        assert len({tuple(place) for place in gate}) == 18
    with pytest.raises(InputError, match="allowed are 9"):
        candidate_leaves(20, 4, 10, rng=np.random.default_rng(0), **tree)


def test_wiring_that_cannot_be_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="only 1"):
        random_pairs(3, 1, rng)
    with pytest.raises(InputError, match="6 different signals are asked for"):
        balanced_rows(3, 6, 5, rng)
    with pytest.raises(InputError, match=r"reads a map .* has shape \(40,\)"):
        local_pairs(3, (40,), 1, rng)
    with pytest.raises(InputError, match="only 1"):
        local_pairs(3, (1, 1, 1), 1, rng)
    with pytest.raises(InputError, match="has one place"):
        random_leaves(2, 2, n_channels=3, field=(1, 1), channels_per_tree=1, rng=rng)
