"""Proof that two netlists compute the same, on all input codes, by ABC `cec`.

Popcounts do not go to the SAT solver. A netlist with classes is compared output by output, and
the arithmetic of the head apart, on integers:

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

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, random_words, scores_of_bits, simulate, unpack
from gate2hw.passes.fold import fold
from gate2hw.passes.strash import strash
from gate2hw.tools.abc import cec

__all__ = ["Alignment", "Proof", "align", "prove_equal"]

Result: TypeAlias = Literal["equivalent", "different", "undecided"]
Bits: TypeAlias = npt.NDArray[np.bool_]

N_WORDS = 16


@dataclass(frozen=True)
class Proof:
    """A verdict; `counterexample` (I,) bool is an input on which scores or outputs differ.

    `method` says how the verdict was found, `n_obligations` how many pairs of signals were
    compared, `reason` why there is no verdict.
    """

    result: Result
    method: str
    counterexample: Bits | None
    time_s: float
    n_obligations: int = 0
    reason: str = ""


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


def _check_interface(a: Netlist, b: Netlist) -> None:
    if a.n_inputs != b.n_inputs:
        raise InputError(f"netlists of {a.n_inputs} and {b.n_inputs} inputs cannot be compared")
    if a.n_classes != b.n_classes:
        raise InputError(f"netlists of {a.n_classes} and {b.n_classes} classes cannot be compared")
    if a.n_classes == 0 and a.n_outputs != b.n_outputs:
        raise InputError(f"netlists of {a.n_outputs} and {b.n_outputs} outputs cannot be compared")
    if a.encoder is b.encoder:
        return
    if a.encoder is None or b.encoder is None:
        raise InputError("a netlist with an encoder and one without cannot be compared")
    same = (
        np.array_equal(a.encoder.feature, b.encoder.feature)
        and np.array_equal(a.encoder.threshold, b.encoder.threshold)
        and (a.encoder.shape, a.encoder.max_value) == (b.encoder.shape, b.encoder.max_value)
    )
    if not same:
        raise InputError("netlists with different encoders cannot be compared input by input")


def _circuit(net: Netlist, outputs: npt.NDArray[np.int64]) -> Netlist:
    """A plain circuit with the gates of `net` and other outputs."""
    names = Names(inputs=net.names.inputs)
    return net.with_(outputs=outputs, head=Head.none(len(outputs)), names=names)


def _differs(a: Netlist, b: Netlist, bits: Bits) -> npt.NDArray[np.int64]:
    """Numbers of the samples in `bits` (N, I) on which scores (or plain outputs) differ."""
    if a.n_classes:
        differs = scores_of_bits(a, bits) != scores_of_bits(b, bits)
    else:
        words = pack(bits)
        differs = unpack(simulate(a, words) ^ simulate(b, words), len(bits))
    return np.flatnonzero(differs.any(axis=1))


def prove_equal(
    a: Netlist, b: Netlist, *, work_dir: Path, timeout_s: float, seed: int = 0
) -> Proof:
    """Prove that `a` and `b` give equal scores (plain circuits: outputs) on all input codes.

    Random inputs are tried first; then the obligations of `align` go to ABC as `before.aig` and
    `after.aig` in `work_dir`. A counter-example is replayed on both netlists before it is
    believed: "different" always comes with an input on which the results differ. Where single
    outputs differ but the scores on that input do not, the verdict is "undecided".
    Raises InputError for different interfaces, ToolError where ABC is missing or fails.
    """
    _check_interface(a, b)
    clock = time.perf_counter()

    def verdict(
        result: Result, method: str, example: Bits | None = None, n: int = 0, reason: str = ""
    ) -> Proof:
        return Proof(result, method, example, time.perf_counter() - clock, n, reason)

    bits = unpack(random_words(a, N_WORDS, np.random.default_rng(seed)), 64 * N_WORDS)
    bad = _differs(a, b, bits)
    if len(bad):
        return verdict("different", "random simulation", bits[bad[0]])
    alignment = align(a, b)
    if alignment is None:
        reason = "the heads differ by more than constants, so outputs could not be paired"
        return verdict("undecided", f"{64 * N_WORDS} random inputs", reason=reason)
    n_pairs = len(alignment.a)
    if n_pairs == 0:
        return verdict("equivalent", "arithmetic of the biases")
    work_dir.mkdir(parents=True, exist_ok=True)
    sides = _circuit(a, alignment.a), _circuit(b, alignment.b)
    paths = work_dir / "before.aig", work_dir / "after.aig"
    for side, path in zip(sides, paths, strict=True):
        write_aiger(side, path, symbols=False)
    answer = cec(*paths, timeout_s=timeout_s)
    if answer.status == "undecided":
        reason = f"ABC reached no verdict in {timeout_s:g} s"
        return verdict("undecided", "abc cec", n=n_pairs, reason=reason)
    if answer.status == "equivalent":
        return verdict("equivalent", "abc cec", n=n_pairs)
    if answer.counterexample is None:
        reason = f"ABC says that they differ, but found no input for it in {timeout_s:g} s"
        return verdict("undecided", "abc cec", n=n_pairs, reason=reason)
    if len(answer.counterexample) != a.n_inputs:
        raise ToolFailedError(
            f"abc gave a counter-example of {len(answer.counterexample)} bits "
            f"for {a.n_inputs} inputs"
        )
    example = np.array(answer.counterexample, dtype=bool)
    if len(_differs(a, b, example[None])):
        return verdict("different", "abc cec, replayed", example, n_pairs)
    if not len(_differs(*sides, example[None])):
        raise ToolFailedError("abc's counter-example does not replay: both netlists agree on it")
    reason = "outputs differ on an input where the scores agree"
    return verdict("undecided", "abc cec, replayed", n=n_pairs, reason=reason)
