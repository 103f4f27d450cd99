"""Which of many signals are equal: candidates from simulation, proofs from ABC.

Simulation can only tell signals apart. What it cannot is handed to ABC's SAT sweeper with all
candidates as outputs, behind the prefix of the care set: outputs that come back as one literal are
proved equal, all others are not believed (Lee, Riener, Mishchenko, Brayton, De Micheli, "A
Simulation-Guided Paradigm for Logic Synthesis and Verification", TCAD 2022).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.care import CareSet, legalised
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack
from gate2hw.passes.local.dce import dce
from gate2hw.tools.abc import run_script

__all__ = ["diverse_words", "prove_pairs", "swept_outputs"]

TIMEOUT_S: Final = 1200.0
CONFLICTS: Final = 1000
"""SAT effort for one pair: a limit of work, not of time, so that results repeat."""

Words = npt.NDArray[np.uint64]


def diverse_words(net: Netlist, n_words: int, rng: np.random.Generator, *, care: CareSet) -> Words:
    """(n_inputs, n_words) uint64 inputs, legal codes with care "thermometer" and an encoder.

    Half of them uniform; in the other half each sample has a density of its own, from nearly all
    low to nearly all high, which tells rare signals apart.
    """
    n_samples = 64 * n_words
    level = rng.random((n_samples, 1), dtype=np.float32) ** 2
    level[::2] = 1 - level[::2]
    if care == "none" or net.encoder is None:
        bits = rng.random((n_samples, net.n_inputs), dtype=np.float32) < level
        words = pack(bits)
        half = n_words // 2
        words[:, :half] = rng.integers(0, 2**64, (net.n_inputs, half), dtype=np.uint64)
        return words
    encoder, half = net.encoder, n_samples // 2
    x = rng.random((n_samples, encoder.n_features), dtype=np.float32)
    x[half:] = level[half:] + np.float32(0.4) * (x[half:] - np.float32(0.5))
    x *= np.float32(encoder.max_value + 1)
    # x floored and clipped to 0..max_value is above a threshold t exactly if x >= t + 1
    return pack(x[:, encoder.feature] >= (encoder.threshold + 1).astype(np.float32))


def prove_pairs(
    net: Netlist, a: npt.NDArray[Any], b: npt.NDArray[Any], *, care: CareSet
) -> npt.NDArray[np.bool_]:
    """(P,) bool: literal ``a[p]`` of `net` is proved equal to literal ``b[p]``, (P,) integers.

    On all inputs, or with care "thermometer" on all legal codes. False where they differ, and where
    ABC gave up. Raises ToolError where ABC is missing or fails.
    """
    n_pairs = len(a)
    if n_pairs == 0:
        return np.zeros(0, np.bool_)
    lit = swept_outputs(net.with_(outputs=np.concatenate([a, b]).astype(np.int64)), care=care)
    result: npt.NDArray[np.bool_] = lit[:n_pairs] == lit[n_pairs:]
    return result


def swept_outputs(
    net: Netlist, *, care: CareSet, timeout_s: float = TIMEOUT_S
) -> npt.NDArray[np.int64]:
    """(O,) int64 a literal for each output: those with one literal are proved equal.

    As `prove_pairs`, whatever the head of `net`; those whose literals differ by 1 are complements,
    and 0 and 1 are the constants.
    """
    circuit = net.with_(head=Head.none(net.n_outputs), names=Names())
    circuit = legalised(circuit) if care == "thermometer" else circuit.with_(encoder=None)
    circuit = dce(circuit)
    with TemporaryDirectory(prefix="gate2hw-pairs-") as folder:
        given, swept = Path(folder, "given.aig"), Path(folder, "swept.aig")
        write_aiger(circuit, given, symbols=False)
        sweep = f"&fraig -C {CONFLICTS} -x"
        run_script(
            ["read_aiger given.aig", "strash", "&get -n", sweep, "&put", "write_aiger swept.aig"],
            inputs={"given.aig": given},
            outputs={"swept.aig": swept},
            timeout_s=timeout_s,
        )
        return read_aiger(swept).outputs
