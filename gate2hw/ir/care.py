"""The care set of the encoder: bit t+1 of a feature implies bit t (DESIGN.md, part 4).

A netlist with an encoder only ever sees thermometer codes. What an optimisation may take from that
is stated here once: which input implies which, and the prefix that lets a prover range over
exactly the legal codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import TT_OR
from gate2hw.ir.netlist import Encoder, Netlist

__all__ = ["CARE_SETS", "CareSet", "Implications", "check_care", "implications", "legalised"]

CareSet: TypeAlias = Literal["thermometer", "none"]
CARE_SETS = ("thermometer", "none")


def check_care(care: str) -> CareSet:
    """Return `care` if it is a care set; InputError if not."""
    match care:
        case "thermometer" | "none":
            return care
    raise InputError(f"care set {care!r} is unknown; {nearest(care, CARE_SETS)}")


@dataclass(frozen=True)
class Implications:
    """How the inputs imply each other.

    `feature` and `threshold` (I,) int32 are the encoder's: input i implies input j exactly if they
    are of one feature and ``threshold[i] >= threshold[j]``. `above` (I,) int64 is the input
    (number, from 0) with the next higher threshold of the same feature, -1 for the highest.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.int32]
    above: npt.NDArray[np.int64]

    def implies(self, i: npt.NDArray[np.int64], j: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether input i (number from 0) implies input j; broadcasts."""
        same = self.feature[i] == self.feature[j]
        result: npt.NDArray[np.bool_] = same & (self.threshold[i] >= self.threshold[j])
        return result


def implications(encoder: Encoder) -> Implications:
    """The implications among the bits of `encoder`, whose thresholds rise within a feature."""
    order = np.argsort(encoder.feature, kind="stable")
    feature = encoder.feature[order]
    same = feature[1:] == feature[:-1]
    above = np.full(len(order), -1, np.int64)
    above[order[:-1][same]] = order[1:][same]
    return Implications(encoder.feature, encoder.threshold, above)


def legalised(net: Netlist) -> Netlist:
    """`net` behind the prefix ``t'[i] = y[i] OR t'[i+1]`` over free inputs y, as many as before.

    The prefix reaches exactly the legal codes of each feature: two netlists are equal on legal
    codes if and only if their legalised forms are equal. A legal code is its own y. Returns `net`
    itself where it has no encoder. The result has no encoder: its inputs are free.
    """
    if net.encoder is None:
        return net
    above = implications(net.encoder).above
    first = net.first_gate
    pending = np.flatnonzero(above >= 0)
    is_done = above < 0
    order: list[npt.NDArray[np.int64]] = []
    while len(pending):
        ready = pending[is_done[above[pending]]]
        order.append(ready)
        is_done[ready] = True
        pending = pending[~is_done[pending]]
    gates = np.concatenate([*order, np.zeros(0, np.int64)])
    legal = np.arange(1, first, dtype=np.int64)
    legal[gates] = first + np.arange(len(gates))
    node = np.arange(net.n_nodes, dtype=np.int64)
    node[1:first] = legal
    node[first:] += len(gates)
    blocks = np.cumsum([0, *(len(ready) for ready in order)])
    return from_columns(
        net.n_inputs,
        np.concatenate([np.full(len(gates), TT_OR, np.uint8), net.tt]),
        np.concatenate([1 + gates, node[net.in0]]).astype(np.int32),
        np.concatenate([legal[above[gates]], node[net.in1]]).astype(np.int32),
        (node[net.outputs >> 1] << 1) | (net.outputs & 1),
        head=net.head,
        names=net.names,
        digest=net.digest,
        block_ptr=np.concatenate([blocks, len(gates) + net.level_ptr[1:]]),
    )
