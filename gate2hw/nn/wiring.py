"""Seeded wiring: degree-balanced, random, local, and the candidates of learned wiring.

The generator is numpy's PCG64, so that wiring does not depend on the version of torch. Balanced
wiring leaves no signal unread where there are slots enough, which plain random choice does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError

__all__ = [
    "balanced_leaves",
    "balanced_pairs",
    "balanced_rows",
    "balanced_slots",
    "candidate_leaves",
    "local_leaves",
    "local_pairs",
    "random_leaves",
    "random_pairs",
]


def balanced_slots(n_slots: int, n_signals: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n_slots,) int64 in random order; each of `n_signals` numbers occurs equally often, +-1."""
    rounds = [rng.permutation(n_signals) for _ in range(-(-n_slots // n_signals))]
    return np.concatenate(rounds)[:n_slots].astype(np.int64)


def _check_two(n_signals: int) -> None:
    """Raise InputError where there are fewer signals than a gate reads."""
    if n_signals < 2:
        raise InputError(f"a gate reads two different signals, but there is only {n_signals}")


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
    _check_two(n_signals)
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
    per_tree = _per_tree(n_channels, field, channels_per_tree)
    places = per_tree * field[0] * field[1]
    channels = _channels_of_trees(n_kernels, per_tree, n_channels, rng)
    pairs = [balanced_pairs(n_leaves // 2, places, rng).reshape(-1) for _ in range(n_kernels)]
    return _leaves(np.stack(pairs), channels, field)


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


def random_pairs(n_gates: int, n_signals: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n_gates, 2) int64: two different signals for each gate, drawn independently.

    Raises InputError if there are fewer than two signals.
    """
    _check_two(n_signals)
    first = rng.integers(0, n_signals, n_gates)
    second = (first + rng.integers(1, n_signals, n_gates)) % n_signals
    return np.stack([first, second], 1)


def balanced_rows(
    n_rows: int, row: int, n_signals: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n_rows, row) int64: different signals within a row, all used equally often, +-1.

    Raises InputError if there are fewer signals than a row holds.
    """
    if n_signals < row:
        raise InputError(f"{row} different signals are asked for, but there are only {n_signals}")
    used = np.zeros(n_signals, np.int64)
    parts: list[npt.NDArray[np.int64]] = []
    missing = n_rows
    while missing > 0:
        least_used_first = np.lexsort((rng.random(n_signals), used))
        n_new = min(missing, n_signals // row)
        taken = least_used_first[: n_new * row]
        used[taken] += 1
        parts.append(rng.permutation(taken).reshape(n_new, row))
        missing -= n_new
    return np.concatenate(parts)


def local_pairs(
    n_gates: int, input_shape: tuple[int, ...], reach: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n_gates, 2) int64: two different signals of a (C, H, W) map at most `reach` pixels apart.

    First inputs are used equally often, +-1; the second is drawn evenly from the neighbourhood
    (rows and columns each within `reach`, any channel). Raises InputError for an input that is no
    map, or a map of one signal.
    """
    if len(input_shape) != 3:
        raise InputError(
            f"local wiring reads a map (channels, rows, columns), but the input has shape "
            f"{input_shape}; use it right behind the thermometer, a convolution or a pool"
        )
    n_channels, height, width = input_shape
    n_signals = n_channels * height * width
    _check_two(n_signals)
    first = balanced_slots(n_gates, n_signals, rng)
    _, row, column = np.unravel_index(first, input_shape)
    second = first.copy()
    while (clash := np.flatnonzero(second == first)).size:
        near = [rng.integers(0, n_channels, clash.size)]
        for place, size in ((row[clash], height), (column[clash], width)):
            low, high = np.maximum(place - reach, 0), np.minimum(place + reach, size - 1)
            near.append(rng.integers(low, high + 1))
        second[clash] = np.ravel_multi_index(tuple(near), input_shape)
    return np.stack([first, second], 1)


def _leaves(
    pairs: npt.NDArray[np.int64], channels: npt.NDArray[np.int64], field: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """(.., 3) int32 (channel, row, column) of places (..) in the field of each kernel's channels.

    `pairs` (K, ..) are numbers below ``channels.shape[1] * field area``, `channels` (K, n).
    """
    channel, place = np.divmod(pairs, field[0] * field[1])
    kernel = np.arange(len(pairs)).reshape(-1, *[1] * (pairs.ndim - 1))
    row, column = np.divmod(place, field[1])
    return np.stack([channels[kernel, channel], row, column], -1).astype(np.int32)


def random_leaves(
    n_kernels: int,
    n_leaves: int,
    *,
    n_channels: int,
    field: tuple[int, int],
    channels_per_tree: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """As `balanced_leaves`, but channels and places are drawn independently.

    The two leaves of a gate still differ. Raises InputError as `balanced_leaves` does.
    """
    per_tree = _per_tree(n_channels, field, channels_per_tree)
    channels = np.stack([rng.permutation(n_channels)[:per_tree] for _ in range(n_kernels)])
    pairs = random_pairs(n_kernels * n_leaves // 2, per_tree * field[0] * field[1], rng)
    return _leaves(pairs.reshape(n_kernels, n_leaves), channels, field)


def local_leaves(
    n_kernels: int,
    n_leaves: int,
    *,
    n_channels: int,
    field: tuple[int, int],
    channels_per_tree: int,
    reach: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """As `balanced_leaves`, but the two leaves of a gate are at most `reach` pixels apart.

    Raises InputError as `balanced_leaves` does.
    """
    per_tree = _per_tree(n_channels, field, channels_per_tree)
    channels = _channels_of_trees(n_kernels, per_tree, n_channels, rng)
    shape = (per_tree, *field)
    pairs = [local_pairs(n_leaves // 2, shape, reach, rng).reshape(-1) for _ in range(n_kernels)]
    return _leaves(np.stack(pairs), channels, field)


def candidate_leaves(
    n_kernels: int,
    n_leaves: int,
    n_candidates: int,
    *,
    n_channels: int,
    field: tuple[int, int],
    channels_per_tree: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """(n_kernels, n_leaves, n_candidates, 3) int32: where each leaf of a tree may be.

    The candidates of the two leaves of a gate all differ, so that no gate reads one place twice.
    Raises InputError if a field has fewer places than that takes.
    """
    per_tree = _per_tree(n_channels, field, channels_per_tree)
    places = per_tree * field[0] * field[1]
    if 2 * n_candidates > places:
        raise InputError(
            f"{n_candidates} candidates for each of a gate's two leaves are more than the {places} "
            f"places of a field {field} over {per_tree} channel(s); allowed are {places // 2}"
        )
    channels = _channels_of_trees(n_kernels, per_tree, n_channels, rng)
    rows = [
        balanced_rows(n_leaves // 2, 2 * n_candidates, places, rng).reshape(n_leaves, n_candidates)
        for _ in range(n_kernels)
    ]
    return _leaves(np.stack(rows), channels, field)


def _per_tree(n_channels: int, field: tuple[int, int], channels_per_tree: int) -> int:
    """Channels that a tree reads; InputError if its field has fewer than two places."""
    per_tree = min(channels_per_tree, n_channels)
    if per_tree * field[0] * field[1] < 2:
        raise InputError(
            f"a receptive field {field} over {per_tree} channel(s) has one place; a gate needs two"
        )
    return per_tree
