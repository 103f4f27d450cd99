# amaranth: UnusedElaboratable=no
"""Top: the core between two AXI4-Streams, encoder and frame control included."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal

from gate2hw.ir.netlist import Netlist
from gate2hw.rtl.axis_ports import AxisPorts
from gate2hw.rtl.core import Core
from gate2hw.rtl.layout import FrameLayout, ResultLayout
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.receiver import RECEIVER_LATENCY, Receiver
from gate2hw.rtl.sender import Sender

__all__ = ["Top"]


class Top(AxisPorts):
    """Ports ``s_axis_*`` (features) and ``m_axis_*`` (result), and ``frame_error``.

    Latency, from the last input beat taken to ``m_axis_tvalid`` with nothing in the way, is
    `latency_cycles`: those of the receiver, one for the result register, and the core between
    them. At full rate a frame is taken every `interval_cycles`: the
    longer of the input and the result frame. `core`, if given, is placed as it is (simulation in
    Python); otherwise the Verilog core is instantiated by name.
    """

    def __init__(self, net: Netlist, options: RtlOptions, *, core: Core | None = None) -> None:
        super().__init__(options.bus_bytes)
        self.options = options
        self.core = core
        self.ports = Core(net, options)
        self.frame = FrameLayout.of(net, options)
        self.result = ResultLayout.of(net, options)
        self.latency_cycles = RECEIVER_LATENCY + self.ports.latency_cycles + 1
        self.interval_cycles = max(self.frame.frame_beats, self.result.result_beats)

    def elaborate(self, platform: object) -> Module:
        """Connect receiver, core and sender; Amaranth calls this."""
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.frame, storage=self.options.storage)
        m.submodules.sender = sender = Sender(self.result)
        core = self.ports if self.core is None else self.core
        if self.core is not None:
            m.submodules.core = self.core
        else:
            ports: dict[str, Any] = {f"i_{name}": signal for name, signal in core.inputs()}
            ports |= {f"o_{name}": signal for name, signal in core.outputs()}
            if core.latency_cycles:
                ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
            m.submodules.core = Instance(f"{self.options.name}_core", **ports)
        m.d.comb += [
            receiver.tdata.eq(self.s_axis_tdata),
            receiver.tvalid.eq(self.s_axis_tvalid),
            receiver.tlast.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(receiver.tready),
            self.frame_error.eq(receiver.frame_error),
            receiver.advance_next.eq(sender.advance_next),
            core.ce.eq(sender.advance),
            core.in_valid.eq(receiver.full),
            core.bits.eq(receiver.bits),
            sender.in_valid.eq(core.out_valid),
            sender.class_index.eq(core.class_index),
            self.m_axis_tdata.eq(sender.tdata),
            self.m_axis_tvalid.eq(sender.tvalid),
            self.m_axis_tlast.eq(sender.tlast),
            sender.tready.eq(self.m_axis_tready),
        ]
        if self.result.with_scores:
            m.d.comb += sender.scores.eq(core.scores)
        return m
