"""A clock as a promise: choose registers, route, read the timing, choose again.

Each try is a build folder of its own under ``DIR/TARGET/tries``, so a search that was interrupted
goes on where it stopped. What is kept in the end is the try that met the clock, or the fastest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gate2hw.errors import InputError
from gate2hw.flow.build import BuildFolder, Progress, key_of
from gate2hw.flow.clock.routing import Request, clean, route
from gate2hw.flow.clock.stages import CORE_BLOCKS, Delays, Shape, Stages, best_within, cheapest_for
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest
from gate2hw.tools.targets import Target

__all__ = ["Goal", "delays_of", "keep", "search", "tries_path"]

_LEVELS_ICE40: Final = {"gates": 1.55, "popcount": 1.05, "compare": 3.0, "select": 1.4}
_LEVELS_ECP5: Final = {"gates": 1.5, "popcount": 1.3, "compare": 2.2, "select": 1.3}
_DELAYS: Final[Mapping[str, Delays]] = MappingProxyType(
    {
        "ice40": Delays(1.0, {**_LEVELS_ICE40, "stream": 1.6}),
        "ecp5": Delays(0.7, {**_LEVELS_ECP5, "stream": 1.3}),
    }
)
_SLOW_ICE40: Final = 2.6
"""How much slower than the HX parts the UP5K is."""
_SEED_TRIES: Final = 3
_SEED_SHARE: Final = 3
"""So many tries, at most one of so many, are kept for other placements of the best registers."""
_AIM: Final = 1.2
"""Where no clock is asked for, place and route aims that much higher than the estimate."""
_NEAR: Final = 0.85
_FAR_SEEDS: Final = 2
"""Where the best misses the clock by more, so many other placements are enough."""
_GAIN: Final = 0.995
"""The estimate must promise at least this much less than the best period, or no stage is added."""


@dataclass(frozen=True)
class Goal:
    """What is looked for: `clock_mhz` with as few cycles as may be, or the fastest clock within
    `latency_cycles` of the top, or both (then the latter, until the clock is met). `n_tries` is
    how often place and route may run."""

    clock_mhz: float | None = None
    latency_cycles: int | None = None
    n_tries: int = 10


def delays_of(target: Target) -> Delays:
    """The estimate's constants for `target`."""
    delays = _DELAYS[target.family]
    if "--up5k" not in target.device_args:
        return delays
    slower = {block: time_ns * _SLOW_ICE40 for block, time_ns in delays.level.items()}
    return Delays(delays.fixed * _SLOW_ICE40, slower)


def tries_path(folder: BuildFolder, target: Target) -> Path:
    """Where the tries of an unfinished search lie."""
    return folder.path / target.name / "tries"


