"""How many gates and LUT4 are left of a trained net, by our optimiser and by everybody else's?

    python benchmarks/quality.py [--quick] [--json FILE] [--models DIR] [--limit-s 600] [NET ...]

For each trained net (digits, mnist-conv, mnist-dense; those that --models does not hold yet are
trained first, MNIST from $GATE2HW_DATA): two-input gates after torchlogix's simplify, ABC's resyn2,
dc2 and dch, and ours at each level; LUT4 by Yosys's own flows from the raw gates, by ABC `if`, by
60 s of `&deepsyn`, and by ours. Encoder and popcount are not in any of these counts; inverters are
free everywhere; XOR is one gate everywhere (ABC's ANDs are mapped back to two-input gates by
`if -K 2 -a`). Every peer starts from the raw unrolled gates. Each pass of ours is proved, in a run
that is not timed.

--quick: digits only, 10 s of &deepsyn, one Yosys flow. A missing peer is null in the results, with
the reason, and the exit code is 1. `make peers` installs torchlogix.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, save, table
from quality_flows import (
    ABC_GATES,
    ABC_LUTS,
    ROOT,
    YOSYS_FLOWS,
    abc_gates,
    abc_luts,
    deepsyn,
    torchlogix,
    yosys_luts,
)

from gate2hw.errors import Gate2HWError
from gate2hw.flow import train
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.mapping.lutmap import map_luts
from gate2hw.passes.pipelines import LEVELS
from gate2hw.passes.proof.equivalence import Proof, prove_equal

NETS = ("digits", "mnist-conv", "mnist-dense")
GOAL_GATES = GOAL_YOSYS = 0.85
GOAL_DEEPSYN = 0.90
PROOF_TIMEOUT_S = 1800.0


def raw_netlist(name: str, models: Path) -> Netlist | str:
    """The unrolled net, trained first where it is not there; the reason where that fails."""
    folder = models / name
    if not (folder / "model.safetensors").is_file():
        print(f"training {name} into {folder}", flush=True)
        try:
            train(name, folder)
        except Gate2HWError as error:
            return str(error)
    return unroll(load_network(folder / "model.safetensors"))


def prove_passes(raw: Netlist, level: int, work: Path, care: str) -> set[str | None]:
    """The verdicts on every pass that changes something, in a run of its own."""

    def prove(before: Netlist, after: Netlist) -> Proof:
        return prove_equal(
            before,
            after,
            work_dir=work,
            timeout_s=PROOF_TIMEOUT_S,
            care=care,  # type: ignore[arg-type]
            relative=True,
        )

    outcome = run_pipeline(raw, level, care=care, output="class", prove=prove)  # type: ignore[arg-type]
    return {record.proof for record in outcome.records if record.changed}


def ours(raw: Netlist, work: Path, care: str) -> list[dict[str, Any]]:
    """One row a level: gates, depth, LUT4, seconds of each, and the verdict of the proof."""
    rows = []
    for level in LEVELS:
        start = time.perf_counter()
        outcome = run_pipeline(raw, level, care=care, output="class")  # type: ignore[arg-type]
        gates_s = time.perf_counter() - start
        start = time.perf_counter()
        net, effort = outcome.net, min(level, 2)
        luts = map_luts(
            net,
            k=4,
            care=care,  # type: ignore[arg-type]
            effort=effort,
            starts=outcome.snapshots,
        )
        luts_s = time.perf_counter() - start
        proofs = prove_passes(raw, level, work, care)
        rows.append(
            {
                "flow": f"gate2hw -O{level}" + ("" if care != "none" else " --care none"),
                "gates": net.n_gates,
                "depth": net.depth,
                "time_s": gates_s,
                "luts": luts.n_luts,
                "lut_depth": luts.depth,
                "time_luts_s": gates_s + luts_s,
                "proof": "equivalent" if proofs <= {"equivalent"} else "undecided",
            }
        )
    return rows


def measure(name: str, raw: Netlist, options: Any, work: Path) -> dict[str, Any]:
    """Every flow on one net, ours first."""
    quick, limit_s = options.quick, options.limit_s
    rows = [*ours(raw, work, "thermometer")]
    if not quick:
        rows += ours(raw, work, "none")[-1:]
    rows.append({"flow": "torchlogix simplify", **torchlogix(raw, work, limit_s)})
    for script in ABC_GATES:
        rows.append({"flow": f"abc {script}", **abc_gates(raw, script, work, limit_s)})
    for script, commands in ABC_LUTS.items():
        found = abc_luts(raw, commands, work, limit_s)
        rows.append({"flow": f"abc {script} -K 4 -a", **found})
    seconds = 10 if quick else 60
    rows.append({"flow": f"abc &deepsyn -T {seconds}; if", **deepsyn(raw, seconds, work)})
    for flow in list(YOSYS_FLOWS)[: 1 if quick else None]:
        rows.append({"flow": f"yosys {flow}", **yosys_luts(raw, flow, work, limit_s)})
    for row in rows:
        if "time_luts_s" not in row and "luts" in row:
            row["time_luts_s"] = row.pop("time_s")
    result = {"net": name, "raw_gates": raw.n_gates, "rows": rows}
    show(result)
    result["ratios"] = ratios(rows)
    for what, value in result["ratios"].items():
        print(f"{name}: {what} {'not measured' if value is None else f'{value:.3f}'}")
    return result


def ratios(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Ours at the highest level against the peers; the goals are 0.85, 0.85, 0.90 and 0.1."""
    best = next(row for row in rows if row["flow"] == f"gate2hw -O{LEVELS[-1]}")

    def least(start: str, what: str) -> float | None:
        found = [row[what] for row in rows if row["flow"].startswith(start) and what in row]
        return min(found) if found else None

    def over(peer: float | None, what: str) -> float | None:
        return None if not peer else float(best[what] / peer)

    return {
        "ratio_gates_vs_torchlogix": over(least("torchlogix", "gates"), "gates"),
        "ratio_gates_vs_abc_best": over(least("abc", "gates"), "gates"),
        "ratio_luts_vs_yosys_best": over(least("yosys", "luts"), "luts"),
        "ratio_luts_vs_deepsyn": over(least("abc &deepsyn", "luts"), "luts"),
        "ratio_time_vs_deepsyn": over(least("abc &deepsyn", "time_luts_s"), "time_luts_s"),
    }


