"""A waveform of emitted Verilog under given inputs, by Yosys' own simulator: no compiler needed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from gate2hw.tools.run import scratch_dir
from gate2hw.tools.yosys_script import read_sources, run_script

__all__ = ["simulate"]


def simulate(
    sources: Sequence[Path],
    *,
    top: str,
    inputs: Mapping[str, int],
    steps: Sequence[Mapping[str, int]],
    out_path: Path,
) -> None:
    """Run module `top`, clocked by ``clk``, and write all of its signals as VCD, scopes as modules.

    `inputs` are names and widths of the inputs that `steps` drive, one mapping a clock cycle.
    Registers start unknown. Raises InputError for missing sources, ToolError where Yosys fails.
    """
    clock = {"path": ["\\clk"], "edge": "posedge", "offset": 0}
    signals = [
        {"path": [f"\\{name}"], "offset": 0, "width": width, "init_only": False}
        for name, width in inputs.items()
    ]
    # the first signal is the rightmost bits
    rows = [
        {"bits": "".join(f"{step[name]:0{inputs[name]}b}" for name in reversed([*inputs]))}
        for step in steps
    ]
    witness = {"format": "Yosys Witness Trace", "generator": "gate2hw"}
    with scratch_dir(out_path.parent.resolve(), "wave") as work:
        lines = read_sources(work, sources)
        content = {**witness, "clocks": [clock], "signals": signals, "steps": rows}
        (work / "steps.yw").write_text(json.dumps(content), encoding="utf-8")
        lines += [f"hierarchy -check -top {top}", "proc", "flatten"]
        lines += [f"sim -q -r steps.yw -hdlname -vcd out.vcd {top}"]
        run_script(work, lines, ["out.vcd"])
        os.replace(work / "out.vcd", out_path)
