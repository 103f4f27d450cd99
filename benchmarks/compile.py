"""How fast does a LogicNetwork become an optimised Netlist, and in how much memory?

    python benchmarks/compile.py [--quick] [--json FILE] [--runs N]

Times unroll and the -O3 passes (a fixed point; verification and 64-vector checks after every pass
included, and also shown alone) at 10^4, 10^5 and 10^6 gates. Each size runs in a process of its
own, whose peak memory is the system's own figure (ru_maxrss), interpreter and numpy included.

The nets are SYNTHETIC: six dense layers with degree-balanced random wiring and a mix of functions
made up to look like a trained net's (45 % wires of the first input, as residual initialisation
leaves, all other functions rarer). The shrink they give says nothing about trained nets.

The floor is what the columns alone cost: the bytes that unroll and one folding sweep must read and
write once, at the speed of a memory copy measured in the same run, and the two random reads a gate.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np
from common import arguments, in_process, save, table

from gate2hw.ir.gates import TT_A, TT_B
from gate2hw.ir.layers import GroupSum, Layer, LogicDense, Thermometer
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.unroll import unroll
from gate2hw.passes.manager import run_pipeline

SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000, 100_000)
N_LAYERS, N_CLASSES = 6, 10
P_WIRE_A, P_WIRE_B = 0.45, 0.10
LEVEL = 3
GOAL_TIME_S, GOAL_MEMORY_BYTES = 5.0, 10**9

# LogicNetwork read: two wires and a uint64 table; Netlist written: tt, in0, in1, origin
UNROLL_BYTES = 16 + 13
# tt, in0, in1 read, a literal written, tt and two nodes written for what stays
FOLD_BYTES = 9 + 4 + 9
RANDOM_READS = 2


def synthetic(n_gates: int, seed: int = 0) -> LogicNetwork:
    """A dense network of about `n_gates` gates; see the module's text for the mix."""
    rng = np.random.default_rng(seed)
    width = n_gates // N_LAYERS // N_CLASSES * N_CLASSES
    mix = np.full(16, (1 - P_WIRE_A - P_WIRE_B) / 14)
    mix[TT_A], mix[TT_B] = P_WIRE_A, P_WIRE_B
    thermometer = Thermometer((1, 28, 28), np.array([[63, 127, 191]], np.int32), 255)
    layers: list[tuple[str, Layer]] = [("input", thermometer)]
    shape: tuple[int, ...] = thermometer.output_shape
    for number in range(N_LAYERS):
        size = int(np.prod(shape))
        # every signal is used equally often, give or take one
        uses = np.concatenate([rng.permutation(size) for _ in range(-(-2 * width // size))])
        wiring = uses[: 2 * width].reshape(2, width).T.astype(np.int32)
        tables = rng.choice(16, size=width, p=mix).astype(np.uint64)
        layers.append((f"dense{number + 1}", LogicDense(shape, wiring, tables)))
        shape = (width,)
    layers.append(("sum", GroupSum(shape, np.arange(N_CLASSES + 1) * (width // N_CLASSES))))
    return chain(layers, dataset="synthetic")


def measure(n_gates: int, n_runs: int) -> dict[str, Any]:
    """Compile one net `n_runs` times; medians, and the peak memory of this process."""
    network = synthetic(n_gates)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times: dict[str, list[float]] = {"unroll_s": [], "passes_s": [], "checks_s": [], "total_s": []}
    for _ in range(n_runs):
        clock = time.perf_counter()
        raw = unroll(network)
        unrolled = time.perf_counter()
        result = run_pipeline(raw, LEVEL)
        end = time.perf_counter()
        passes = sum(record.time_s for record in result.records)
        times["unroll_s"].append(unrolled - clock)
        times["passes_s"].append(passes)
        times["checks_s"].append(end - unrolled - passes)
        times["total_s"].append(end - clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    medians = {key: statistics.median(values) for key, values in times.items()}
    return {
        "gates": raw.n_gates,
        "gates_optimised": result.net.n_gates,
        "depth": raw.depth,
        "depth_optimised": result.net.depth,
        "n_runs": n_runs,
        **medians,
        "total_s_min": min(times["total_s"]),
        "total_s_max": max(times["total_s"]),
        "gates_per_s": raw.n_gates / medians["total_s"],
        "memory_before_bytes": base,
        "memory_peak_bytes": peak,
        "passes": [
            {"name": r.name, "gates_after": r.gates_after, "time_s": r.time_s}
            for r in result.records
        ],
    }


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


def floor_s(n_gates: int, speed: dict[str, float]) -> float:
    """The least time that the columns alone allow; see the module's text."""
    bytes_moved = (UNROLL_BYTES + FOLD_BYTES) * n_gates
    return bytes_moved / speed["copy_bytes_per_s"] + RANDOM_READS * n_gates * speed["random_read_s"]


def main() -> int:
    """Print the table, write the results; exit code 1 where the goal is missed at 10^6 gates."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each size (default 3)")
    parser.add_argument("--size", type=int, help="measure this size in this process, as JSON")
    options = parser.parse_args()
    if options.size:
        print(json.dumps(measure(options.size, options.runs)))
        return 0
    sizes = QUICK_SIZES if options.quick else SIZES
    rows = []
    for size in sizes:
        row = in_process(__file__, "--size", str(size), "--runs", str(options.runs), timeout_s=600)
        rows.append(row)
        print(f"{row['gates']:,} gates: {row['total_s']:.3f} s", file=sys.stderr)
    # only now: a child's ru_maxrss would count what its parent held when it was started
    speed = speeds()
    for row in rows:
        row["floor_s"] = floor_s(row["gates"], speed)
        row["times_floor"] = (row["unroll_s"] + row["passes_s"]) / row["floor_s"]
    print("synthetic nets (functions and wiring drawn, not trained), -O3, medians, one thread")
    columns = ("gates", "gates_optimised", "unroll_s", "passes_s", "checks_s", "total_s")
    shown = [
        [
            *(row[key] for key in columns),
            round(row["gates_per_s"]),
            row["memory_peak_bytes"] // 10**6,
            row["floor_s"],
            round(row["times_floor"]),
        ]
        for row in rows
    ]
    print(table([*columns, "gates/s", "peak MB", "floor_s", "x floor"], shown))
    result: dict[str, Any] = {"synthetic": True, "level": LEVEL, "rows": rows, "speeds": speed}
    missed = False
    if rows[-1]["gates"] >= 0.99 * SIZES[-1]:
        time_s, memory = rows[-1]["total_s"], rows[-1]["memory_peak_bytes"]
        missed = time_s > GOAL_TIME_S or memory > GOAL_MEMORY_BYTES
        verdict = "missed" if missed else "met"
        print(f"goal, 10^6 gates in {GOAL_TIME_S:g} s and 1 GB: {verdict}")
        result["goal_met"] = not missed
    else:
        result["skipped"] = f"{SIZES[-1]:,} gates (--quick)"
        print(f"skipped: {result['skipped']}")
    save("compile", result, options)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
