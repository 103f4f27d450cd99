"""strash: gates that compute the same function of the same nodes become one.

On a netlist in normal form complement-equal gates coincide as well: their difference is in the
literals that read them. Merging can make gates above equal inputs (x op x): `fold` sees to those.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.rewrite import Rewrite

__all__ = ["strash"]

Order: TypeAlias = npt.NDArray[np.int64]

KEY_NODES = 2**30
"""Up to so many nodes (tt, in0, in1) fits one 64-bit key; beyond, three columns are sorted."""

_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2**64 over the golden ratio: multiplied by it, the high bits depend on all bits below."""


def _keys(
    tt: npt.NDArray[np.uint8], in0: npt.NDArray[np.int32], in1: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint64]:
    """(n,) uint64: one number for each (tt, in0, in1), of ids below 2**30."""
    key = in0.astype(np.uint64)
    key <<= np.uint64(30)
    key |= in1.astype(np.uint64)
    key <<= np.uint64(4)
    key |= tt
    return key


def _hashed_order(key: npt.NDArray[np.uint64]) -> tuple[Order, npt.NDArray[np.bool_]] | None:
    """As `_grouped`, but by a hash of the key above the place; None where two hashes collide.

    Sorting numbers alone is several times as fast as sorting places by numbers.
    """
    n_bits = np.uint64(max(1, (len(key) - 1).bit_length()))
    place = np.arange(len(key), dtype=np.uint64)
    tagged = ((key * _ODD) >> n_bits << n_bits) | place
    tagged.sort()
    same = tagged[1:] >> n_bits == tagged[:-1] >> n_bits
    order = (tagged & ((np.uint64(1) << n_bits) - np.uint64(1))).astype(np.int64)
    at = np.flatnonzero(same)
    if (key[order[at]] != key[order[at + 1]]).any():
        return None
    return order, same


def _grouped(
    tt: npt.NDArray[np.uint8], in0: npt.NDArray[np.int32], in1: npt.NDArray[np.int32], n_nodes: int
) -> tuple[Order, npt.NDArray[np.bool_]]:
    """Order (n,) that brings equal gates together, the lowest first, and (n - 1,) bool: whether a
    gate equals the one before it in that order."""
    if n_nodes <= KEY_NODES:
        key = _keys(tt, in0, in1)
        found = _hashed_order(key)
        if found is not None:
            return found
        order = np.argsort(key, kind="stable")
        key = key[order]
        return order, key[1:] == key[:-1]
    order = np.lexsort((tt, in1, in0))
    same = np.ones(len(order) - 1, np.bool_)
    for column in (tt, in0, in1):
        ranked = column[order]
        same &= ranked[1:] == ranked[:-1]
    return order, same


def strash(net: Netlist) -> Netlist:
    """Return `net` with equal gates merged into the lowest of them; the same object if none are.

    Inputs are ordered first (in0 <= in1), so that f(a, b) meets its mirror image. Equal gates are
    always in the same level. Dead gates stay.
    """
    work = Rewrite(net)
    for start, stop in net.levels():
        work.resolve(start, stop)
        order, same = _grouped(
            work.tt[start:stop], work.in0[start:stop], work.in1[start:stop], net.n_nodes
        )
        twice = 1 + np.flatnonzero(same)
        if not len(twice):
            continue
        # the place in the order of the first gate of each group, for all of its gates
        lead = np.arange(stop - start)
        lead[twice] = 0
        np.maximum.accumulate(lead, out=lead)
        first_node = net.first_gate + start
        work.lit[first_node + order[twice]] = 2 * (first_node + order[lead[twice]])
    return work.finish()
