"""Where the passes start: each kernel simplified once, then unrolled; and how that is checked.

The step is a link of the chain like a pass. What it starts from is the unrolled model: while that
is small enough, SAT proves the two equal on all input codes; beyond, the netlist is compared with
an evaluator of the LogicNetwork that shares no code with it, and nothing is ever unrolled raw.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.signoff.comparing import compare_scores
from gate2hw.flow.signoff.gatecloud import PROOF_TIMEOUT_S
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import random_features, scores
from gate2hw.ir.store import Golden
from gate2hw.ir.unroll import census, instantiated_gates, unroll
from gate2hw.passes.manager import PassRecord
from gate2hw.passes.proof.equivalence import Proof, prove_equal
from gate2hw.passes.unroll_shared import unroll_shared

__all__ = ["NAME", "prove_start", "start_of", "started"]

NAME: Final = "unroll_shared"
PROVED_GATES: Final = 4_000_000
"""Unrolled gates up to which the step is proved: 2.7 million take ABC 7 s and 0.5 GB."""
N_VECTORS: Final = 1_000_000
"""Random inputs compared where nothing is proved,"""
GATE_VECTORS: Final = 2 * 10**12
"""fewer where they times the unrolled gates are more than this: ten to twenty minutes."""
_LEAST_VECTORS: Final = 4096
_N_COMPARED: Final = 256
_BLOCK_BYTES: Final = 2**29


def start_of(network: LogicNetwork, opt_level: int) -> Netlist:
    """The netlist before the passes of a level: unrolled at 0, simplified by kernel above."""
    return unroll_shared(network) if opt_level else unroll(network)


def _features(encoder: Encoder, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n, *shape) random feature values, every other sample scaled down by a factor of its own."""
    x = random_features(encoder, n, rng)
    factor = rng.random((len(x[1::2]), *[1] * len(encoder.shape)))
    x[1::2] = (x[1::2] * factor).astype(np.int64)
    return x


def _compare(network: LogicNetwork, net: Netlist, x: npt.NDArray[Any]) -> int:
    what = f"{NAME}: LogicNetwork against the netlist before passes"
    return compare_scores(what, evaluate(network, x), scores(net, x), x)


def started(network: LogicNetwork, opt_level: int) -> tuple[Netlist, list[PassRecord]]:
    """`start_of`, compared with the network on 256 inputs, and the record of the sharing, if any.

    Raises CheckFailedError with the first input on which the scores differ.
    """
    clock = time.perf_counter()
    net = start_of(network, opt_level)
    time_s, clock = time.perf_counter() - clock, time.perf_counter()
    assert net.encoder is not None
    x = random_features(net.encoder, _N_COMPARED, np.random.default_rng(0))
    x[0], x[1] = 0, net.encoder.max_value
    _compare(network, net, x)
    if not opt_level:
        return net, []
    before, check_time_s = census(network), time.perf_counter() - clock
    sizes = before.n_gates, net.n_gates, before.depth, net.depth, net.n_outputs
    return net, [PassRecord(NAME, *sizes, time_s, check_time_s, True, len(x))]


def _compared(
    network: LogicNetwork, net: Netlist, golden: Golden | None, progress: Progress
) -> str:
    """Compare on the golden inputs and many random ones; what was done, in words."""
    assert net.encoder is not None
    n_vectors = GATE_VECTORS // max(1, instantiated_gates(network))
    n_vectors = max(_LEAST_VECTORS, min(N_VECTORS, n_vectors))
    step = _BLOCK_BYTES // (64 * (9 * net.n_inputs + net.n_nodes // 8 + 1))
    step = 64 * max(1, min(256, step))
    n_golden = 0 if golden is None else len(golden.x)
    if golden is not None:
        for first in range(0, n_golden, step):
            _compare(network, net, golden.x[first : first + step])
    rng = np.random.default_rng(1)
    for done in range(0, n_vectors, step):
        progress(done, n_vectors, f"{NAME}: random vectors through the LogicNetwork")
        _compare(network, net, _features(net.encoder, min(step, n_vectors - done), rng))
    return (
        f"{n_golden:,} test and {n_vectors:,} random vectors through an evaluator of the "
        "LogicNetwork agree"
    )


def _proved(network: LogicNetwork, net: Netlist, work_dir: Path) -> Proof:
    proof = prove_equal(unroll(network), net, work_dir=work_dir, timeout_s=PROOF_TIMEOUT_S)
    if proof.result == "different":
        raise CheckFailedError(f"{NAME} is proved wrong on {proof.example()} ({proof.method})")
    return proof


def prove_start(
    network: LogicNetwork,
    net: Netlist,
    golden: Golden | None,
    work_dir: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Prove `net`, the start of the passes, equal to the unrolled network, on all input codes.

    Beyond PROVED_GATES, or where ABC comes to no verdict, the scores are compared on the golden
    inputs and on up to 10^6 random ones instead: `result` is then "simulated", not "equivalent",
    and `coverage` says on how many. Raises CheckFailedError with an input where they differ.
    """
    clock = time.perf_counter()
    n_gates = instantiated_gates(network)
    result, reason = "simulated", f"{n_gates:,} unrolled gates are too many for SAT"
    if n_gates <= PROVED_GATES:
        progress(0, 0, f"proving {NAME}")
        proof = _proved(network, net, work_dir)
        result, coverage, reason = proof.result, proof.coverage, proof.reason
    if result != "equivalent":
        result, coverage = "simulated", _compared(network, net, golden, progress)
    return {
        "name": NAME,
        "result": result,
        "coverage": coverage,
        "reason": reason,
        "in_parts": "windows" in coverage,
        "time_s": round(time.perf_counter() - clock, 3),
    }
