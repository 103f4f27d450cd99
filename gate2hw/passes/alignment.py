"""Which signals of two netlists must be equal for their scores to be equal.

A netlist with classes is compared output by output, and the arithmetic of the head apart, on
integers:

1. Where both heads are equal, output i is compared with output i.
2. Else popcount constants have moved into a bias. `align` guesses, for both sides, which outputs
   are constant (by reducing each netlist on its own), pairs the others class by class in order,
   and *every guess becomes an obligation*: a pair must be equal, a guessed constant must equal
   that constant. On integers, the weights of a pair must agree, and bias plus weighted constants
   of each class must agree on both sides.

If all obligations hold, all scores are equal: each is a bias, plus weighted constants, plus
weighted pairs. Nothing of the guess is trusted; a wrong one can only fail to prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Head, Netlist
from gate2hw.passes.fold import fold
from gate2hw.passes.strash import strash

__all__ = ["Alignment", "align"]

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Alignment:
    """Obligations: literal `a[p]` of one netlist equals literal `b[p]` of the other, (P,) int64.

    The literals 0 and 1 are constants. Equal scores follow, see the module's text.
    """

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]


def _reduced_outputs(net: Netlist) -> npt.NDArray[np.int64]:
    """(O,) int64 output literals after folding and hashing to a fixed point."""
    while True:
        before = net
        net = fold(strash(fold(net)))
        if net is before:
            return net.outputs


def _class_of(net: Netlist) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(net.n_classes), np.diff(net.head.group_ptr))


def _fixed_part(net: Netlist, constant: Bits, value: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(C,) int64: bias plus the weighted outputs that are taken as constant."""
    fixed = net.head.bias.copy()
    terms = value[constant] * net.head.weight[constant].astype(np.int64)
    np.add.at(fixed, _class_of(net)[constant], terms)
    return fixed


def _same_head(a: Head, b: Head) -> bool:
    return all(
        np.array_equal(getattr(a, key), getattr(b, key)) for key in ("group_ptr", "weight", "bias")
    )


def align(a: Netlist, b: Netlist) -> Alignment | None:
    """Obligations that imply equal scores (or outputs) of `a` and `b`; None if none were found."""
    if _same_head(a.head, b.head):
        return Alignment(a.outputs, b.outputs)
    if a.n_classes == 0 or a.n_classes != b.n_classes:
        return None
    value_a, value_b = _reduced_outputs(a), _reduced_outputs(b)
    const_a, const_b = value_a <= 1, value_b <= 1
    class_a, class_b = _class_of(a)[~const_a], _class_of(b)[~const_b]
    is_sound = (
        np.array_equal(class_a, class_b)
        and np.array_equal(a.head.weight[~const_a], b.head.weight[~const_b])
        and np.array_equal(_fixed_part(a, const_a, value_a), _fixed_part(b, const_b, value_b))
    )
    if not is_sound:
        return None
    return Alignment(
        np.concatenate([a.outputs[~const_a], a.outputs[const_a], value_b[const_b]]),
        np.concatenate([b.outputs[~const_b], value_a[const_a], b.outputs[const_b]]),
    )
