"""Do the EPFL benchmark circuits come out proved equal, and with no more AND nodes?

    python benchmarks/epfl.py --circuits DIR [--quick] [--json FILE] [--level 3]

Each circuit of DIR (.aig, .aag, .blif or .v; or of the folder that $GATE2HW_EPFL names) is read,
written as AIGER and given to ABC's `strash`, from which everything starts: `gate2hw opt --mode
aiger` (cost: ANDs, then depth) beside ABC's resyn2 and dc2, once and ten times; and `gate2hw opt
--mode gates` (cost: two-input gates) beside the same scripts and `if -K 2 -a`. Every result of ours
is proved by ABC's `cec`; our reading of the file too, against ABC's own.

The suite is not part of this project: https://github.com/lsils/benchmarks has it. The package
circuitgraph on PyPI holds 19 of its 20 circuits (all but hyp) as Verilog of and, or and not, under
circuitgraph/netlists, where priority is called priority_ckt and mem_ctrl memctrl.

Circuits of more than --large ANDs (20,000) get one effort level less: level 3 takes minutes there.
--quick: circuits of at most 1,500 ANDs, at level 2. Exit code 1: the folder is missing, a circuit
could not be read, came out larger, has no proof, or at level 3 took more gates than ANDs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from common import arguments, save, table
from quality_flows import RESYN2

from gate2hw.errors import Gate2HWError
from gate2hw.flow import opt
from gate2hw.formats.circuits import read_circuit
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.tools.abc import cec, run_script

SUFFIXES: Final = (".aig", ".aag", ".blif", ".v")
VARIABLE: Final = "GATE2HW_EPFL"
QUICK_ANDS: Final = 1_500
CROSSED_LEVEL: Final = 3
"""From this level on, mode gates must not come out larger than mode aiger."""
PEERS: Final = {
    "resyn2": RESYN2.split("; "),
    "resyn2 x 10": RESYN2.split("; ") * 10,
    "dc2": ["dc2"],
    "dc2 x 10": ["dc2"] * 10,
}


def circuits(folder: Path | None) -> list[Path]:
    """The circuits of a folder, by name; SystemExit with the reason where there are none."""
    if folder is None:
        raise SystemExit(f"name the folder of circuits with --circuits DIR, or in ${VARIABLE}")
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder of circuits")
    found = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)
    if not found:
        raise SystemExit(f"{folder}: it holds no circuit ({', '.join(SUFFIXES)})")
    return found


def abc(source: Path, commands: list[str], target: Path, limit_s: float) -> dict[str, Any]:
    """ANDs, depth and seconds of ABC `commands` on `source`, or {"missing": reason}."""
    start = time.perf_counter()
    try:
        run_script(
            [f"read in{source.suffix}", "strash", *commands, "write out.aig"],
            inputs={f"in{source.suffix}": source},
            outputs={"out.aig": target},
            timeout_s=limit_s,
        )
    except Gate2HWError as error:
        return {"missing": str(error).splitlines()[0]}
    time_s = time.perf_counter() - start
    net = read_aiger(target)
    return {"ands": net.n_gates, "depth": net.depth, "time_s": time_s}


def abc_gates(source: Path, commands: list[str], target: Path, limit_s: float) -> dict[str, Any]:
    """Two-input gates, depth and seconds after `commands` and `if -K 2 -a`."""
    start = time.perf_counter()
    try:
        run_script(
            ["read in.aig", "strash", *commands, "if -K 2 -a", "write_blif out.blif"],
            inputs={"in.aig": source},
            outputs={"out.blif": target},
            timeout_s=limit_s,
        )
    except Gate2HWError as error:
        return {"missing": str(error).splitlines()[0]}
    time_s = time.perf_counter() - start
    # reading makes no gate of a constant, a wire or an inverter
    gates = read_circuit(target).n_gates
    return {"gates": gates, "time_s": time_s}


def ours(source: Path, target: Path, mode: Any, level: int, limit_s: float) -> dict[str, Any]:
    """What opt says of `source` in `mode` at `level`, or {"missing": reason}."""
    try:
        found = opt(source, target, level=level, mode=mode, timeout_s=limit_s)
    except Gate2HWError as error:
        return {"missing": str(error).splitlines()[0]}
    proof = {"proof": found["proof"]["result"], "proof_s": found["proof"]["time_s"]}
    return {**found["after"], "time_s": found["time_s"] - proof["proof_s"], **proof}


def reading(circuit: Path, source: Path, work: Path, limit_s: float) -> str:
    """ABC's verdict on our reading of `circuit` against its own."""
    own = abc(circuit, [], work / "own.aig", limit_s)
    if "missing" in own:
        return f"ABC does not read it: {own['missing']}"
    return cec(work / "own.aig", source, timeout_s=limit_s).status


