"""strash: gates that compute the same function of the same nodes become one.

On a netlist in normal form complement-equal gates coincide as well: their difference is in the
literals that read them. Merging can make gates above equal inputs (x op x): `fold` sees to those.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist
from gate2hw.passes.rewrite import Rewrite

__all__ = ["strash"]

KEY_NODES = 2**30
"""Up to so many nodes (tt, in0, in1) fits one 64-bit key; beyond, three columns are sorted."""


def _sorted_groups(
    tt: npt.NDArray[np.uint8], in0: npt.NDArray[np.int32], in1: npt.NDArray[np.int32], n_nodes: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Order (n,) that brings equal gates together, and where in it each group starts."""
    if n_nodes <= KEY_NODES:
        key = in0.astype(np.uint64)
        key <<= np.uint64(30)
        key |= in1.astype(np.uint64)
        key <<= np.uint64(4)
        key |= tt
        order = np.argsort(key)
        key = key[order]
        differs = key[1:] != key[:-1]
    else:
        order = np.lexsort((tt, in1, in0))
        differs = np.zeros(len(order) - 1, np.bool_)
        for column in (tt, in0, in1):
            ranked = column[order]
            differs |= ranked[1:] != ranked[:-1]
    return order, np.flatnonzero(np.concatenate([[True], differs]))


def strash(net: Netlist) -> Netlist:
    """Return `net` with equal gates merged into the lowest of them; the same object if none are.

    Inputs are ordered first (in0 <= in1), so that f(a, b) meets its mirror image. Equal gates are
    always in the same level. Dead gates stay.
    """
    work = Rewrite(net)
    for start, stop in net.levels():
        work.resolve(start, stop)
        order, groups = _sorted_groups(
            work.tt[start:stop], work.in0[start:stop], work.in1[start:stop], net.n_nodes
        )
        if len(groups) == stop - start:
            continue
        lowest = np.minimum.reduceat(order, groups)
        sizes = np.diff(np.append(groups, stop - start))
        first_node = net.first_gate + start
        work.lit[first_node + order] = 2 * (first_node + np.repeat(lowest, sizes))
    return work.finish()
