"""Proof that two netlists compute the same, on all input codes or all legal ones, by ABC `cec`.

Popcounts do not go to the SAT solver: `alignment` says which signals must be equal for the scores
to be equal, and those obligations are proved: in one run of ABC up to a size, beyond it in windows
(`proof_parts`), with many random vectors (`proof_vectors`) beside.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.care import CareSet, check_care, legalised
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, scores_of_bits, simulate, unpack
from gate2hw.passes.proof.alignment import Alignment, align, score_difference_form
from gate2hw.passes.proof.matching import reduced_outputs
from gate2hw.passes.proof.proof_parts import prove_parts
from gate2hw.passes.proof.proof_vectors import draw_words, features_of, first_difference, legal_code
from gate2hw.passes.proof.proof_window import side_by_side
from gate2hw.passes.proof.sat_pairs import swept_outputs
from gate2hw.tools.abc import CecResult, cec, run_script

__all__ = ["Proof", "prove_equal"]

Result: TypeAlias = Literal["equivalent", "different", "undecided"]
Bits: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]

N_WORDS, _MORE_WORDS = 16, 256
WHOLE_GATES = 8_000_000
"""Gates of both sides together up to which ABC is given the whole (in about 250 bytes a gate)."""
N_VECTORS = 1_000_000
"""Random vectors where the netlists are larger than that."""
_FIRST_VECTORS = 2**15
_GUESS_ROUNDS, _GUESS_WORDS = 4, 8
_MOST_ALIGNMENTS = 8
_NEAR = 512
"""Inputs tried about one on which signals differ but scores do not."""


@dataclass(frozen=True)
class Proof:
    """A verdict; `counterexample` (I,) bool is an input on which scores or outputs differ.

    `method` says how the verdict was found and `coverage` what of the netlists it covers:
    partitions proved and random vectors run, never more than was done. `n_obligations` is how
    many pairs of signals were compared, `n_undecided` for how many of them there is no verdict,
    `reason` why. `features` (*shape) int64 are values whose code the counter-example is, where
    the netlists have an encoder and there are such values.
    """

    result: Result
    method: str
    counterexample: Bits | None
    time_s: float
    n_obligations: int = 0
    reason: str = ""
    coverage: str = ""
    n_undecided: int = 0
    features: Ints | None = None

    def example(self) -> str:
        """The counter-example in words: feature values, if there are any, and input bits."""
        if self.counterexample is None:
            return ""
        bits = "".join(map(str, self.counterexample.astype(int).tolist()))
        if self.features is None:
            return f"input bits {bits}"
        values = " ".join(map(str, self.features.ravel().tolist()))
        return f"input features [{values}] (input bits {bits})"


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


def _circuit(net: Netlist, outputs: Ints) -> Netlist:
    """A plain circuit with the gates of `net` and other outputs."""
    names = Names(inputs=net.names.inputs)
    return net.with_(outputs=outputs, head=Head.none(len(outputs)), names=names)


def _differs(a: Netlist, b: Netlist, bits: Bits, relative: bool = False) -> Ints:
    """Numbers of the samples in `bits` (N, I) on which scores (or plain outputs) differ."""
    if a.n_classes:
        left, right = scores_of_bits(a, bits), scores_of_bits(b, bits)
        if relative:
            left, right = score_difference_form(left), score_difference_form(right)
        return np.flatnonzero((left != right).any(axis=1))
    words = pack(bits)
    return np.flatnonzero(unpack(simulate(a, words) ^ simulate(b, words), len(bits)).any(axis=1))


class _Comparison:
    """One call of `prove_equal`: the two netlists, how they are compared, and the clock."""

    def __init__(
        self,
        a: Netlist,
        b: Netlist,
        work_dir: Path,
        timeout_s: float,
        seed: int,
        care: CareSet,
        relative: bool,
    ) -> None:
        self.a, self.b = a, b
        self.work_dir, self.timeout_s, self.seed = work_dir, timeout_s, seed
        self.care, self.relative = care, relative
        self.clock = time.perf_counter()
        self.patterns: Bits = np.zeros((0, a.n_inputs), bool)
        self.swept: Ints | None = None

    def verdict(
        self,
        result: Result,
        method: str,
        *,
        example: Bits | None = None,
        n: int = 0,
        reason: str = "",
        coverage: str = "",
        n_undecided: int = 0,
    ) -> Proof:
        features = None
        if example is not None and self.a.encoder is not None:
            features = features_of(self.a.encoder, example)
        time_s = time.perf_counter() - self.clock
        return Proof(
            result, method, example, time_s, n, reason, coverage or method, n_undecided, features
        )

    @property
    def left_s(self) -> float:
        """Seconds until the time is over."""
        return self.timeout_s - (time.perf_counter() - self.clock)

    def is_late(self) -> bool:
        """Whether the time is over."""
        return self.left_s <= 0

    def decide(self, a: Netlist, b: Netlist) -> CecResult:
        """ABC's verdict on two plain circuits, in the time that is left."""
        paths = self.work_dir / "before.aig", self.work_dir / "after.aig"
        for side, path in zip((a, b), paths, strict=True):
            write_aiger(side, path, symbols=False)
        return cec(*paths, timeout_s=max(1.0, self.left_s))

    def sort_out(self, a: Netlist, b: Netlist) -> Bits:
        """(O,) bool: the outputs of two plain circuits that ABC's `fraig` makes one signal."""
        path, swept = self.work_dir / "both.aig", self.work_dir / "swept.aig"
        write_aiger(side_by_side(a, b), path, symbols=False)
        try:
            run_script(
                ["read_aiger both.aig", "strash", "fraig", "write_aiger swept.aig"],
                inputs={"both.aig": path},
                outputs={"swept.aig": swept},
                timeout_s=max(1.0, self.left_s),
            )
        except ToolTimeoutError:
            return np.zeros(a.n_outputs, bool)
        left, right = np.split(read_aiger(swept).outputs, 2)
        same: Bits = left == right
        return same

    def sweep(self, joint: Netlist) -> Ints:
        """(O,) int64 output literals after SAT sweeping; by structure alone where that takes long.

        What this says is a guess as any other: it becomes an obligation.
        """
        if self.swept is None:
            if joint.n_gates > WHOLE_GATES or self.is_late():
                return reduced_outputs(joint)
            try:
                self.swept = swept_outputs(
                    joint.with_(encoder=self.a.encoder), care=self.care, timeout_s=self.left_s
                )
            except ToolTimeoutError:
                return reduced_outputs(joint)
        return self.swept

    def run(self) -> Proof:
        rng = np.random.default_rng(self.seed)
        words = draw_words(self.a, self.care, N_WORDS, rng)
        bits = unpack(words, 64 * N_WORDS)
        bad = _differs(self.a, self.b, bits, self.relative)
        if len(bad):
            return self.verdict("different", "random simulation", example=bits[bad[0]])
        self.work_dir.mkdir(parents=True, exist_ok=True)
        proof = None
        for number in range(_MOST_ALIGNMENTS):
            known = len(self.patterns)
            alignment = align(
                self.a,
                self.b,
                relative=self.relative,
                care=self.care,
                patterns=self.patterns if known else None,
                may_extend=True,
                reduce=self.sweep if number else reduced_outputs,
            )
            if alignment is None:
                if number:
                    break
                continue
            proof = self._prove(alignment)
            if len(self.patterns) == known:
                return proof
        if proof is not None:
            return replace(proof, time_s=time.perf_counter() - self.clock)
        bits = unpack(draw_words(self.a, self.care, _MORE_WORDS, rng), 64 * _MORE_WORDS)
        bad = _differs(self.a, self.b, bits, self.relative)
        if len(bad):
            return self.verdict("different", "random simulation", example=bits[bad[0]])
        reason = "the heads differ in a way that could not be put down to equal signals"
        return self.verdict(
            "undecided", f"{64 * (N_WORDS + _MORE_WORDS):,} random vectors", reason=reason
        )

    def _prove(self, alignment: Alignment) -> Proof:
        """Prove the obligations; an input that refutes them, not the scores, goes to `patterns`."""
        if len(alignment.a) == 0:
            return self.verdict("equivalent", "arithmetic of the biases")
        sides = (
            _circuit(alignment.net_a, alignment.a),
            _circuit(alignment.net_b, alignment.b),
        )
        if self.care == "thermometer":
            sides = legalised(sides[0]), legalised(sides[1])
        else:
            sides = sides[0].with_(encoder=None), sides[1].with_(encoder=None)
        if sum(side.n_gates for side in sides) > WHOLE_GATES:
            return self._in_parts(*sides)
        n = len(alignment.a)
        answer = self.decide(*sides)
        if answer.status == "equivalent":
            return self.verdict("equivalent", "abc cec", n=n)
        if answer.status == "different" and answer.counterexample is not None:
            if len(answer.counterexample) != self.a.n_inputs:
                raise ToolFailedError(
                    f"abc gave a counter-example of {len(answer.counterexample)} bits "
                    f"for {self.a.n_inputs} inputs"
                )
            example = np.array(answer.counterexample, dtype=bool)
            return self._replay(*sides, example, "abc cec, replayed", n)
        if not self.is_late():
            return self._in_parts(*sides)
        reason = f"ABC reached no verdict in {self.timeout_s:g} s"
        return self.verdict("undecided", "abc cec", n=n, reason=reason, n_undecided=n)

    def _replay(self, a: Netlist, b: Netlist, free: Bits, method: str, n: int) -> Proof:
        """The verdict that a counter-example of the obligations gives, run through both sides."""
        if not len(_differs(a, b, free[None])):
            raise ToolFailedError(
                "abc's counter-example does not replay: both netlists agree on it"
            )
        near = np.random.default_rng(self.seed).random((_NEAR, len(free))) < 0.05
        near[0] = False
        examples = free ^ near
        if self.care == "thermometer" and self.a.encoder is not None:
            examples = legal_code(self.a.encoder, examples)
        bad = _differs(self.a, self.b, examples, self.relative)
        if len(bad):
            return self.verdict("different", method, example=examples[bad[0]], n=n)
        self.patterns = np.concatenate([self.patterns, examples[:1]])
        reason = "outputs differ on an input where the scores agree"
        return self.verdict("undecided", method, n=n, reason=reason, n_undecided=n)

    def _in_parts(self, a: Netlist, b: Netlist) -> Proof:
        """Prove the obligations, outputs of `a` and `b`, in windows, and run random vectors."""
        n, done = a.n_outputs, 0

        def run_vectors(n_vectors: int, seed: int) -> Proof | None:
            nonlocal done
            n_run, example = first_difference(
                a, b, self.a, self.care, n_vectors=n_vectors, seed=seed
            )
            done += n_run
            method = f"{done:,} random vectors, replayed"
            return None if example is None else self._replay(a, b, example, method, n)

        found = run_vectors(min(_FIRST_VECTORS, N_VECTORS), self.seed + 1)
        if found is not None:
            return found
        rng = np.random.default_rng(self.seed + 2)
        rounds = [draw_words(self.a, self.care, _GUESS_WORDS, rng) for _ in range(_GUESS_ROUNDS)]
        parts = prove_parts(
            a, b, rounds=rounds, decide=self.decide, sort_out=self.sort_out, is_late=self.is_late
        )
        if parts.example is not None:
            return self._replay(a, b, parts.example, "abc cec in windows, replayed", n)
        found = run_vectors(N_VECTORS - done, self.seed + 3) if done < N_VECTORS else None
        if found is not None:
            return found
        n_bad = len(parts.undecided)
        coverage = (
            f"abc cec, {parts.n_windows:,} windows, {parts.n_cuts:,} cut points: "
            f"{n - n_bad:,} of {n:,} signals proved; {done:,} random vectors"
        )
        if not n_bad:
            return self.verdict("equivalent", "abc cec in windows", n=n, coverage=coverage)
        reason = f"ABC reached no verdict about {n_bad:,} of {n:,} signals in {self.timeout_s:g} s"
        return self.verdict(
            "undecided",
            "abc cec in windows",
            n=n,
            reason=reason,
            coverage=coverage,
            n_undecided=n_bad,
        )


def prove_equal(
    a: Netlist,
    b: Netlist,
    *,
    work_dir: Path,
    timeout_s: float,
    seed: int = 0,
    care: CareSet = "none",
    relative: bool = False,
) -> Proof:
    """Prove that `a` and `b` give equal scores (plain circuits: outputs).

    With `care` ``"thermometer"`` on exactly the legal codes of the encoder, if there is one; with
    ``"none"`` on all input codes. With `relative` only the differences of scores between classes
    must be equal, which decide the class.

    Random inputs are tried first; then the obligations of `align` go to ABC as `before.aig` and
    `after.aig` in `work_dir`: whole up to WHOLE_GATES gates, in windows beyond, or where ABC gives
    up on the whole, and then with N_VECTORS random vectors beside (for which `timeout_s` is not
    cut short). A counter-example is replayed
    on both netlists before it is believed: "different" always comes with an input (a legal code,
    where only these count) on which the results differ. Where single outputs differ but the scores
    on that input do not, other pairs are looked for; in the end the verdict is "undecided".
    Raises InputError for different interfaces, ToolError where ABC is missing or fails.
    """
    _check_interface(a, b)
    return _Comparison(a, b, work_dir, timeout_s, seed, check_care(care), relative).run()
