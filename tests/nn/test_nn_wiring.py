"""Wiring: balanced, no gate reads one signal twice, reproducible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.errors import InputError
from gate2hw.nn.wiring import balanced_leaves, balanced_pairs


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
