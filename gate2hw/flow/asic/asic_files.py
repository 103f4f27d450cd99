"""Text files that an ASIC flow takes on: constraints, a LibreLane configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["constraints_text", "librelane_text", "readme_text"]


def constraints_text(top: str, inputs: Sequence[str], clock_ns: float, io_fraction: float) -> str:
    """Constraints of `top` in SDC (ns): its clock, and `io_fraction` of it outside each port."""
    delay = f"{io_fraction * clock_ns:.4f}"
    return (
        f"# {top}: timing constraints, written by gate2hw; times in ns\n"
        "# Every path is timed: no false path, no multicycle path. rst is synchronous, so it has\n"
        "# an input delay like any other input. What drives inputs and loads outputs depends on\n"
        "# the library and is not set here. A tool with other units must say so, not misread.\n"
        "set_units -time ns\n"
        f"create_clock -name clk -period {clock_ns:.4f} [get_ports clk]\n"
        f"set_input_delay {delay} -clock clk [get_ports {{{' '.join(inputs)}}}]\n"
        f"set_output_delay {delay} -clock clk [all_outputs]\n"
    )


def librelane_text(
    top: str, sources: Sequence[Path], sdc: Path, clock_ns: float, folder: Path
) -> str:
    """A LibreLane (OpenLane 2) configuration in `folder`, of the RTL `sources`, as JSON text."""

    def relative(path: Path) -> str:
        return "dir::" + Path(os.path.relpath(path, folder)).as_posix()

    config = {
        "//": "Written by gate2hw and not tested: LibreLane was never run on it.",
        "DESIGN_NAME": top,
        "VERILOG_FILES": [relative(source) for source in sources],
        "CLOCK_PORT": "clk",
        "CLOCK_PERIOD": round(clock_ns, 4),
        "PNR_SDC_FILE": relative(sdc),
        "SIGNOFF_SDC_FILE": relative(sdc),
        "FP_CORE_UTIL": 40,
    }
    return json.dumps(config, indent=2) + "\n"


def readme_text(top: str) -> str:
    """What stands beside the configuration."""
    return (
        f"# {top} for LibreLane\n\n"
        "**Not tested**: this configuration follows LibreLane's documentation, but gate2hw has\n"
        "never run LibreLane on it. With LibreLane and a PDK installed:\n\n"
        "```\nlibrelane config.json\n```\n\n"
        "It starts from the RTL, not from the netlist that gate2hw mapped to another library.\n"
        "The utilisation is a usual first value, the density of placement is left to LibreLane;\n"
        "the clock is the one that `gate2hw synth --target asic` was asked for.\n"
    )
