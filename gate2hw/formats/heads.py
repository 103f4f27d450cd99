"""Heads for files that can only sum: weights as repetition, negative weights as complements."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Head, Netlist

__all__ = ["unit_weights"]

MAX_SUMMED: Final = 50_000_000
"""Most summed bits that weights are written out to."""


def unit_weights(net: Netlist) -> tuple[npt.NDArray[np.int64], Head]:
    """Outputs and a head of weights 1 that give the scores of `net`.

    ``w * x`` becomes w times x, and ``-w * x`` w times ``~x`` with -w in the bias. Raises
    InputError where that takes more than 50 million bits.
    """
    weight = net.head.weight.astype(np.int64)
    total = int(np.abs(weight).sum())
    if total > MAX_SUMMED:
        raise InputError(
            f"the weights of the head would be written out as {total:,} summed bits, more than "
            f"{MAX_SUMMED:,}; keep the netlist as .npz"
        )
    literal = net.outputs ^ (weight < 0)
    outputs = np.repeat(literal, np.abs(weight))
    stop = np.concatenate([[0], np.cumsum(np.abs(weight))])
    below = np.concatenate([[0], np.cumsum(np.minimum(weight, 0))])
    ptr = net.head.group_ptr
    bias = net.head.bias + below[ptr[1:]] - below[ptr[:-1]]
    return outputs, Head(stop[ptr], np.ones(len(outputs), np.int32), bias)