def show(result: dict[str, Any]) -> None:
    """Print the table of one net."""
    keys = ("flow", "gates", "depth", "time_s", "luts", "lut_depth", "time_luts_s", "proof")
    print(f"\n{result['net']}: {result['raw_gates']:,} gates unrolled")
    cells = [
        [row.get(key, row.get("missing", "-")[:40] if key == "gates" else "-") for key in keys]
        for row in result["rows"]
    ]
    print(table(["flow", "gates", "depth", "s", "LUT4", "LUT depth", "s", "proof"], cells))


def main() -> int:
    """Measure all nets asked for; 1 where something is missing."""
    parser = arguments(__doc__)
    parser.add_argument("nets", nargs="*", default=[], metavar="NET", help=", ".join(NETS))
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "quality", metavar="DIR")
    parser.add_argument("--limit-s", type=float, default=600.0, help="of each peer's run")
    options = parser.parse_args()
    names = options.nets or (NETS[:1] if options.quick else NETS)
    results: list[dict[str, Any]] = []
    is_complete = True
    for name in names:
        raw = raw_netlist(name, options.models)
        if isinstance(raw, str):
            print(f"{name}: skipped: {raw}")
            results.append({"net": name, "missing": raw})
            is_complete = False
            continue
        with tempfile.TemporaryDirectory(prefix="gate2hw-quality-") as work:
            result = measure(name, raw, options, Path(work))
        results.append(result)
        is_complete &= not any("missing" in row for row in result["rows"])
    save("quality", {"nets": results}, options, packages=("numpy", "pyosys"))
    return 0 if is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
