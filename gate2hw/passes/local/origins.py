"""Which neuron a gate that a tool made stands for: origins found again by simulation."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import node_words, random_words

__all__ = ["restore_origins", "signatures"]

N_WORDS: Final = 8
Words: TypeAlias = npt.NDArray[np.uint64]


def signatures(value: Words, seed: int = 0) -> Words:
    """(N,) uint64 hashes of the rows of (N, W) values; a row and its complement have the same.

    Constant rows have 0.
    """
    rng = np.random.default_rng(seed)
    factor: Words = rng.integers(0, 2**64, size=(value.shape[1],), dtype=np.uint64) | np.uint64(1)
    result: Words = np.zeros(len(value), np.uint64)
    flip = np.uint64(0) - (value[:, 0] & np.uint64(1))
    for word in range(value.shape[1]):
        mixed = (value[:, word] ^ flip) * factor[word]
        result += mixed ^ (mixed >> np.uint64(31))
        result *= np.uint64(0x9E37_79B9_7F4A_7C15)
    return result


def _spread(net: Netlist, origin: npt.NDArray[np.int32]) -> None:
    """Fill gaps in `origin` (n_nodes,), in place, from what a gate reads, then from a reader."""
    first, operands = net.first_gate, (net.in0, net.in1)
    for start, stop in net.levels():
        of_gate = origin[first + start : first + stop]
        for column in operands:
            np.copyto(of_gate, origin[column[start:stop]], where=of_gate < 0)
    for start, stop in reversed(list(net.levels())):
        of_gate = origin[first + start : first + stop]
        for column in operands:
            read = column[start:stop]
            gap = (origin[read] < 0) & (read >= first)
            origin[read[gap]] = of_gate[gap]


def restore_origins(before: Netlist, after: Netlist, *, seed: int = 0) -> Netlist:
    """Return `after` with an origin at each gate that has none; the same object if none is found.

    `after` has the inputs of `before`. A gate gets the site of the lowest gate of `before` with
    the same or the complement function (on 512 random inputs, legal codes where there is an
    encoder), else that of a gate that it reads, else of one that reads it. Sites are those of
    `before`; origins that `after` has are kept.
    """
    if not after.n_gates or (after.origin >= 0).all() or not (before.origin >= 0).any():
        return after
    words = random_words(before, N_WORDS, np.random.default_rng(seed))
    old = signatures(node_words(before, words)[before.first_gate :])
    known = np.flatnonzero(before.origin >= 0)
    value, place = np.unique(old[known], return_index=True)
    gaps = np.flatnonzero(after.origin < 0)
    new = signatures(node_words(after, words)[after.first_gate :])[gaps]
    found = np.minimum(np.searchsorted(value, new), len(value) - 1)
    origin = np.full(after.n_nodes, -1, np.int32)
    origin[after.first_gate :] = after.origin
    origin[after.first_gate + gaps] = np.where(
        value[found] == new, before.origin[known[place[found]]], np.int32(-1)
    )
    _spread(after, origin)
    return after.with_(origin=origin[after.first_gate :], sites=before.sites)
