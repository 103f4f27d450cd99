"""Which signals of two netlists must be equal for their scores to be equal.

The arithmetic of the head never goes to a prover. A guess says which signals are equal, *every
guess becomes an obligation*, and given the obligations, equality of scores is checked on integers
here. Nothing of a guess is trusted; a wrong one can only fail to prove. Three guesses, in order:

1. Equal heads: output i of one side is output i of the other.
2. Popcount constants have moved into a bias: outputs that each side on its own reduces to a
   constant are that constant, the others pair up class by class in order.
3. Anything else (`matching`): signals merged, dropped, reordered, counted complemented. What is
   equal by structure is known, or what the caller has a better means to tell.

A guess that simulation contradicts is passed over. With `relative` only the differences of scores
between classes must be equal, as where nothing but the class leaves the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.care import CareSet
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.passes.proof.matching import Patterns, Reduce, match
from gate2hw.passes.proof.matching import reduced_outputs as _reduced_outputs

__all__ = ["Alignment", "align", "score_difference_form"]

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Alignment:
    """Obligations: literal `a[p]` of `net_a` equals literal `b[p]` of `net_b`, (P,) int64.

    The literals 0 and 1 are constants. `net_a` and `net_b` are the two netlists, or these and
    some XOR gates of their signals, where two signals of one side must be equal. Equal scores (or
    score differences) follow, see the module's text.
    """

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    net_a: Netlist
    net_b: Netlist


def score_difference_form(scores: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores less those of class 0: equal exactly if all score differences are."""
    return scores - scores[:, :1]


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


def _in_order(a: Netlist, b: Netlist, *, relative: bool) -> Alignment | None:
    """Guess 2: constants on both sides, the other outputs paired in order."""
    value_a, value_b = _reduced_outputs(a), _reduced_outputs(b)
    const_a, const_b = value_a <= 1, value_b <= 1
    class_a, class_b = _class_of(a)[~const_a], _class_of(b)[~const_b]
    if not np.array_equal(class_a, class_b):
        return None
    moved = _fixed_part(a, const_a, value_a) - _fixed_part(b, const_b, value_b)
    if relative:
        moved -= moved[0]
    if moved.any() or not np.array_equal(a.head.weight[~const_a], b.head.weight[~const_b]):
        return None
    return Alignment(
        np.concatenate([a.outputs[~const_a], a.outputs[const_a], value_b[const_b]]),
        np.concatenate([b.outputs[~const_b], value_a[const_a], b.outputs[const_b]]),
        a,
        b,
    )


def align(
    a: Netlist,
    b: Netlist,
    *,
    relative: bool = False,
    care: CareSet = "thermometer",
    patterns: Bits | None = None,
    may_extend: bool = False,
    reduce: Reduce = _reduced_outputs,
) -> Alignment | None:
    """Obligations that imply equal scores (or outputs) of `a` and `b`; None if none were found.

    With `relative`, they imply equal differences of scores between classes. Guesses are made on
    legal codes of the encoder, if there is one, unless `care` is ``"none"``; `patterns`
    (N, n_inputs) bool are more inputs to tell signals apart by, such as the counter-examples of
    an obligation that failed. Only with `may_extend` are XOR gates added, that is, `net_a` and
    `net_b` others than the two netlists. `reduce` says which of the signals that the heads count
    are equal, for guess 3.
    """
    in_place = Alignment(a.outputs, b.outputs, a, b) if _same_head(a.head, b.head) else None
    if a.n_classes == 0 or a.n_classes != b.n_classes:
        return in_place
    inputs = Patterns(a, care, patterns)
    guess = in_place or _in_order(a, b, relative=relative)
    if guess is not None and inputs.agree(a, guess.a, b, guess.b):
        return guess
    matched = match(a, b, inputs, relative=relative, reduce=reduce)
    if matched is None:
        return guess
    found = Alignment(*matched)
    is_extended = found.net_a is not a or found.net_b is not b
    return guess if is_extended and not may_extend else found
