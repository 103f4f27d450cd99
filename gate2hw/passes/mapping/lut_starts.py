"""Other structures of one circuit for the mapper: the outputs of a netlist among those of another.

What makes fewer gates may make more LUTs: sharing and rewriting hide the cones that a LUT could
swallow. A netlist from before such passes is another place to start from, if its outputs are known
to be those that are wanted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.care import CareSet
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.proof.proof_window import side_by_side
from gate2hw.passes.proof.sat_pairs import swept_outputs

__all__ = ["located"]


def located(
    net: Netlist, other: Netlist, *, care: CareSet, timeout_s: float
) -> npt.NDArray[np.int64] | None:
    """(O,) int64 literals of `other` that compute the outputs of `net`; None if one is missing.

    Each is an output of `other`, maybe complemented, that ABC proves equal to that of `net` (on
    legal codes with care "thermometer"); None too where ABC fails or does not end in `timeout_s`
    seconds, as nothing depends on a start. Raises InputError for another number of inputs,
    ToolMissingError where there is no ABC.
    """
    if other.n_inputs != net.n_inputs:
        raise InputError(
            f"a start has {other.n_inputs} inputs, the netlist that is mapped {net.n_inputs}"
        )
    theirs = np.unique(np.append(other.outputs >> 1, 0))
    ours, place = np.unique(net.outputs >> 1, return_inverse=True)
    shifted = np.where(ours < net.first_gate, ours, ours + other.n_gates)
    joint = side_by_side(other, net, 2 * np.concatenate([theirs, shifted]))
    if timeout_s <= 0:
        return None
    try:
        swept = swept_outputs(joint.with_(encoder=net.encoder), care=care, timeout_s=timeout_s)
    except (ToolTimeoutError, ToolFailedError):
        return None
    swept_theirs, swept_ours = np.split(swept, [len(theirs)])
    number, first = np.unique(swept_theirs >> 1, return_index=True)
    at = np.minimum(np.searchsorted(number, swept_ours >> 1), len(number) - 1)
    if (number[at] != swept_ours >> 1).any():
        return None
    twin = first[at]
    literal = 2 * theirs[twin] + ((swept_theirs[twin] ^ swept_ours) & 1)
    result: npt.NDArray[np.int64] = literal[place] ^ (net.outputs & 1)
    return result
