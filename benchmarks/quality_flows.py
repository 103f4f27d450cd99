"""What `quality.py` compares with: torchlogix, ABC scripts, Yosys's own synthesis, each timed.

Every function returns {"gates" or "luts": int, "time_s": float, ...}, or {"missing": reason}.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import ToolError
from gate2hw.formats.circuit_json import write_circuit_json
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.ir.verilog_gates import write_gates
from gate2hw.tools.abc import run_script
from gate2hw.tools.yosys import synthesise

ROOT: Final = Path(__file__).resolve().parent.parent
PEER_PYTHON: Final = ROOT / "build" / "peers" / "torchlogix" / "bin" / "python"

# abc.rc's aliases, spelled out: -q reads no abc.rc
RESYN2: Final = (
    "balance; rewrite; refactor; balance; rewrite; rewrite -z; balance; refactor -z; "
    "rewrite -z; balance"
)
ABC_GATES: Final = {
    "resyn2": ["strash", *RESYN2.split("; ")],
    "resyn2 x 3": ["strash", *(RESYN2.split("; ") * 3)],
    "dc2": ["strash", *["dc2"] * 4],
    "dch": ["strash", "dch", "balance", "dch"],
}
ABC_LUTS: Final = {
    "if": ["strash", "if -K 4 -a"],
    "resyn2; if": ["strash", *RESYN2.split("; "), "if -K 4 -a"],
    "dch; if": ["strash", "dch", "if -K 4 -a"],
}
YOSYS_FLOWS: Final = {
    "synth_ice40": ("ice40", []),
    "synth_ice40 -abc9": ("ice40", ["-abc9", "-device", "hx"]),
    "synth_ecp5": ("ecp5", []),
    "synth_ecp5 -nowidelut": ("ecp5", ["-nowidelut"]),
}
_TRIVIAL = ("CONST_FALSE", "CONST_TRUE", "WIRE", "NOT", "NOT_A", "NOT_B")


def _plain(net: Netlist) -> Netlist:
    return net.with_(head=Head.none(net.n_outputs), encoder=None)


def torchlogix(raw: Netlist, work: Path, limit_s: float) -> dict[str, Any]:
    """Gates after torchlogix's simplify; its inverters are not counted, as ours are not."""
    if not PEER_PYTHON.is_file():
        return {"missing": "torchlogix is not installed; run: make peers"}
    path = work / "raw.json"
    write_circuit_json(raw, path)
    script = Path(__file__).parent / "peers" / "torchlogix_simplify.py"
    try:
        run = subprocess.run(
            [PEER_PYTHON, script, path],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"missing": f"did not end within {limit_s:g} s"}
    if run.returncode:
        return {"missing": run.stderr.strip().splitlines()[-1]}
    found = json.loads(run.stdout.splitlines()[-1])
    gates = sum(n for op, n in found["by_op"].items() if op not in _TRIVIAL)
    inverters = sum(found["by_op"].get(op, 0) for op in ("NOT", "NOT_A", "NOT_B"))
    return {"gates": gates, "inverters": inverters, **found}


def _abc_count(net: Netlist, commands: list[str], work: Path, limit_s: float) -> dict[str, Any]:
    """Nodes of the network that ABC ends with, from the BLIF that it writes."""
    write_aiger(_plain(net), work / "in.aig", symbols=False)
    start = time.perf_counter()
    try:
        run = run_script(
            ["read_aiger in.aig", *commands, "write_blif out.blif"],
            inputs={"in.aig": work / "in.aig"},
            outputs={"out.blif": work / "out.blif"},
            timeout_s=limit_s,
        )
    except ToolError as error:
        return {"missing": str(error)}
    time_s = time.perf_counter() - start
    n_tables = 0
    with (work / "out.blif").open() as file:
        for line in file:
            # a table of one signal is a wire or an inverter between nodes and outputs
            n_tables += line.startswith(".names") and len(line.split()) > 3
    return {"nodes": n_tables, "time_s": time_s, "memory_bytes": run.memory_bytes}


def abc_gates(raw: Netlist, name: str, work: Path, limit_s: float) -> dict[str, Any]:
    """ANDs after an ABC script, and two-input gates (XOR as one) after `if -K 2 -a` on them."""
    ands = _abc_count(raw, ABC_GATES[name], work, limit_s)
    found = _abc_count(raw, [*ABC_GATES[name], "if -K 2 -a"], work, limit_s)
    if "missing" in ands or "missing" in found:
        return ands if "missing" in ands else found
    return {"gates": found["nodes"], "ands": ands["nodes"], "time_s": found["time_s"]}


def abc_luts(net: Netlist, commands: list[str], work: Path, limit_s: float) -> dict[str, Any]:
    """LUTs after ABC `commands`, which end in a mapping."""
    found = _abc_count(net, commands, work, limit_s)
    return found if "missing" in found else {"luts": found.pop("nodes"), **found}


def deepsyn(net: Netlist, seconds: int, work: Path) -> dict[str, Any]:
    """LUT4 after `seconds` of &deepsyn and an area-oriented mapping."""
    commands = ["&get", f"&deepsyn -T {seconds}", "&put", "dch", "if -K 4 -a"]
    return abc_luts(net, commands, work, 10.0 * seconds + 300)


def yosys_luts(raw: Netlist, flow: str, work: Path, limit_s: float) -> dict[str, Any]:
    """LUT4 cells after one of Yosys's own flows, from the raw gates as Verilog."""
    family, options = YOSYS_FLOWS[flow]
    source = work / "raw_gates.v"
    with source.open("w", encoding="ascii") as file:
        write_gates(file, raw, name="raw_gates")
    try:
        found = synthesise(
            [source],
            top="raw_gates",
            family=family,
            json_path=work / "raw.json",
            verilog_path=work / "raw_synth.v",
            timeout_s=limit_s,
            options=options,
        )
    except ToolError as error:
        return {"missing": str(error).splitlines()[0][:200]}
    return {"luts": found.luts, "time_s": found.time_s, "memory_bytes": found.memory_bytes}
