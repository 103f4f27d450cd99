"""Seeded random wiring in which every signal is used equally often.

The generator is numpy's PCG64, so that wiring does not depend on the version of torch. Balanced
wiring leaves no signal unread where there are slots enough, which plain random choice does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError

__all__ = ["balanced_leaves", "balanced_pairs", "balanced_slots"]


def balanced_slots(n_slots: int, n_signals: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n_slots,) int64 in random order; each of `n_signals` numbers occurs equally often, +-1."""
    rounds = [rng.permutation(n_signals) for _ in range(-(-n_slots // n_signals))]
    return np.concatenate(rounds)[:n_slots].astype(np.int64)


def _repair(pairs: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Exchange second inputs, in place, until no row of `pairs` (N, 2) reads one signal twice."""
    n_pairs = len(pairs)
    for row in np.flatnonzero(pairs[:, 0] == pairs[:, 1]).tolist():
        for other in rng.permutation(n_pairs).tolist():
            ours, theirs = pairs[row, 1], pairs[other, 1]
            if theirs != pairs[row, 0] and ours != pairs[other, 0]:
                pairs[row, 1], pairs[other, 1] = theirs, ours
                break


def balanced_pairs(n_gates: int, n_signals: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n_gates, 2) int64: two different signals for each gate, all used equally often, +-1.

    Raises InputError if there are fewer than two signals.
    """
    if n_signals < 2:
        raise InputError(f"a gate reads two different signals, but there is only {n_signals}")
    pairs = balanced_slots(2 * n_gates, n_signals, rng).reshape(2, n_gates).T.copy()
    _repair(pairs, rng)
    clash = pairs[:, 0] == pairs[:, 1]
    if clash.any():  # only where very few gates leave no partner to exchange with
        pairs[clash, 1] = (pairs[clash, 0] + 1) % n_signals
    return pairs


def balanced_leaves(
    n_kernels: int,
    n_leaves: int,
    *,
    n_channels: int,
    field: tuple[int, int],
    channels_per_tree: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """(n_kernels, n_leaves, 3) int32 (channel, row, column) of the leaves of each tree.

    A tree draws its leaves from `field` over `channels_per_tree` channels (arXiv 2411.04732,
    section 3.1), without repetition while the places last; channels are used equally often.
    Raises InputError if a receptive field has fewer than two places.
    """
    per_tree = min(channels_per_tree, n_channels)
    places = per_tree * field[0] * field[1]
    if places < 2:
        raise InputError(
            f"a receptive field {field} over {per_tree} channel(s) has one place; a gate needs two"
        )
    channels = _channels_of_trees(n_kernels, per_tree, n_channels, rng)
    leaves = np.empty((n_kernels, n_leaves, 3), np.int32)
    for kernel in range(n_kernels):
        pairs = balanced_pairs(n_leaves // 2, places, rng)
        channel, place = np.divmod(pairs.reshape(-1), field[0] * field[1])
        leaves[kernel, :, 0] = channels[kernel, channel]
        leaves[kernel, :, 1], leaves[kernel, :, 2] = np.divmod(place, field[1])
    return leaves


def _channels_of_trees(
    n_kernels: int, per_tree: int, n_channels: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n_kernels, per_tree) int64: different channels within a tree, used equally often, +-1."""
    used = np.zeros(n_channels, np.int64)
    result = np.empty((n_kernels, per_tree), np.int64)
    for kernel in range(n_kernels):
        least_used_first = np.lexsort((rng.random(n_channels), used))
        result[kernel] = least_used_first[:per_tree]
        used[result[kernel]] += 1
    return result
