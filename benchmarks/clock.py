"""What does a pipeline stage buy: clock, latency, LUTs and flip-flops of a routed network?

    python benchmarks/clock.py [--quick] [--json FILE] [--model NAME] [--seeds N] [--rungs N]

Compiles a network of examples/models and places and routes the whole of it (encoder, gates,
popcounts, argmax, both streams) with more and more registers in the core, each with several
placement seeds. The rungs are what the estimate of `gate2hw synth --clock-mhz` would try first for
rising clocks, from the registers of the generic RTL to the most that it can think of; they are
given to `gate2hw synth --stages` as they stand in the table. `cells` are nextpnr's sites: a LUT
with its flip-flop (iCE40), or a LUT (ECP5). The full run is mnist-tiny, the quick one digits.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import arguments, save

import gate2hw
from gate2hw.flow.clock.clocking import delays_of
from gate2hw.flow.clock.stages import Shape, Stages, cheapest_for
from gate2hw.ir.lutnetlist import load_lutnetlist
from gate2hw.ir.store import load_netlist
from gate2hw.rtl import Manifest
from gate2hw.tools import registry
from gate2hw.tools.targets import load_target

MODELS = Path(__file__).parents[1] / "examples" / "models"
MODEL, QUICK_MODEL = "mnist-tiny", "digits"
TARGETS = {"ice40-hx8k": 150.0, "ecp5-25k": 250.0}
"""Targets and the clock that place and route is told to aim at, in MHz."""
SEEDS, QUICK_SEEDS = 3, 1
RUNGS, QUICK_RUNGS = 6, 2
STEPS = 200


def ladder(folder: Path, target: str, n_rungs: int) -> list[Stages]:
    """At most `n_rungs` choices of registers, from the fewest to the fastest."""
    net = load_netlist(folder / "netlist.npz")
    manifest = Manifest.load(folder / "rtl" / "manifest.json")
    shape = Shape.of(net, load_lutnetlist(folder / "luts4.npz"), manifest)
    delays = delays_of(load_target(target))
    slow = delays.period_ns(Stages.of(manifest), shape)
    found = [Stages.of(manifest)]
    for step in range(1, STEPS):
        stages = cheapest_for(slow * (1 - step / STEPS), shape, delays, [])
        if stages is not None and stages not in found:
            found.append(stages)
    last = len(found) - 1
    chosen = {round(i * last / max(1, n_rungs - 1)) for i in range(n_rungs)}
    return [found[i] for i in sorted(chosen)]


def measure(folder: Path, target: str, stages: Stages, n_seeds: int) -> dict[str, Any]:
    """One rung: the clock of each seed, and what the design takes."""
    runs = [
        gate2hw.synth(folder, target, clock_mhz=TARGETS[target], stages=str(stages), seed=seed + 1)
        for seed in range(n_seeds)
    ]
    row: dict[str, Any] = {"target": target, "stages": str(stages)}
    if not all(run["fits"] for run in runs):
        reason = next(run["reason"] for run in runs if not run["fits"])
        return {**row, "fits": False, "reason": reason}
    first, clocks = runs[0], sorted(run["fmax_mhz"] for run in runs)
    best = max(runs, key=lambda run: run["fmax_mhz"])
    return {
        **row,
        "fits": True,
        "latency_cycles": first["latency_cycles"],
        "luts": first["luts"],
        "ffs": first["ffs"],
        "cells": first["logic_cells"],
        "fmax_mhz": clocks,
        "fmax_mhz_median": round(statistics.median(clocks), 1),
        "fmax_mhz_best": round(clocks[-1], 1),
        "latency_ns": round(1e3 * first["latency_cycles"] / statistics.median(clocks), 1),
        "slowest_in": best["critical"]["block"],
    }


COLUMNS = {
    "target": 10,
    "stages": 30,
    "latency_cycles": 6,
    "luts": 6,
    "ffs": 6,
    "cells": 6,
    "fmax_mhz_median": 7,
    "fmax_mhz_best": 7,
    "latency_ns": 7,
    "slowest_in": 10,
}
TITLES = ("target", "stages", "cycles", "LUTs", "FFs", "cells", "MHz", "best", "ns", "slowest in")


def rows(model: str, n_seeds: int, n_rungs: int) -> Iterator[dict[str, Any]]:
    """All rungs on all targets; each is printed when it is there."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "build"
        gate2hw.compile(MODELS / model, folder)
        for target in TARGETS:
            for stages in ladder(folder, target, n_rungs):
                yield measure(folder, target, stages, n_seeds)


def main() -> int:
    """Measure, print the table, write the JSON file."""
    parser = arguments(__doc__)
    parser.add_argument("--model", help=f"a folder of examples/models (default: {MODEL})")
    parser.add_argument("--seeds", type=int, help=f"placements of each rung (default: {SEEDS})")
    parser.add_argument("--rungs", type=int, help=f"most rungs of a target (default: {RUNGS})")
    options = parser.parse_args()
    quick = options.quick
    model = options.model or (QUICK_MODEL if quick else MODEL)
    n_seeds = options.seeds or (QUICK_SEEDS if quick else SEEDS)
    n_rungs = options.rungs or (QUICK_RUNGS if quick else RUNGS)
    print("  ".join(f"{t:>{w}}" for t, w in zip(TITLES, COLUMNS.values(), strict=True)))
    results = []
    for row in rows(model, n_seeds, n_rungs):
        print("  ".join(f"{row.get(name, '-')!s:>{w}}" for name, w in COLUMNS.items()), flush=True)
        results.append(row)
    result = {
        "model": model,
        "tools": registry.versions(("yosys", "nextpnr-ice40", "nextpnr-ecp5")),
        "skipped": ["mnist-tiny, more rungs and seeds"] if quick else [],
        "results": results,
    }
    save("clock", result, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
