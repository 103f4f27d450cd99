"""Netlist to Verilog: gate cloud, popcount, argmax, and an AXI4-Stream shell.

Options and manifest are plain Python; amaranth is imported when `emit_rtl` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import BUS_BYTES, OutputKind, PopcountForm, RtlOptions

if TYPE_CHECKING:
    from gate2hw.rtl.emit import emit_rtl

__all__ = [
    "BUS_BYTES",
    "Manifest",
    "OutputKind",
    "PopcountForm",
    "RtlOptions",
    "emit_rtl",
]


def __getattr__(name: str) -> Any:
    if name == "emit_rtl":
        from gate2hw.rtl.emit import emit_rtl

        return emit_rtl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