def measure(circuit: Path, work: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """The row of one circuit; None where it is too large for --quick."""
    limit_s = options.limit_s
    row: dict[str, Any] = {"circuit": circuit.stem}
    try:
        net = read_circuit(circuit)
        write_aiger(net, work / "raw.aig", symbols=False)
    except Gate2HWError as error:
        return row | {"missing": str(error)}
    source = work / "strash.aig"
    start = abc(work / "raw.aig", [], source, limit_s)
    if "missing" in start:
        return row | start
    if options.quick and start["ands"] > QUICK_ANDS:
        return None
    row |= {"inputs": net.n_inputs, "outputs": net.n_outputs, "reading": "not compared"}
    row["reading"] = reading(circuit, source, work, limit_s)
    row["strash"] = {"ands": start["ands"], "depth": start["depth"]}
    row["level"] = level = max(0, options.level - (start["ands"] > options.large))
    row["aiger"] = ours(source, work / "ours.aig", "aiger", level, limit_s)
    row["gates"] = ours(source, work / "ours.npz", "gates", level, limit_s)
    row["peers"] = {
        name: abc(source, commands, work / "peer.aig", limit_s) for name, commands in PEERS.items()
    }
    row["peers_gates"] = {
        name: abc_gates(source, commands, work / "peer.blif", limit_s)
        for name, commands in PEERS.items()
    }
    return row


def faults(row: dict[str, Any]) -> Iterator[str]:
    """What keeps a row from saying: read right, proved equal, no larger."""
    if "missing" in row:
        yield row["missing"]
        return
    if row["reading"] != "equivalent":
        yield f"our reading against ABC's: {row['reading']}"
    for mode, unit in (("aiger", "ands"), ("gates", "gates")):
        found = row[mode]
        if "missing" in found:
            yield f"mode {mode}: {found['missing']}"
        elif found["proof"] != "equivalent":
            yield f"mode {mode}: {found['proof']}"
        elif found[unit] > row["strash"]["ands"]:
            yield f"mode {mode}: {found[unit]:,} {unit} of {row['strash']['ands']:,} ANDs"
    # there the passes start from those ANDs too, each of which is one gate at most
    gates, ands = row["gates"].get("gates"), row["aiger"].get("ands")
    if row["level"] >= CROSSED_LEVEL and None not in (gates, ands) and gates > ands:
        yield f"mode gates: {gates:,} gates, mode aiger has {ands:,} ANDs"


def cells(row: dict[str, Any]) -> list[Any]:
    """A row of the table."""
    if "missing" in row:
        return [row["circuit"], *["-"] * 12]
    best = min((p["ands"] for p in row["peers"].values() if "ands" in p), default="-")
    best_gates = min((p["gates"] for p in row["peers_gates"].values() if "gates" in p), default="-")
    aiger, gates = row["aiger"], row["gates"]
    return [
        row["circuit"],
        *row["strash"].values(),
        row["level"],
        *(aiger.get(key, "-") for key in ("ands", "depth", "time_s")),
        *(row["peers"][name].get("ands", "-") for name in ("resyn2", "dc2")),
        best,
        *(gates.get(key, "-") for key in ("gates", "time_s")),
        best_gates,
    ]


COLUMNS: Final = (
    "circuit", "ANDs", "depth", "level", "ours", "depth", "s", "resyn2", "dc2", "best of ABC",
    "gates", "s", "best of ABC",
)  # fmt: skip


def main() -> int:
    """Measure every circuit; 1 where one is not read right, not proved or larger."""
    parser = arguments(__doc__)
    given = os.environ.get(VARIABLE)
    parser.add_argument("--circuits", type=Path, metavar="DIR", default=given and Path(given))
    parser.add_argument("--level", type=int, choices=range(4), help="effort (default: 3)")
    parser.add_argument("--large", type=int, default=20_000, metavar="N", help="ANDs (see above)")
    parser.add_argument("--limit-s", type=float, default=600.0, help="of each proof and each peer")
    options = parser.parse_args()
    if options.level is None:
        options.level = 2 if options.quick else 3
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for circuit in circuits(options.circuits):
        with tempfile.TemporaryDirectory(prefix="gate2hw-epfl-") as work:
            row = measure(circuit, Path(work), options)
        if row is None:
            skipped.append(circuit.stem)
            continue
        rows.append(row | {"faults": list(faults(row))})
        print(table(COLUMNS, [cells(row)]).splitlines()[-1], flush=True)
    print(table(COLUMNS, [cells(row) for row in rows]))
    bad = [f"{row['circuit']}: {fault}" for row in rows for fault in row["faults"]]
    if skipped:
        print(f"skipped by --quick: {', '.join(skipped)}")
    print("\n".join(bad) or f"{len(rows)} circuits: read as ABC reads them, proved, none larger")
    result = {"level": options.level, "large": options.large, "rows": rows}
    result |= {"skipped": skipped, "faults": bad}
    save("epfl", result, options)
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
