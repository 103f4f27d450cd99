"""How fast does a LogicNetwork become an optimised Netlist and files, in how much memory?

    python benchmarks/compile.py [--quick] [--json FILE] [--runs N] [--level N]
    python benchmarks/compile.py --model "CIFAR G"

Compiles dense nets of 10^4, 10^5 and 10^6 gates and the LogicTreeNet models of `models.py`, up to
the 76.8 million gates of CIFAR G: kernels are simplified once and unrolled (`share_s`), the
structural passes run to a fixed point (`passes_s`), the manager verifies and simulates after each
(`checks_s`), Verilog and binary AIGER are streamed to files. Then, outside the times and the
memory, 64 random inputs go through an evaluator of the LogicNetwork that shares no code with the
compiler, and through the netlist: the scores must be equal. Each size runs in a process of its
own, whose peak memory is the system's figure (ru_maxrss), interpreter, numpy and LogicNetwork
included. Seconds are wall clock, `cpu_s` is processor time: one thread, on a shared machine.

--level N adds the seconds and gates of that optimisation level on nets of at most --level-gates.

The nets are SYNTHETIC: drawn from the mix of a trained net (`synthetic.py`, which shows how close
their shrink comes to it). `gates` counts them unrolled, before anything is simplified.

The floor is what the columns alone cost: the bytes that unrolling and one folding sweep must read
and write once, at the speed of a memory copy measured in the same run, two random reads a gate, for
the gates that are unrolled after sharing, and the copy of the files' bytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, in_process, save, table
from models import MODELS, logictreenet
from synthetic import STRUCTURAL, draw, mix
from synthetic import dense as synthetic

from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.lutnetlist import save_lutnetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import random_features, scores
from gate2hw.ir.unroll import instantiated_gates
from gate2hw.ir.verilog_gates import write_gates
from gate2hw.passes.manager import PassManager, run_pipeline
from gate2hw.passes.mapping.lutmap import map_luts
from gate2hw.passes.unroll_shared import unroll_shared

__all__ = ["synthetic"]

SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000, 100_000)
NAMES = ("MNIST S", "MNIST M", "MNIST L", "CIFAR S", "CIFAR M", "CIFAR B", "CIFAR G")
QUICK_NAMES = ("MNIST S", "CIFAR S")
PROFILE = "mnist-conv"
ONCE = ("CIFAR G",)
N_CHECKED = 64
GOALS = {
    "dense 1000000": ("total_s", 5.0, 10**9),
    "CIFAR G": ("with_files_s", 360.0, 16 * 10**9),
}
"""By net: the time meant, seconds, bytes."""

# tt, in0, in1, origin written by unrolling
UNROLL_BYTES = 13
# tt, in0, in1 read, a literal written, tt and two nodes written for what stays
FOLD_BYTES = 9 + 4 + 9
RANDOM_READS = 2


def network_of(name: str) -> LogicNetwork:
    """``dense 1000000`` or the name of a model."""
    if name.startswith("dense "):
        return synthetic(int(name.split()[1]))
    return draw(logictreenet(MODELS[name]), mix(PROFILE), name=name)


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_files(net: Netlist, folder: Path) -> dict[str, float]:
    """Stream both files; seconds and bytes of each."""
    clock = time.perf_counter()
    verilog, aiger = folder / "gates.v", folder / "gates.aig"
    with verilog.open("w", encoding="ascii") as file:
        write_gates(file, net, name="gates")
    middle = time.perf_counter()
    write_aiger(net, aiger, symbols=False)
    return {
        "verilog_s": middle - clock,
        "aiger_s": time.perf_counter() - middle,
        "verilog_bytes": verilog.stat().st_size,
        "aiger_bytes": aiger.stat().st_size,
    }


def compile_once(network: LogicNetwork) -> tuple[Netlist, dict[str, Any]]:
    """One run: the optimised netlist, seconds and counts."""
    cpu, clock = time.process_time(), time.perf_counter()
    start = unroll_shared(network)
    unrolled = time.perf_counter()
    shared, depth = start.n_gates, start.depth
    result = PassManager(STRUCTURAL).run(start)
    end = time.perf_counter()
    del start
    passes = sum(record.time_s for record in result.records)
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(result.net, Path(folder))
    row = {
        "gates_shared": shared,
        "gates_optimised": result.net.n_gates,
        "depth_shared": depth,
        "depth_optimised": result.net.depth,
        "share_s": unrolled - clock,
        "passes_s": passes,
        "checks_s": end - unrolled - passes,
        "total_s": end - clock,
        **files,
        "with_files_s": time.perf_counter() - clock,
        "cpu_s": time.process_time() - cpu,
        "passes": [
            {"name": r.name, "gates_after": r.gates_after, "time_s": r.time_s}
            for r in result.records
        ],
    }
    return result.net, row


def check(network: LogicNetwork, net: Netlist) -> float:
    """Compare scores on random inputs; seconds. SystemExit where they differ."""
    clock = time.perf_counter()
    assert net.encoder is not None
    x = random_features(net.encoder, N_CHECKED, np.random.default_rng(1))
    if not np.array_equal(evaluate(network, x), scores(net, x)):
        raise SystemExit("the netlist's scores are not those of the LogicNetwork")
    return time.perf_counter() - clock


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compile one net `--runs` times; medians, and the peak memory of this process."""
    n_runs, level = options.runs, options.level
    network = network_of(name)
    base = peak_bytes()
    runs = []
    for _ in range(n_runs):
        net, run = compile_once(network)
        runs.append(run)
    row: dict[str, Any] = {"net": name, "gates": instantiated_gates(network), **runs[-1]}
    for key, value in runs[-1].items():
        if isinstance(value, float):
            row[key] = statistics.median(run[key] for run in runs)
    for key in ("total_s", "with_files_s"):
        row[f"{key}_min"] = min(run[key] for run in runs)
        row[f"{key}_max"] = max(run[key] for run in runs)
    row |= {"n_runs": n_runs, "memory_before_bytes": base, "memory_peak_bytes": peak_bytes()}
    row["check_of_scores_s"] = check(network, net)
    if row["gates"] <= options.level_gates:
        clock = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            luts = map_luts(net, k=4)
            save_lutnetlist(Path(folder) / "luts4.npz", luts)
        row["luts4"] = luts.n_luts
        row["luts4_s"] = row["total_s"] + time.perf_counter() - clock
    if level is not None and row["gates"] <= options.level_gates:
        clock = time.perf_counter()
        best = run_pipeline(unroll_shared(network), level).net
        row["level"] = {
            "level": level,
            "gates": best.n_gates,
            "depth": best.depth,
            "time_s": time.perf_counter() - clock,
            "memory_peak_bytes": peak_bytes(),
        }
    return row


