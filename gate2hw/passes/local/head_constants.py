"""head_constants: popcount inputs that never change move into the bias of their class.

An output that is the literal 1 adds its weight to the bias, one that is the literal 0 adds
nothing; neither is counted any more. torchlogix 0.2.2 loses that constant on the way to Verilog;
here the bias is part of the netlist.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Head, Netlist

__all__ = ["head_constants", "moved_bias"]

Ints = npt.NDArray[np.int64]
_BIASES = np.iinfo(np.int64)


def moved_bias(bias: Ints, moved: Ints) -> Ints:
    """(C,) int64 ``bias + moved``; InputError where a class needs more than 64 bits for it."""
    exact = [int(b) + int(m) for b, m in zip(bias, moved, strict=True)]
    for number, value in enumerate(exact):
        if not _BIASES.min <= value <= _BIASES.max:
            raise InputError(
                f"the bias of class {number} becomes {value}, which does not fit 64 bits; "
                "take the same amount off all biases"
            )
    return np.array(exact, np.int64)


def head_constants(net: Netlist) -> Netlist:
    """Return `net` without constant outputs; the same object if none are, or without classes.

    A class may be left with its bias alone. Raises InputError where a bias does not fit 64 bits.
    """
    is_constant = net.outputs <= 1
    if net.n_classes == 0 or not is_constant.any():
        return net
    head = net.head
    value = np.where(is_constant, net.outputs, 0) * head.weight.astype(np.int64)
    total = np.concatenate([[0], np.cumsum(value)])
    keep = ~is_constant
    position = np.concatenate([[0], np.cumsum(keep)])
    names = net.names
    if names.outputs:
        kept = tuple(names.outputs[o] for o in np.flatnonzero(keep).tolist())
        names = type(names)(names.inputs, kept, names.classes)
    return net.with_(
        outputs=net.outputs[keep],
        head=Head(
            position[head.group_ptr],
            head.weight[keep],
            moved_bias(head.bias, total[head.group_ptr[1:]] - total[head.group_ptr[:-1]]),
        ),
        names=names,
    )
