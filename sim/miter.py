"""Verilog that runs a design with a fault beside the healthy one: ``bad_differs`` must not be high.

Both take the same legal inputs: features up to the model's greatest value, codes that an encoder
makes. A fault without a difference is no fault.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import load_netlist
from sim.job import Manifest, read_manifest
from sim.wrapper import BenchKind, ports

__all__ = ["MITER", "miter_verilog"]

MITER = "gate2hw_miter"
"""The module name of a miter; its wires ``number`` choose the fault."""


def _legal(manifest: Manifest, net: Netlist, kind: BenchKind) -> tuple[str, list[str]]:
    """(input that holds data, expressions of its bits, the highest first): whatever the free data
    are, the designs see what they are made for; legal data go through unchanged.

    An assumption about the past would leave the proof to find out that stored data are legal.
    """
    if kind == "core":
        assert net.encoder is not None
        used = np.array(manifest.used_inputs, np.int64)
        feature, threshold = net.encoder.feature[used], net.encoder.threshold[used]
        bits = [f"bits[{number}]" for number in range(max(1, len(used)))]
        order = np.lexsort((threshold, feature)).tolist()
        for low, high in reversed([*pairwise(order)]):
            if feature[low] == feature[high]:
                bits[low] = f"({bits[low]} | {bits[high]})"
        return "bits", bits[::-1]
    # past the end of a frame a beat may hold anything
    n_pad = manifest.frame_beats * manifest.bus_bytes - manifest.frame_bytes
    lanes = []
    for lane in range(manifest.bus_bytes):
        byte = f"s_axis_tdata[{8 * lane + 7}:{8 * lane}]"
        is_free = manifest.bytes_per_feature > 1 or lane >= manifest.bus_bytes - n_pad
        top = f"8'd{manifest.max_value}"
        lanes.append(
            byte if is_free or manifest.max_value >= 255 else f"{byte} > {top} ? {top} : {byte}"
        )
    return "s_axis_tdata", [f"({lane})" for lane in lanes[::-1]]


def _differs(manifest: Manifest, kind: BenchKind) -> str:
    if kind == "core":
        shown, held = ["out_valid"], [("class_index", "out_valid")]
        if manifest.has_scores:
            held.append(("scores", "out_valid"))
    else:
        shown = ["s_axis_tready", "m_axis_tvalid", "frame_error"]
        held = [("m_axis_tdata", "m_axis_tvalid"), ("m_axis_tlast", "m_axis_tvalid")]
    terms = [f"good_{name} != bad_{name}" for name in shown]
    terms += [f"(good_{valid} && good_{name} != bad_{name})" for name, valid in held]
    return " || ".join(terms)


def miter_verilog(manifest: Manifest, net: Netlist, kind: BenchKind, fault: int, bits: int) -> str:
    """The miter of fault `fault`, a number of `bits` bits, against number 0."""
    inputs = [(name, width) for way, name, width in ports(manifest, kind) if way == "input"]
    outputs = [(name, width) for way, name, width in ports(manifest, kind) if way == "output"]
    has_clock = ("clk", 1) in inputs
    data, legal = _legal(manifest, net, kind)
    width_of = dict(inputs)
    declared = inputs if has_clock else [("clk", 1), ("rst", 1), *inputs]
    text = [f"module {MITER} ("]
    text += [f"    input wire [{width - 1}:0] {name}," for name, width in declared]
    text += ["    output wire bad_differs,", "    output wire can_answer", ");"]
    for name, width in outputs:
        text += [f"    wire [{width - 1}:0] good_{name}, bad_{name};"]
    text += [f"    wire [{width_of[data] - 1}:0] legal = {{{', '.join(legal)}}};"]
    for side, number in (("good", 0), ("bad", fault)):
        pins = [f".{name}({'legal' if name == data else name})" for name, _ in inputs]
        pins += [f".{name}({side}_{name})" for name, _ in outputs]
        pins += [f".fault({bits}'d{number})"]
        text += [f"    {manifest.modules[kind]} {side} ({', '.join(pins)});"]
    valid = "m_axis_tvalid" if kind == "top" else "out_valid"
    text += [
        "    reg counts = 1'b0;",
        "    always @(posedge clk) if (rst) counts <= 1'b1;",
        f"    assign bad_differs = counts && ({_differs(manifest, kind)});",
        f"    assign can_answer = counts && good_{valid};",
        "endmodule",
        "",
    ]
    return "\n".join(text)


def main() -> None:
    """``python -m sim.miter MANIFEST NETLIST core|top FAULT BITS OUT``: write a miter."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("netlist", type=Path)
    parser.add_argument("kind", choices=["core", "top"])
    parser.add_argument("fault", type=int)
    parser.add_argument("bits", type=int)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    manifest, net = read_manifest(args.manifest), load_netlist(args.netlist)
    text = miter_verilog(manifest, net, args.kind, args.fault, args.bits)
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