def speeds() -> dict[str, float]:
    """Bytes a second of a large copy (read and written counted), seconds a random 4-byte read."""
    source = np.ones(1 << 24, np.int64)
    target = np.empty_like(source)
    reads = np.random.default_rng(0).integers(0, 1 << 18, 1 << 20, dtype=np.int64)
    cached = np.ones(1 << 18, np.int32)
    copies, gathers = [], []
    for _ in range(5):
        clock = time.perf_counter()
        np.copyto(target, source)
        copies.append(2 * source.nbytes / (time.perf_counter() - clock))
        clock = time.perf_counter()
        np.take(cached, reads)
        gathers.append((time.perf_counter() - clock) / len(reads))
    return {"copy_bytes_per_s": max(copies), "random_read_s": min(gathers)}


def floor_s(row: dict[str, Any], speed: dict[str, float]) -> float:
    """The least time that the columns and files alone allow; see the module's text."""
    n_gates = row["gates_shared"]
    moved = (UNROLL_BYTES + FOLD_BYTES) * n_gates + row["verilog_bytes"] + row["aiger_bytes"]
    return moved / speed["copy_bytes_per_s"] + RANDOM_READS * n_gates * speed["random_read_s"]


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Gates and memory; then seconds, which also come as nanoseconds a gate."""
    print("SYNTHETIC nets (drawn with a trained net's mix), structural passes, one thread")
    counts = ("net", "gates", "gates_shared", "gates_optimised", "depth_optimised")
    cells = [
        [*(row[key] for key in counts), row["gates"] / row["gates_optimised"]]
        + [row[key] / 1e6 for key in ("memory_peak_bytes", "verilog_bytes", "aiger_bytes")]
        for row in rows
    ]
    print(table([*counts, "shrink", "peak MB", "Verilog MB", "AIGER MB"], cells))
    times = ("share_s", "passes_s", "checks_s", "total_s", "verilog_s", "aiger_s", "with_files_s")
    cells = [
        [row["net"], *(row[key] for key in (*times, "cpu_s"))]
        + [round(1e9 * row[key] / row["gates"]) for key in ("with_files_s", "cpu_s")]
        + [row["floor_s"], round(row["times_floor"])]
        for row in rows
    ]
    print(table(["net", *times, "cpu_s", "ns/gate", "cpu ns/gate", "floor_s", "x floor"], cells))
    mapped = [[row["net"], row["luts4"], row["luts4_s"]] for row in rows if "luts4" in row]
    print(table(["net", "LUT4", "LogicNetwork to LUT file, s"], mapped))
    leveled = [{"net": row["net"], **row["level"]} for row in rows if "level" in row]
    if leveled:
        print(table(list(leveled[0]), [list(entry.values()) for entry in leveled]))


def verdicts(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Which goals are met, for the nets that were measured."""
    met = {}
    for row in rows:
        if row["net"] in GOALS:
            key, time_s, memory = GOALS[row["net"]]
            met[row["net"]] = row[key] <= time_s and row["memory_peak_bytes"] <= memory
            print(
                f"goal, {row['net']}: {key} <= {time_s:g} and <= {memory / 1e9:g} GB: "
                f"{'met' if met[row['net']] else 'missed'}"
            )
    return met