@dataclass
class _Search:
    folder: BuildFolder
    target: Target
    goal: Goal
    request: Request
    inputs: dict[str, Any]
    shape: Shape
    delays: Delays
    progress: Progress
    plain: Stages
    found: list[tuple[Path, Request, dict[str, Any]]] = field(default_factory=list)

    @property
    def tried(self) -> list[Stages]:
        return [request.stages for _, request, _ in self.found if request.stages is not None]

    def period_ns(self, result: Mapping[str, Any]) -> float:
        return 1e3 / float(result["fmax_mhz"])

    def run(self, stages: Stages, seed: int) -> dict[str, Any]:
        """One try, or what an earlier search found out about it."""
        aim = round(_AIM * 1e3 / self.delays.period_ns(stages, self.shape), 1)
        clock = self.goal.clock_mhz or aim
        request = replace(self.request, stages=stages, seed=seed, clock_mhz=clock)
        number, most = len(self.found), self.goal.n_tries
        name = f"{stages}_seed={seed}".replace("=", "").replace(",", "_")
        out = tries_path(self.folder, self.target) / name
        told = f"try {number + 1} ({stages}, seed {seed})"

        def inner(done: int, total: int, message: str) -> None:
            if done < total:
                doing = message.rpartition(": ")[2]
                self.progress(number, most, f"{self.target.name}, {told}: {doing}")

        key = key_of(step="try", request=request.to_json(), **self.inputs)
        result = (
            BuildFolder(out)
            .run("try", key, lambda: route(self.folder, out, self.target, request, inner))
            .result
        )
        self.found.append((out, request, result))
        said = "does not fit"
        if result["fits"]:
            said = f"{result['fmax_mhz']:.1f} MHz, slowest in {result['critical']['block']}"
        # begins otherwise than the lines before it: what a try gave is shown, however soon it comes
        self.progress(number + 1, most, f"{told} on {self.target.name}: {said}")
        return result

    def best(self) -> tuple[Path, Request, dict[str, Any]]:
        """The first that met the clock, else the fastest, else the first."""
        fitting = [entry for entry in self.found if entry[2]["fits"]]
        met = [entry for entry in fitting if self.is_met(entry[2])]
        if met:
            return met[0]
        return max(fitting, key=lambda entry: entry[2]["fmax_mhz"], default=self.found[0])

    def is_met(self, result: Mapping[str, Any]) -> bool:
        clock = self.goal.clock_mhz
        return clock is not None and bool(result["fits"]) and result["fmax_mhz"] >= clock

    def choose(self) -> Stages | None:
        """The next registers to try, or None where the estimate promises no gain."""
        goal, shape = self.goal, self.shape
        known = {*self.tried, *self.too_many()}
        if goal.latency_cycles is not None:
            stages = best_within(goal.latency_cycles, shape, self.delays, known)
        else:
            assert goal.clock_mhz is not None
            stages = cheapest_for(1e3 / goal.clock_mhz, shape, self.delays, known)
        fitting = [result for _, _, result in self.found if result["fits"]]
        if stages is not None and fitting:
            fastest = min(map(self.period_ns, fitting))
            if self.delays.period_ns(stages, shape) > _GAIN * fastest:
                return None
        return stages

    def too_many(self) -> Iterator[Stages]:
        """The registers that are no fewer, anywhere, than some that did not fit."""
        refused = [asked.stages for _, asked, result in self.found if not result["fits"]]
        for stages in self.shape.choices(fewer=True):
            if any(one is not None and stages.has_all_of(one) for one in refused):
                yield stages

    def fewer(self) -> Stages | None:
        """What to try where the last did not fit: the registers of the generic RTL, then what lies
        between; if not even those fit, nothing does."""
        if self.plain not in self.tried:
            return self.plain
        return self.choose() if any(result["fits"] for _, _, result in self.found) else None

    def learn(self, stages: Stages, result: Mapping[str, Any]) -> None:
        """Correct the estimate by what place and route found."""
        period_ns, block = self.period_ns(result), result["critical"]["block"]
        self.delays = self.delays.bounded(stages, self.shape, period_ns)
        self.delays = self.delays.corrected(stages, self.shape, [block], period_ns)

    def wants_seed(self) -> bool:
        """Whether another placement of the best may do: it has missed the clock by little."""
        best = self.best()[2]
        n_seeds = len(self.found) - len(set(self.tried))
        if not best["fits"]:
            return False
        is_near = self.goal.clock_mhz is None or best["fmax_mhz"] > _NEAR * self.goal.clock_mhz
        return is_near or n_seeds < _FAR_SEEDS

    def go(self) -> None:
        """Try until the clock is met or nothing more is to be gained."""
        seed = self.request.seed
        n_kept = min(_SEED_TRIES, self.goal.n_tries // _SEED_SHARE)
        stages = self.choose()
        while stages is not None and len(self.found) < self.goal.n_tries:
            result = self.run(stages, seed)
            if self.is_met(result):
                return
            left = self.goal.n_tries - len(self.found)
            if not result["fits"]:
                stages = self.fewer() if left > n_kept or self.plain not in self.tried else None
            else:
                self.learn(stages, result)
                # registers in the core do not help a path outside of it, another placement may
                in_core = result["critical"]["block"] in CORE_BLOCKS
                stages = self.choose() if in_core and left > n_kept else None
            if stages is None and self.wants_seed():
                stages, seed = self.best()[1].stages, seed + 1


def _entry(request: Request, result: Mapping[str, Any]) -> dict[str, Any]:
    """A try in the results."""
    stages = request.stages
    entry: dict[str, Any] = {
        "name": str(stages),
        "stages": None if stages is None else stages.to_json(),
        "seed": request.seed,
        "fits": result["fits"],
    }
    names = ("fmax_mhz", "clock_mhz", "luts", "ffs", "logic_cells", "latency_cycles")
    if result["fits"]:
        entry |= {name: result[name] for name in names}
        entry["critical_block"] = result["critical"]["block"]
    return entry


def keep(
    folder: BuildFolder, target: Target, out: Path, result: dict[str, Any]
) -> tuple[list[Path], dict[str, Any]]:
    """Copy a try from `out` to where the results of `target` are; its files, and the result."""
    home = folder.path / target.name
    clean(home)
    for stale in (home / "rtl").glob("*"):
        stale.unlink()
    names = sorted(BuildFolder(out).steps()["try"]["files"])
    patterns = ("*.asc", "*.config", "*.log", "*_nextpnr.json", "constraints.*")
    beside = [path.name for pattern in patterns for path in sorted(out.glob(pattern))]
    for name in [*names, *beside]:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, home / name)
    if result["fits"]:
        bitstream = home / Path(result["bitstream"]).name
        result = {**result, "bitstream": bitstream.relative_to(folder.path).as_posix()}
        write_text(home / "results.json", json.dumps(result, indent=2, sort_keys=True) + "\n")
    return [home / name for name in names], result


def search(
    folder: BuildFolder,
    target: Target,
    goal: Goal,
    request: Request,
    *,
    shape: Shape,
    inputs: dict[str, Any],
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    """Look for the registers that `goal` asks for; the files of the best try, and its result.

    The result has, beside the figures of the try, ``tries``: what each of them gave. `inputs` is
    what a try depends on besides its request. Raises InputError where no choice of registers has
    so few cycles.
    """
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    around = generic.top_latency_cycles - generic.core_latency_cycles
    if goal.latency_cycles is not None:
        if goal.latency_cycles < around:
            raise InputError(
                f"latency_cycles is {goal.latency_cycles}; receiver and sender alone take {around}"
            )
        goal = replace(goal, latency_cycles=goal.latency_cycles - around)
    plain = Stages.of(generic)
    if goal.latency_cycles is not None and plain.cycles(shape.n_classes) > goal.latency_cycles:
        plain = Stages(outputs=False, scores=False, tree=False)
    looking = _Search(
        folder, target, goal, request, inputs, shape, delays_of(target), progress, plain
    )
    looking.go()
    out, best, result = looking.best()
    result = {**result, "tries": [_entry(asked, one) for _, asked, one in looking.found]}
    if result["fits"] and goal.clock_mhz is None:
        # no clock was asked for: what was reached is the clock
        result |= {"clock_mhz": result["fmax_mhz"], "clock_met": True}
    return keep(folder, target, out, {**result, "seed": best.seed})
