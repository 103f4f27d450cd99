"""Proof that two netlists compute the same, on all input codes, by ABC `cec`.

Popcounts do not go to the SAT solver: `alignment` says which signals must be equal for the scores
to be equal, and those obligations are proved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, random_words, scores_of_bits, simulate, unpack
from gate2hw.passes.alignment import align
from gate2hw.tools.abc import cec

__all__ = ["Proof", "prove_equal"]

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
