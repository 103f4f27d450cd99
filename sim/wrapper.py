"""The plain module around a device under test: only its ports need to be visible to the bench.

With Verilator's ``--public-depth 1`` the wires of this module stay readable and everything below
is optimised, which is what makes large netlists build and run in seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from sim.job import Manifest, read_manifest

__all__ = ["BenchKind", "ports", "wrapper_name", "wrapper_verilog"]

BenchKind = Literal["core", "top"]


def wrapper_name(manifest: Manifest, kind: BenchKind) -> str:
    """The module name of the wrapper, the toplevel of the simulation."""
    return f"{manifest.name}_{kind}_bench"


def ports(manifest: Manifest, kind: BenchKind) -> list[tuple[str, str, int]]:
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
    data = [
        ("input", "in_valid", 1),
        ("input", "bits", max(1, len(manifest.used_inputs))),
        ("output", "out_valid", 1),
        ("output", "class_index", manifest.class_width),
    ]
    if manifest.has_scores:
        data.append(("output", "scores", manifest.n_classes * manifest.score_width))
    return [*clock, ("input", "ce", 1), *data] if manifest.core_latency_cycles else data


def wrapper_verilog(manifest: Manifest, kind: BenchKind, fault_bits: int = 0) -> str:
    """Verilog-2005 text of `wrapper_name`, with the ports of the device under test and no more.

    With `fault_bits` the device has an input ``fault`` of that width besides, which the simulator's
    argument ``+fault=N`` sets; it is 0 without.
    """
    lines = ["`timescale 1ns/1ps", "", f"module {wrapper_name(manifest, kind)} ("]
    device = ports(manifest, kind)
    for number, (direction, name, width) in enumerate(device):
        span = f"[{width - 1}:0] " if width > 1 else ""
        lines.append(f"    {direction} wire {span}{name}{',' if number + 1 < len(device) else ''}")
    lines += [");", ""]
    names = [name for _, name, _ in device]
    if fault_bits:
        lines += [f"    reg [{fault_bits - 1}:0] fault;"]
        lines += ['    initial if (!$value$plusargs("fault=%d", fault)) fault = 0;', ""]
        names.append("fault")
    lines.append(f"    {manifest.modules[kind]} dut (")
    lines.append(",\n".join(f"        .{name}({name})" for name in names))
    lines += ["    );", "", "endmodule", ""]
    return "\n".join(lines)


def main() -> None:
    """``python -m sim.wrapper MANIFEST core|top OUT [--fault-bits N]``: write a bench's wrapper."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("kind", choices=["core", "top"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fault-bits", type=int, default=0)
    args = parser.parse_args()
    text = wrapper_verilog(read_manifest(args.manifest), args.kind, args.fault_bits)
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
