"""map_luts: a Netlist covered by LUTs, as few as ABC and the encoder's guarantees allow.

Several ways of restructuring and covering are tried, each result is simulated against the netlist,
and the one with the fewest LUTs (then levels) is kept; the plain structural mapping is always among
them. With the care set of the encoder, gates are first resubstituted behind a prefix that makes
exactly the legal codes (`ir.care.legalised`); a legal code is its own preimage, so the prefix
itself drops away and is never counted.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.care import CareSet, check_care, legalised
from gate2hw.ir.lutblif import read_lut_blif, write_lut_blif
from gate2hw.ir.lutnetlist import LutNetlist, from_netlist, to_netlist
from gate2hw.ir.luttables import simplified
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import random_words, simulate, unpack
from gate2hw.passes import lut_scripts
from gate2hw.passes.equivalence import Proof, prove_equal
from gate2hw.passes.lut_expand import expand
from gate2hw.passes.lut_origin import with_origins
from gate2hw.tools.abc import run_script
from gate2hw.tools.run import failure

__all__ = ["EFFORTS", "Mapping", "Trial", "check_mapping", "effort_for", "map_luts", "search"]

Progress: TypeAlias = Callable[[int, int, str], None]

EFFORTS: Final = (0, 1, 2, 3)
MAX_EFFORT: Final = EFFORTS[-1]
MIN_K, MAX_K = 3, 6
EXTRA_LEVELS: Final = 2
"""Levels beyond the plain depth-optimal mapping that fewer LUTs may cost, if no bound is given."""
MISSED: Final = "target required times"
"""What ABC complains of where a structure is deeper than its bound on levels."""
CHECK_WORDS = 8
VALUE_WORDS = 2**25
_LEAST_S: Final = 1.0
_EFFORT_GATES: Final = (30_000, 15_000, 4_000)
_MAX_ROUNDS: Final = 6
MAX_IDLE: Final = 2
FAST_GATES: Final = 100_000
"""Beyond, one plain mapping of fewer cuts within the bound, nearly as small, is made."""


@dataclass(frozen=True)
class Trial:
    """One mapping that was tried; `n_luts`, `depth` are None where it gave none, for `reason`."""

    name: str
    n_luts: int | None
    depth: int | None
    time_s: float
    reason: str = ""


@dataclass(frozen=True)
class Mapping:
    """The best mapping found, all that were tried, and the bound on its depth.

    `optimal_depth` is that of the plain depth-optimal mapping (ABC ``&kf -K k``).
    """

    luts: LutNetlist
    trials: tuple[Trial, ...]
    optimal_depth: int
    depth_bound: int
    time_s: float


def effort_for(n_gates: int) -> int:
    """The effort that takes up to about 15 s up to 400,000 gates; above, the least."""
    return sum(n_gates <= limit for limit in _EFFORT_GATES)


class _Search:
    """The best so far, a folder for ABC, and the time that is left."""

    def __init__(
        self,
        net: Netlist,
        k: int,
        care: CareSet,
        folder: Path,
        deadline: float,
        progress: Progress,
        n_steps: int,
    ) -> None:
        self.net, self.k, self.care = net, k, care
        self.folder, self.deadline = folder, deadline
        self.progress, self.n_steps = progress, n_steps
        self.best: LutNetlist | None = None
        self.optimal_depth = self.depth_bound = 0
        self.trials: list[Trial] = []
        n_words = max(1, min(CHECK_WORDS, VALUE_WORDS // net.n_nodes))
        given = net if care == "thermometer" else net.with_(encoder=None)
        self.words = random_words(given, n_words, np.random.default_rng(0))
        self.expected = simulate(net, self.words)

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    def abc(self, source: str, commands: Sequence[str], *, k: int, care: CareSet) -> LutNetlist:
        """Run `commands` on file `source` of the folder and read the LUT network that they leave.

        Raises CheckFailedError where it does not compute what the netlist does.
        """
        out = self.folder / "out.blif"
        run_script(
            [f"read {source}", *commands, "write_blif out.blif"],
            inputs={source: self.folder / source},
            outputs={"out.blif": out},
            timeout_s=max(_LEAST_S, self.left_s),
        )
        luts = read_lut_blif(out, like=self.net, k=k, care=care)
        if not np.array_equal(simulate(luts, self.words), self.expected):
            raise CheckFailedError(
                f"ABC changed what the netlist computes, by the script {'; '.join(commands)!r}"
            )
        return luts

    def write(self, net: Netlist) -> str:
        write_aiger(net, self.folder / "gates.aig", symbols=False)
        return "gates.aig"

    def attempt(self, name: str, net: Netlist, commands: Sequence[str]) -> LutNetlist | None:
        """Map `net` by `commands`; keep the result if it is the best. None if there is none."""
        clock = time.monotonic()
        try:
            luts = self.abc(self.write(net), commands, k=self.k, care=self.care)
        except (ToolTimeoutError, ToolFailedError) as error:
            self._failed(name, clock, error)
            return None
        self._record(Trial(name, luts.n_luts, luts.depth, time.monotonic() - clock))
        if not self.optimal_depth or luts.depth <= self.depth_bound:
            best = self.best
            if best is None or (luts.n_luts, luts.depth) < (best.n_luts, best.depth):
                self.best = luts
        return luts

    def bounded(self, name: str, net: Netlist, scripts: Sequence[list[str]]) -> None:
        """Map `net` by the first of `scripts` that keeps the bound on the depth."""
        for script in scripts:
            luts = self.attempt(name, net, script)
            # ABC says beforehand that it cannot keep a bound, or finds out on the way
            is_late = luts is not None and luts.depth > self.depth_bound
            if not is_late and not (luts is None and MISSED in self.trials[-1].reason):
                return

    def covers(self, choices: str) -> list[list[str]]:
        return lut_scripts.covers(choices, self.k, self.depth_bound, self.optimal_depth)

    def restructured(self, name: str, net: Netlist, number: int) -> Netlist:
        """`net` with other gates; the same where time ran out."""
        clock = time.monotonic()
        try:
            script = lut_scripts.restructure(number)
            gates = self.abc(self.write(net), script, k=2, care=self.care)
            return to_netlist(self.with_care(gates) if self.care == "thermometer" else gates)
        except (ToolTimeoutError, ToolFailedError) as error:
            self._failed(name, clock, error)
            return net

    def with_care(self, gates: LutNetlist) -> LutNetlist:
        """`gates` after resubstitution behind the prefix, which drops away."""
        net = to_netlist(gates)
        prefixed = legalised(net)
        n_prefix = prefixed.n_gates - net.n_gates
        if not n_prefix:
            return gates
        write_lut_blif(prefixed, self.folder / "legal.blif")
        script = lut_scripts.care_script(n_prefix)
        result = self.abc("legal.blif", script, k=2, care=self.care)
        return min(result, gates, key=lambda luts: luts.n_luts)

    def _failed(self, name: str, clock: float, error: Exception) -> None:
        # without any mapping so far there is nothing to fall back on
        text = str(error).split("\n", maxsplit=1)[0]
        if self.best is None and MISSED not in text:
            raise error
        self._record(Trial(name, None, None, time.monotonic() - clock, text))

    def _record(self, trial: Trial) -> None:
        self.trials.append(trial)
        found = trial.reason or f"{trial.n_luts:,} LUTs, depth {trial.depth}"
        self.progress(len(self.trials), self.n_steps, f"{trial.name}: {found}")


def _optimal_depth(work: _Search, net: Netlist) -> int:
    """Levels of the plain depth-optimal mapping of `net`."""
    source = work.write(net)
    run = run_script(
        [f"&read {source}", *lut_scripts.depth_only(work.k)],
        inputs={source: work.folder / source},
        outputs={},
        timeout_s=max(_LEAST_S, work.left_s),
    )
    # of the AIG, then of its mapping; escape codes for colours stand right before the words
    found = re.findall(r"lev\s*=\s*(\d+)", run.output)
    if len(found) != 2:
        raise failure("abc", "printed no number of levels of a mapping", run)
    return int(found[1])


def _plain(work: _Search, net: Netlist, max_depth: int | None) -> None:
    """The mappings that are tried whatever the effort; afterwards there is a best one."""
    is_fast = net.n_gates > FAST_GATES
    work.optimal_depth = _optimal_depth(work, net)
    work.depth_bound = work.optimal_depth + EXTRA_LEVELS if max_depth is None else max_depth
    if max_depth is None and not is_fast:
        work.attempt("if -a", net, lut_scripts.plain(work.k, None, is_fast=is_fast))
    if work.best is None:
        bounds = (work.depth_bound, lut_scripts.SHALLOWEST)
        scripts = [lut_scripts.plain(work.k, bound, is_fast=is_fast) for bound in bounds]
        work.bounded("if -D", net, scripts)


def _improve(work: _Search, net: Netlist, effort: int) -> None:
    """Cover what restructuring makes of `net`, again and again for as long as that pays."""
    idle = 0
    for number in range(_MAX_ROUNDS if effort == MAX_EFFORT else 1):
        before = work.best
        net = work.restructured(f"restructuring {number + 1}", net, number)
        for choices in lut_scripts.CHOICES if effort > 1 else lut_scripts.CHOICES[:1]:
            if work.left_s > 0:
                work.bounded(f"round {number + 1}, {choices}", net, work.covers(choices))
        idle = idle + 1 if work.best is before else 0
        if work.left_s <= 0 or idle == MAX_IDLE:
            break


def search(
    net: Netlist,
    *,
    k: int = 4,
    care: CareSet = "thermometer",
    effort: int | None = None,
    max_depth: int | None = None,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Mapping:
    """As `map_luts`, with all that was tried beside the result."""
    driver, place = np.unique(net.outputs >> 1, return_inverse=True)
    if len(driver) < net.n_outputs:
        # ABC would build a LUT for each output, also where several are one signal
        single = net.with_(outputs=2 * driver, head=Head.none(len(driver)), names=Names())
        found = search(
            single,
            k=k,
            care=care,
            effort=effort,
            max_depth=max_depth,
            timeout_s=timeout_s,
            progress=progress,
        )
        outputs = found.luts.outputs[place] ^ (net.outputs & 1)
        luts = found.luts.with_(outputs=outputs, head=net.head, names=net.names)
        return replace(found, luts=luts)
    clock = time.monotonic()
    check_care(care)
    effort = effort_for(net.n_gates) if effort is None else effort
    if effort not in EFFORTS:
        raise InputError(f"effort {effort!r} is unknown. Allowed: {', '.join(map(str, EFFORTS))}")
    if not MIN_K <= k <= MAX_K:
        raise InputError(f"k = {k}: netlists are mapped to LUTs of {MIN_K}..{MAX_K} inputs")
    if max_depth is not None and max_depth < 1:
        raise InputError(f"max_depth = {max_depth}: a mapping has at least one level")
    care = care if net.encoder is not None else "none"
    start = simplified(from_netlist(net, 2), care=care)
    with tempfile.TemporaryDirectory(prefix="gate2hw-luts-") as folder:
        tell = progress or (lambda done, total, message: None)
        work = _Search(net, k, care, Path(folder), clock + timeout_s, tell, 1 + effort)
        if start.n_luts == 0:
            work.best = start.with_(fanin=np.zeros((0, k), np.int32))
        else:
            gates = to_netlist(start)
            _plain(work, gates, max_depth)
            if effort:
                _improve(work, gates, effort)
            if effort == MAX_EFFORT and work.left_s > 0:
                choices = lut_scripts.CHOICES[-1]
                work.bounded(choices, gates, work.covers(choices))
        best = work.best
    if best is None:
        least = min(trial.depth for trial in work.trials if trial.depth is not None)
        raise InputError(
            f"max_depth = {max_depth}: the shallowest mapping found has {least} levels; allow those"
        )
    luts = with_origins(best, net)
    luts.verify()
    time_s = time.monotonic() - clock
    return Mapping(luts, tuple(work.trials), work.optimal_depth, work.depth_bound, time_s)


def map_luts(
    net: Netlist,
    *,
    k: int = 4,
    care: CareSet = "thermometer",
    effort: int | None = None,
    max_depth: int | None = None,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> LutNetlist:
    """Return `net` covered by LUTs of up to `k` inputs (3..6), in stage 0; the head stays apart.

    `effort` 0 is the plain structural mapping; 1 adds restructuring, the don't-cares behind the
    encoder, structural choices, and SAT on windows of the cover; 2 other choices beside; 3 repeats
    these while they pay; None chooses by size (`effort_for`). Each level tries what the one below
    tries, so it is never worse but where time runs out: after `timeout_s` the best so far is
    returned, and only if there is none yet is that an error. With `care` "thermometer" the result
    equals `net` on legal codes of its encoder only. `max_depth` bounds the levels; without it they
    stay within EXTRA_LEVELS of the plain depth-optimal mapping. `progress` gets (done, total,
    message).
    Raises InputError for options out of range or a depth that is not reached, ToolError where ABC
    is missing, fails or is too slow for the plain mapping, CheckFailedError where a result differs.
    """
    return search(
        net,
        k=k,
        care=care,
        effort=effort,
        max_depth=max_depth,
        timeout_s=timeout_s,
        progress=progress,
    ).luts


def check_mapping(
    net: Netlist,
    luts: LutNetlist,
    *,
    care: CareSet,
    work_dir: Path,
    timeout_s: float,
    n_words: int = 64,
    seed: int = 0,
) -> Proof:
    """Prove that `luts` computes every output of `net`, not the scores only.

    First ``64 * n_words`` random inputs on the LUTs themselves (legal codes with `care`
    "thermometer"), then ABC `cec` of their expansion into gates, files kept in `work_dir`. The
    verdict "different" comes with an input on which an output differs.
    """
    check_care(care)
    clock = time.monotonic()
    plain = [side.with_(head=Head.none(side.n_outputs)) for side in (net, expand(luts))]
    given = net if care == "thermometer" else net.with_(encoder=None)
    words = random_words(given, n_words, np.random.default_rng(seed))
    differs = simulate(net, words) ^ simulate(luts, words)
    if differs.any():
        word = int(np.argmax(differs.any(axis=0)))
        column = int(np.bitwise_or.reduce(differs[:, word]))
        sample = (column & -column).bit_length() - 1
        example = unpack(words[:, word : word + 1], 64)[sample]
        time_s = time.monotonic() - clock
        return Proof("different", "random simulation of the LUTs", example, time_s)
    return prove_equal(*plain, work_dir=work_dir, timeout_s=timeout_s, seed=seed, care=care)
