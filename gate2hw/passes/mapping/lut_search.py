"""The search for the smallest cover of one structure by LUTs, each cover checked by simulation.

A structure is gates that compute what the netlist to be mapped does. It is covered as it is, then
restructured and covered again, in more ways the higher the effort; of all covers within the bound
on the levels the one with the fewest LUTs (then levels) is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from gate2hw.errors import CheckFailedError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.care import CareSet, legalised
from gate2hw.ir.lutblif import read_lut_blif, write_lut_blif
from gate2hw.ir.lutnetlist import LutNetlist, to_netlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import random_words, simulate
from gate2hw.passes.mapping import lut_scripts
from gate2hw.tools.abc import run_script
from gate2hw.tools.run import failure

__all__ = ["EFFORTS", "EXTRA_LEVELS", "FAST_GATES", "Search", "Trial"]

EFFORTS: Final = (0, 1, 2, 3)
MAX_EFFORT: Final = EFFORTS[-1]
EXTRA_LEVELS: Final = 2
"""Levels beyond the plain depth-optimal mapping that fewer LUTs may cost, if no bound is given."""
MISSED: Final = "target required times"
"""What ABC complains of where a structure is deeper than its bound on levels."""
CHECK_WORDS = 8
VALUE_WORDS = 2**25
_LEAST_S: Final = 1.0
_MAX_ROUNDS: Final = 6
MAX_IDLE: Final = 2
FAST_GATES: Final = 100_000
"""Beyond, one plain mapping of fewer cuts within the bound, nearly as small, is made."""

Report: TypeAlias = Callable[["Trial"], None]


@dataclass(frozen=True)
class Trial:
    """One mapping that was tried; `n_luts`, `depth` are None where it gave none, for `reason`.

    `start` is the number of the structure: that of the netlist itself is 0.
    """

    name: str
    n_luts: int | None
    depth: int | None
    time_s: float
    reason: str = ""
    start: int = 0


class Search:
    """Covers of one structure `gates` of the netlist `like`: `best` so far, and all `trials`.

    `optimal_depth` and `depth_bound` are set by `prepare`. Files go into `folder`; nothing is tried
    any more after `deadline` (`time.monotonic`) but the plain mapping. `report` hears each trial.
    """

    def __init__(
        self,
        like: Netlist,
        gates: Netlist,
        *,
        k: int,
        care: CareSet,
        effort: int,
        max_depth: int | None,
        folder: Path,
        deadline: float,
        report: Report,
        start: int = 0,
    ) -> None:
        self.net, self.gates, self.k, self.care = like, gates, k, care
        self.effort, self.max_depth = effort, max_depth
        self.folder, self.deadline = folder, deadline
        self.report, self.start = report, start
        self.best: LutNetlist | None = None
        self.optimal_depth = self.depth_bound = 0
        self.trials: list[Trial] = []
        self.restructured: Netlist | None = None
        n_words = max(1, min(CHECK_WORDS, VALUE_WORDS // max(like.n_nodes, gates.n_nodes)))
        given = like if care == "thermometer" else like.with_(encoder=None)
        self.words = random_words(given, n_words, np.random.default_rng(0))
        self.expected = simulate(like, self.words)

    @property
    def left_s(self) -> float:
        """Seconds until the time is over."""
        return self.deadline - time.monotonic()

    def prepare(self, *, probe: bool) -> int | None:
        """The plain mappings, which are tried whatever the effort, and the first restructuring.

        With `probe`, returns how many LUTs a plain cover of the restructured gates takes: a cheap
        guess at what this structure is good for. None where there is no such cover.
        """
        self._plain()
        if not self.effort or self.left_s <= 0:
            return None
        self.restructured = self._restructure(self.gates, 0)
        if not probe or self.left_s <= 0:
            return None
        found = self._attempt("probe", self.restructured, lut_scripts.plain(self.k, None))
        return None if found is None else found.n_luts

    def improve(self) -> None:
        """Cover what restructuring makes of the gates, again and again for as long as it pays."""
        idle = 0
        gates = self.restructured
        for number in range(_MAX_ROUNDS if self.effort == MAX_EFFORT else 1):
            if gates is None or self.left_s <= 0 or idle == MAX_IDLE:
                break
            before = self.best
            if number:
                gates = self._restructure(gates, number)
            for choices in lut_scripts.CHOICES if self.effort > 1 else lut_scripts.CHOICES[:1]:
                if self.left_s > 0:
                    self._bounded(f"round {number + 1}, {choices}", gates, self._covers(choices))
            idle = idle + 1 if self.best is before else 0
        if self.effort == MAX_EFFORT and self.left_s > 0:
            choices = lut_scripts.CHOICES[-1]
            self._bounded(choices, self.gates, self._covers(choices))

    def _plain(self) -> None:
        """What any other must beat; afterwards there is a best cover, unless a bound forbids."""
        is_fast = self.gates.n_gates > FAST_GATES
        self.optimal_depth = self._least_depth()
        bound = self.max_depth
        self.depth_bound = self.optimal_depth + EXTRA_LEVELS if bound is None else bound
        if bound is None and not is_fast:
            self._attempt("if -a", self.gates, lut_scripts.plain(self.k, None, is_fast=is_fast))
        if self.best is None:
            bounds = (self.depth_bound, lut_scripts.SHALLOWEST)
            scripts = [lut_scripts.plain(self.k, bound, is_fast=is_fast) for bound in bounds]
            self._bounded("if -D", self.gates, scripts)

    def _least_depth(self) -> int:
        """Levels of a plain mapping for depth."""
        source = self._write(self.gates)
        run = run_script(
            [f"&read {source}", *lut_scripts.depth_only(self.k)],
            inputs={source: self.folder / source},
            outputs={},
            timeout_s=max(_LEAST_S, self.left_s),
        )
        # of the AIG, then of its mapping; escape codes for colours stand right before the words
        found = re.findall(r"lev\s*=\s*(\d+)", run.output)
        if len(found) != 2:
            raise failure("abc", "printed no number of levels of a mapping", run)
        return int(found[1])

    def _abc(self, source: str, commands: Sequence[str], *, k: int) -> LutNetlist:
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
        luts = read_lut_blif(out, like=self.net, k=k, care=self.care)
        if not np.array_equal(simulate(luts, self.words), self.expected):
            raise CheckFailedError(
                f"ABC changed what the netlist computes, by the script {'; '.join(commands)!r}"
            )
        return luts

    def _write(self, gates: Netlist) -> str:
        write_aiger(gates, self.folder / "gates.aig", symbols=False)
        return "gates.aig"

    def _attempt(self, name: str, gates: Netlist, commands: Sequence[str]) -> LutNetlist | None:
        """Map `gates` by `commands`; keep the result if it is the best. None if there is none."""
        clock = time.monotonic()
        try:
            luts = self._abc(self._write(gates), commands, k=self.k)
        except (ToolTimeoutError, ToolFailedError) as error:
            self._failed(name, clock, error)
            return None
        self._record(name, clock, luts)
        if luts.depth <= self.depth_bound:
            best = self.best
            if best is None or (luts.n_luts, luts.depth) < (best.n_luts, best.depth):
                self.best = luts
        return luts

    def _bounded(self, name: str, gates: Netlist, scripts: Sequence[list[str]]) -> None:
        """Map `gates` by the first of `scripts` that keeps the bound on the depth."""
        for script in scripts:
            luts = self._attempt(name, gates, script)
            # ABC says beforehand that it cannot keep a bound, or finds out on the way
            is_late = luts is not None and luts.depth > self.depth_bound
            if not is_late and not (luts is None and MISSED in self.trials[-1].reason):
                return

    def _covers(self, choices: str) -> list[list[str]]:
        return lut_scripts.covers(choices, self.k, self.depth_bound, self.optimal_depth)

    def _restructure(self, gates: Netlist, number: int) -> Netlist:
        """`gates` restructured; the same where time ran out."""
        clock = time.monotonic()
        try:
            new = self._abc(self._write(gates), lut_scripts.restructure(number), k=2)
            return to_netlist(self._with_care(new) if self.care == "thermometer" else new)
        except (ToolTimeoutError, ToolFailedError) as error:
            self._failed(f"restructuring {number + 1}", clock, error)
            return gates

    def _with_care(self, gates: LutNetlist) -> LutNetlist:
        """`gates` after resubstitution behind the prefix, which drops away."""
        net = to_netlist(gates)
        prefixed = legalised(net)
        n_prefix = prefixed.n_gates - net.n_gates
        if not n_prefix:
            return gates
        write_lut_blif(prefixed, self.folder / "legal.blif")
        result = self._abc("legal.blif", lut_scripts.care_script(n_prefix), k=2)
        return min(result, gates, key=lambda luts: luts.n_luts)

    def _failed(self, name: str, clock: float, error: Exception) -> None:
        # without any mapping so far there is nothing to fall back on
        text = str(error).split("\n", maxsplit=1)[0]
        if self.best is None and MISSED not in text:
            raise error
        self._record(name, clock, None, text)

    def _record(self, name: str, clock: float, luts: LutNetlist | None, reason: str = "") -> None:
        time_s = time.monotonic() - clock
        n_luts, depth = (None, None) if luts is None else (luts.n_luts, luts.depth)
        trial = Trial(name, n_luts, depth, time_s, reason, self.start)
        self.trials.append(trial)
        self.report(trial)
