"""The ports of a top: two AXI4-Streams and the pulse for a malformed frame."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Signal

__all__ = ["AxisPorts"]


class AxisPorts(Elaboratable):
    """``s_axis_*`` in and ``m_axis_*`` out, `bus_bytes` wide each, and ``frame_error``."""

    def __init__(self, bus_bytes: int) -> None:
        width = 8 * bus_bytes
        self.s_axis_tdata = Signal(width)
        self.s_axis_tvalid = Signal()
        self.s_axis_tready = Signal()
        self.s_axis_tlast = Signal()
        self.m_axis_tdata = Signal(width)
        self.m_axis_tvalid = Signal()
        self.m_axis_tready = Signal()
        self.m_axis_tlast = Signal()
        self.frame_error = Signal()

    def inputs(self) -> list[tuple[str, Signal]]:
        """Names and signals of the input ports, clock and reset aside."""
        names = ("s_axis_tdata", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
        return [(name, getattr(self, name)) for name in names]

    def outputs(self) -> list[tuple[str, Signal]]:
        """Names and signals of the output ports."""
        names = ("s_axis_tready", "m_axis_tdata", "m_axis_tvalid", "m_axis_tlast", "frame_error")
        return [(name, getattr(self, name)) for name in names]