def run_all(names: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each net in a process of its own."""
    rows = []
    for name in names:
        argv = ["--measure", name, "--runs", str(options.runs if name not in ONCE else 1)]
        if options.level is not None:
            argv += ["--level", str(options.level)]
        argv += ["--level-gates", str(options.level_gates)]
        row = in_process(__file__, *argv, timeout_s=3600)
        rows.append(row)
        print(f"{name}, {row['gates']:,} gates: {row['with_files_s']:.3f} s", file=sys.stderr)
    return rows


def main() -> int:
    """Print the tables, write the results; exit code 1 where a goal is missed."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--runs", type=int, default=3, help=f"runs of each net but {ONCE[0]} (default 3)"
    )
    parser.add_argument("--model", action="append", help="measure this net only, as 'CIFAR G'")
    parser.add_argument("--level", type=int, help="an optimisation level to time as well")
    parser.add_argument(
        "--level-gates", type=int, default=10**6, help="LUTs and --level up to this size"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return 0
    everything = [*(f"dense {size}" for size in SIZES), *NAMES]
    quick = [*(f"dense {size}" for size in QUICK_SIZES), *QUICK_NAMES]
    names = options.model or (quick if options.quick else everything)
    rows = run_all(names, options)
    # only now: a child's ru_maxrss would count what its parent held when it was started
    speed = speeds()
    for row in rows:
        row["floor_s"] = floor_s(row, speed)
        row["times_floor"] = (row["with_files_s"] - row["checks_s"]) / row["floor_s"]
    print_tables(rows)
    met = verdicts(rows)
    skipped = [name for name in everything if name not in names]
    if skipped:
        print(f"skipped: {', '.join(skipped)}")
    result = {"synthetic": True, "profile": PROFILE, "rows": rows, "speeds": speed}
    # a chosen few are a look, not the table of all
    options.quick = options.quick or bool(options.model)
    save("compile", {**result, "goals_met": met, "skipped": skipped}, options)
    return int(not all(met.values()))


if __name__ == "__main__":
    sys.exit(main())
