"""Runs passes and trusts none: verifies, simulates, times and records each, and can bisect.

After every pass that changed something the netlist is verified, 256 inputs are run through it and
compared with what the netlist before the pass gave (scores where it has classes, else outputs),
and a prover may be asked as well. The inputs are legal thermometer codes where the netlist has an
encoder whose care set the passes may use, else free bits; where only the class leaves the
hardware, it is the differences of scores that are compared.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError, IRError
from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import encode, pack, random_features, scores_of_bits, simulate, unpack
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local.dce import dead_inputs
from gate2hw.passes.pipelines import OutputKind, Pass, Pipeline, pipeline
from gate2hw.passes.proof.alignment import score_difference_form
from gate2hw.passes.proof.equivalence import Proof

__all__ = [
    "Bisection",
    "PassManager",
    "PassRecord",
    "PipelineResult",
    "Progress",
    "Prove",
    "bisect",
    "run_pipeline",
]

Progress: TypeAlias = Callable[[int, int, str], None]
Prove: TypeAlias = Callable[[Netlist, Netlist], Proof]

N_VECTORS = 256


@dataclass(frozen=True)
class PassRecord:
    """What one run of a pass did; `time_s` is the pass alone, `check_time_s` its checks.

    `n_vectors` is how many inputs were compared (0 where nothing changed), `proof` the verdict of
    the prover, `proof_coverage` what it covers, `proof_reason` why there is none; None where it was
    not asked.
    """

    name: str
    gates_before: int
    gates_after: int
    depth_before: int
    depth_after: int
    outputs_after: int
    time_s: float
    check_time_s: float
    changed: bool
    n_vectors: int
    proof: str | None = None
    proof_coverage: str | None = None
    proof_reason: str | None = None


@dataclass(frozen=True)
class PipelineResult:
    """The optimised netlist, one record a pass run, and the inputs (D,) int64 nobody reads.

    `snapshots` are the netlists that lower levels end with, lowest first, where they differ from
    the one above: other structures of the same scores (`lutmap.map_luts`, `starts`).
    """

    net: Netlist
    records: tuple[PassRecord, ...]
    dead_inputs: npt.NDArray[np.int64]
    snapshots: tuple[Netlist, ...] = ()


@dataclass(frozen=True)
class Bisection:
    """The first bad pass: its place (from 0), its name, and the netlists around it."""

    index: int
    name: str
    before: Netlist
    after: Netlist


def pass_name(transform: Pass) -> str:
    """The name under which a pass is recorded."""
    while isinstance(transform, partial) and not hasattr(transform, "__name__"):
        transform = transform.func
    return getattr(transform, "__name__", type(transform).__name__)


class _Witness:
    """Inputs, drawn once for a pipeline: all zero, all at their maximum, the rest random."""

    def __init__(self, net: Netlist, seed: int, care: CareSet, relative: bool) -> None:
        rng = np.random.default_rng(seed)
        self.relative = relative
        self.features: npt.NDArray[np.int64] | None = None
        if net.encoder is not None and care == "thermometer":
            self.features = random_features(net.encoder, N_VECTORS, rng)
            self.features[0], self.features[1] = 0, net.encoder.max_value
            self.bits = encode(net.encoder, self.features)
        else:
            self.bits = rng.integers(0, 2, size=(N_VECTORS, net.n_inputs)).astype(bool)
            self.bits[0], self.bits[1] = False, True

    def observe(self, net: Netlist) -> npt.NDArray[Any]:
        """(256, C) scores or their differences, or (256, O) outputs of a plain circuit."""
        if net.n_classes:
            scores = scores_of_bits(net, self.bits)
            return score_difference_form(scores) if self.relative else scores
        return self.outputs(net)

    def outputs(self, net: Netlist) -> npt.NDArray[np.bool_]:
        """(256, O) bool outputs."""
        return unpack(simulate(net, pack(self.bits)), N_VECTORS)

    def text(self, sample: int) -> str:
        """The input in words: feature values if there are features, and input bits."""
        bits = "".join(map(str, self.bits[sample].astype(int).tolist()))
        if self.features is None:
            return f"input bits {bits}"
        values = " ".join(map(str, self.features[sample].ravel().tolist()))
        return f"input features [{values}] (input bits {bits})"


def _driver(net: Netlist, output: int) -> str:
    """Where an output comes from, in words."""
    node = int(net.outputs[output] >> 1)
    if node < net.first_gate:
        return "the constant" if node == 0 else f"input {node - 1}"
    gate = node - net.first_gate
    site = net.site_of(gate)
    return f"gate {gate}" + (f" ({site})" if site else "")


class PassManager:
    """Runs a pipeline over netlists; see the module's text for what it checks.

    `prove`, if given, is asked for every pass that changed something; the verdict "different" is
    a CheckFailedError, "undecided" is recorded. `progress` gets (done, total, message), where
    total is that of the current round. With `care` ``"thermometer"`` results count on legal codes
    of the encoder only; with `relative`, only the differences of scores between classes.
    """

    def __init__(
        self,
        passes: Pipeline,
        *,
        prove: Prove | None = None,
        progress: Progress | None = None,
        seed: int = 0,
        care: CareSet = "thermometer",
        relative: bool = False,
    ) -> None:
        self.care = check_care(care)
        self.relative = relative
        self.pipeline = passes
        self.prove = prove
        self.progress = progress
        self.seed = seed

    def run(self, net: Netlist) -> PipelineResult:
        """Optimise `net`; CheckFailedError names the pass and the input where one went wrong."""
        verify_netlist(net)
        witness = _Witness(net, self.seed, self.care, self.relative)
        seen = witness.observe(net) if self.pipeline.passes else None
        records: list[PassRecord] = []
        returned: dict[Pass, Netlist] = {}
        levels: list[Netlist] = []
        stage: Pipeline | None = self.pipeline
        round_number = 0
        while stage is not None:
            round_number += 1
            at_start, n_passes = net, len(stage.passes)
            for number, transform in enumerate(stage.passes):
                # passes are idempotent: what one returned and nobody changed since, it would keep
                if returned.get(transform) is net:
                    continue
                name = pass_name(transform)
                self._tell(number, n_passes, f"round {round_number}, {name}: {net.n_gates:,} gates")
                net, record, seen = self._step(transform, net, witness, seen)
                returned[transform] = net
                records.append(record)
            if net is at_start or not stage.until_fixed:
                levels += [net] if stage.is_level else []
                stage = stage.then
        self._tell(1, 1, f"{net.n_gates:,} gates, depth {net.depth}")
        below = [low for low, high in itertools.pairwise([*levels, net]) if low is not high]
        return PipelineResult(net, tuple(records), dead_inputs(net), tuple(below))

    def _tell(self, done: int, total: int, message: str) -> None:
        if self.progress is not None:
            self.progress(done, total, message)

    def _step(
        self, transform: Pass, before: Netlist, witness: _Witness, seen: Any
    ) -> tuple[Netlist, PassRecord, Any]:
        name = pass_name(transform)
        clock = time.perf_counter()
        after = transform(before)
        time_s = time.perf_counter() - clock
        clock = time.perf_counter()
        changed, proof = after is not before, None
        if changed:
            self._check_form(name, before, after)
            now = witness.observe(after)
            if not np.array_equal(seen, now):
                raise CheckFailedError(_difference(name, before, after, witness, seen, now))
            seen = now
            if self.prove is not None:
                proof = self._check_proof(name, before, after, self.prove)
        record = PassRecord(
            name,
            before.n_gates,
            after.n_gates,
            before.depth,
            after.depth,
            after.n_outputs,
            time_s,
            time.perf_counter() - clock,
            changed,
            N_VECTORS if changed else 0,
            None if proof is None else proof.result,
            None if proof is None else proof.coverage or proof.method,
            None if proof is None else proof.reason,
        )
        return after, record, seen

    @staticmethod
    def _check_form(name: str, before: Netlist, after: Netlist) -> None:
        try:
            verify_netlist(after)
        except IRError as error:
            raise CheckFailedError(f"pass {name!r} broke the netlist: {error}") from error
        for what in ("n_inputs", "n_classes", "digest"):
            old, new = getattr(before, what), getattr(after, what)
            if old != new:
                raise CheckFailedError(f"pass {name!r} changed {what} from {old} to {new}")
        if before.encoder is not after.encoder:
            raise CheckFailedError(f"pass {name!r} replaced the encoder")
        if not before.n_classes and before.n_outputs != after.n_outputs:
            raise CheckFailedError(
                f"pass {name!r} changed the outputs of a plain circuit "
                f"from {before.n_outputs} to {after.n_outputs}"
            )

    @staticmethod
    def _check_proof(name: str, before: Netlist, after: Netlist, prove: Prove) -> Proof:
        proof = prove(before, after)
        if proof.result == "different":
            text = f" on {proof.example()}" if proof.counterexample is not None else ""
            raise CheckFailedError(f"pass {name!r} is proved wrong{text} ({proof.method})")
        return proof


def _difference(
    name: str, before: Netlist, after: Netlist, witness: _Witness, seen: Any, now: Any
) -> str:
    """The sentence about the first input on which a pass changed the result."""
    sample, column = (int(i) for i in np.argwhere(seen != now)[0])
    old, new = int(seen[sample, column]), int(now[sample, column])
    if before.n_classes:
        label = before.names.classes[column] if before.names.classes else ""
        what = "score difference" if witness.relative else "score"
        place = f"{what} {column}" + (f" ({label})" if label else "")
    else:
        place = f"output {column}, from {_driver(before, column)},"
    text = f"pass {name!r} changed {place} from {old} to {new} on {witness.text(sample)}"
    if before.n_classes and before.n_outputs == after.n_outputs:
        group = slice(before.head.group_ptr[column], before.head.group_ptr[column + 1])
        differs = witness.outputs(before)[sample] != witness.outputs(after)[sample]
        places = np.flatnonzero(differs[group])
        if len(places):
            output = int(group.start + places[0])
            text += f"; first differing output: {output}, from {_driver(before, output)}"
    return text


def run_pipeline(
    net: Netlist,
    level: int,
    *,
    care: CareSet = "thermometer",
    output: OutputKind = "scores",
    progress: Progress | None = None,
    prove: Prove | None = None,
    seed: int = 0,
) -> PipelineResult:
    """Optimise `net` at level 0..3 under a PassManager; InputError for an unknown level.

    `care` says which input codes count, `output` (``"scores"`` or ``"class"``) what leaves the
    hardware: with ``"class"``, all scores of a sample may shift by the same amount.
    """
    manager = PassManager(
        pipeline(level, care=care, output=output),
        prove=prove,
        progress=progress,
        seed=seed,
        care=care,
        relative=output == "class",
    )
    return manager.run(net)


def bisect(
    net: Netlist, passes: Sequence[Pass], is_bad: Callable[[Netlist], bool]
) -> Bisection | None:
    """Find the first pass whose result `is_bad`; None if the last result is good.

    Assumes that what is bad stays bad. Asks `is_bad` about log2 of the number of passes, and runs
    each pass at most twice. Raises InputError if `net` itself is bad.
    """
    if is_bad(net):
        raise InputError("nothing to bisect: the netlist is bad before the first pass")

    def advance(start: Netlist, first: int, stop: int) -> Netlist:
        for transform in passes[first:stop]:
            start = transform(start)
        return start

    good, good_net, bad = 0, net, len(passes)
    if not is_bad(advance(net, 0, bad)):
        return None
    while bad - good > 1:
        middle = (good + bad) // 2
        candidate = advance(good_net, good, middle)
        if is_bad(candidate):
            bad = middle
        else:
            good, good_net = middle, candidate
    return Bisection(good, pass_name(passes[good]), good_net, passes[good](good_net))
