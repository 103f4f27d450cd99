"""The proof that the emitted Verilog gates are the netlist: read back by Yosys, compared by ABC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gate2hw.errors import CheckFailedError
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, simulate, unpack
from gate2hw.rtl import Manifest
from gate2hw.tools.abc import cec
from gate2hw.tools.yosys import gates_to_aiger

__all__ = ["PROOF_TIMEOUT_S", "only_used_inputs", "prove_gates"]

PROOF_TIMEOUT_S = 1800.0


def only_used_inputs(net: Netlist) -> Netlist:
    """`net` as a plain circuit of its used inputs alone, in rising order: the ports of the RTL."""
    used = net.used_inputs()
    node = np.zeros(net.n_nodes, np.int32)
    node[1 + used] = np.arange(1, 1 + len(used), dtype=np.int32)
    gates = np.arange(net.n_gates, dtype=np.int32)
    node[net.first_gate :] = 1 + len(used) + gates
    outputs = 2 * node[net.outputs >> 1].astype(np.int64) + (net.outputs & 1)
    return replace(
        net,
        n_inputs=len(used),
        in0=node[net.in0],
        in1=node[net.in1],
        outputs=outputs,
        head=Head.none(net.n_outputs),
        encoder=None,
        names=Names(),
    )


def prove_gates(net: Netlist, rtl_dir: Path, manifest: Manifest, work_dir: Path) -> dict[str, Any]:
    """Prove the Verilog gate cloud in `rtl_dir` equal to `net`, pipeline registers as wires.

    Returns ``{"result": "equivalent", "time_s": ...}``. Raises CheckFailedError with the
    counter-example and what the netlist gives for it where they differ or nothing was decided.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    module = manifest.modules["gates"]
    plain = only_used_inputs(net)
    ours, theirs = work_dir / "netlist.aig", work_dir / f"{module}.aig"
    write_aiger(plain, ours)
    gates_to_aiger(
        [rtl_dir / f"{module}.v"],
        top=module,
        out_path=theirs,
        timeout_s=PROOF_TIMEOUT_S,
        registers_as_wires=bool(manifest.gate_registers),
    )
    verdict = cec(ours, theirs, timeout_s=PROOF_TIMEOUT_S)
    if verdict.status == "equivalent":
        return {"result": "equivalent", "time_s": round(verdict.time_s, 3)}
    details = {"method": "ABC cec", "status": verdict.status}
    if verdict.status == "undecided":
        raise CheckFailedError(
            f"ABC came to no verdict about {module} within {PROOF_TIMEOUT_S:.0f} s", details=details
        )
    text = f"{rtl_dir / module}.v differs from netlist.npz"
    if verdict.counterexample is not None:
        words = pack(np.array([verdict.counterexample], bool))
        expected, found = (
            unpack(simulate(side, words), 1)[0] for side in (plain, read_aiger(theirs))
        )
        x = "".join(map(str, verdict.counterexample))
        outputs = np.flatnonzero(expected != found)
        text += (
            f": replayed on both with x = {x} (bit 0 first), {len(outputs)} outputs differ, first "
            f"y[{outputs[0]}], {int(expected[outputs[0]])} in the netlist"
            if len(outputs)
            else ", but the counter-example of ABC could not be replayed"
        )
    raise CheckFailedError(text, details=details)
