"""The plain module around a device under test: only its ports need to be visible to the bench.

With Verilator's ``--public-depth 1`` the wires of this module stay readable and everything below
is optimised, which is what makes large netlists build and run in seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from sim.job import Manifest, read_manifest

__all__ = ["BenchKind", "wrapper_name", "wrapper_verilog"]

BenchKind = Literal["core", "top"]


def wrapper_name(manifest: Manifest, kind: BenchKind) -> str:
    """The module name of the wrapper, the toplevel of the simulation."""
    return f"{manifest.name}_{kind}_bench"


def _ports(manifest: Manifest, kind: BenchKind) -> list[tuple[str, str, int]]:
    """(direction, name, width) of the ports of the device under test."""
    clock = [("input", "clk", 1), ("input", "rst", 1)]
    if kind == "top":
        width = 8 * manifest.bus_bytes
        return [
            *clock,
            ("input", "s_axis_tdata", width),
            ("input", "s_axis_tvalid", 1),
            ("output", "s_axis_tready", 1),
            ("input", "s_axis_tlast", 1),
            ("output", "m_axis_tdata", width),
            ("output", "m_axis_tvalid", 1),
            ("input", "m_axis_tready", 1),
            ("output", "m_axis_tlast", 1),
            ("output", "frame_error", 1),
        ]
    ports = [
        ("input", "in_valid", 1),
        ("input", "bits", max(1, len(manifest.used_inputs))),
        ("output", "out_valid", 1),
        ("output", "class_index", manifest.class_width),
    ]
    if manifest.has_scores:
        ports.append(("output", "scores", manifest.n_classes * manifest.score_width))
    return [*clock, ("input", "ce", 1), *ports] if manifest.core_latency_cycles else ports


def wrapper_verilog(manifest: Manifest, kind: BenchKind) -> str:
    """Verilog-2005 text of `wrapper_name`, with the ports of the device under test and no more."""
    lines = ["`timescale 1ns/1ps", "", f"module {wrapper_name(manifest, kind)} ("]
    ports = _ports(manifest, kind)
    for number, (direction, name, width) in enumerate(ports):
        span = f"[{width - 1}:0] " if width > 1 else ""
        lines.append(f"    {direction} wire {span}{name}{',' if number + 1 < len(ports) else ''}")
    lines += [");", "", f"    {manifest.modules[kind]} dut ("]
    lines.append(",\n".join(f"        .{name}({name})" for _, name, _ in ports))
    lines += ["    );", "", "endmodule", ""]
    return "\n".join(lines)


def main() -> None:
    """``python -m sim.wrapper MANIFEST core|top OUT``: write the wrapper of a bench."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("kind", choices=["core", "top"])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.write_text(wrapper_verilog(read_manifest(args.manifest), args.kind), encoding="utf-8")


if __name__ == "__main__":
    main()
