# amaranth: UnusedElaboratable=no
"""Top of a streaming design: pixels, stages, the end of the map, and the result, in a row."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.rtl.axis_ports import AxisPorts
from gate2hw.rtl.core import MAX_BITS, Core, ScoreFormat
from gate2hw.rtl.layout import ResultLayout
from gate2hw.rtl.linebuffer import Delay
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.sender import Sender
from gate2hw.rtl.stream_head import Collector, MapSum, Ranking
from gate2hw.rtl.stream_input import Feed, Pixels, Verdicts
from gate2hw.rtl.stream_plan import MapLayout, StreamPlan, plan_of
from gate2hw.rtl.stream_pool import Pool
from gate2hw.rtl.stream_spec import StreamSpec, WindowGeometry, WindowSpec, stages_of
from gate2hw.rtl.stream_timing import VERDICTS, FeedPlan
from gate2hw.rtl.window import Window

__all__ = ["StreamTop"]


class StreamTop(AxisPorts):
    """Ports as those of `Top`: ``s_axis_*`` (features), ``m_axis_*`` (result), ``frame_error``.

    `net` is the whole network unrolled: its head and classes decide what the result looks like.
    A frame that turns out to be malformed flows through and its result is dropped. `plan` says
    what the design takes; `delays` are the memories, known once it was elaborated.
    Raises InputError where lanes, rows and bus do not go together.
    """

    def __init__(self, spec: StreamSpec, net: Netlist, options: RtlOptions) -> None:
        super().__init__(options.bus_bytes)
        self.spec = spec
        self.net = net
        self.options = options
        self.feed = Feed.of(spec.input, options.bus_bytes, spec.lanes)
        self.result = ResultLayout.of(net, options)
        self._check_widths()
        lanes = [geometry.out_lanes for _, geometry in stages_of(spec)][-1]
        self.layout = MapLayout(spec.map_shape, spec.channels, lanes)
        self.core = None if spec.tail is None else Core(spec.tail, options)
        self.ranking: Ranking | None = None
        if self.core is None:
            self.ranking = Ranking(net.n_classes, ScoreFormat.of(net), options)
        self.plan = self._plan()
        self.latency_cycles = self.plan.latency_cycles
        self.interval_cycles = self.plan.interval_cycles
        self.delays: list[Delay] = []

    def _check_widths(self) -> None:
        """InputError where the bits of a clock are more than a signal can have."""
        for stage, geometry in stages_of(self.spec):
            widths = [stage.n_channels * geometry.lanes, stage.n_outputs * geometry.out_lanes]
            if isinstance(geometry, WindowGeometry):
                assert isinstance(stage, WindowSpec)
                widths.append(sum(line > 0 for _, line, _ in geometry.chains(stage)))
            if max(widths) > MAX_BITS:
                raise InputError(
                    f"{stage.name} moves {max(widths):,} bits a clock, Amaranth handles "
                    f"{MAX_BITS:,}; give fewer --positions-per-clock or make the layer narrower"
                )

    @property
    def tail_cycles(self) -> int:
        """Clock cycles from a whole map to the result register."""
        core = self.ranking if self.core is None else self.core
        assert core is not None
        return core.latency_cycles

    def _plan(self) -> StreamPlan:
        feed = self.feed
        bits = 0
        if self.spec.tail is not None:
            first: dict[int, int] = {}
            for bit in self.spec.tail.used_inputs().tolist():
                wire, group = self.layout.place(bit)
                first[wire] = min(group, first.get(wire, group))
            bits = sum(self.layout.n_groups - group for group in first.values())
        return plan_of(
            self.spec,
            FeedPlan(
                n_beats=feed.n_beats,
                beats_per_slot=feed.beats_per_slot,
                n_slots=feed.n_slots,
                groups_per_slot=feed.groups_per_slot,
                groups_of_last=feed.groups_of_last,
                n_planes=feed.spec.shape[0],
                plane_groups=feed.plane_groups,
                plane_bits=feed.n_thresholds * feed.lanes,
            ),
            self.layout,
            collector_bits=bits,
            tail_cycles=self.tail_cycles,
            result_beats=self.result.result_beats,
        )

    def elaborate(self, platform: object) -> Module:
        """Connect all parts; Amaranth calls this."""
        m = Module()
        m.submodules.pixels = pixels = Pixels(self.options.name, self.feed)
        m.submodules.verdicts = verdicts = Verdicts(VERDICTS)
        m.submodules.sender = sender = Sender(self.result)
        m.d.comb += [
            pixels.tdata.eq(self.s_axis_tdata),
            pixels.tvalid.eq(self.s_axis_tvalid),
            pixels.tlast.eq(self.s_axis_tlast),
            pixels.room.eq(verdicts.room),
            verdicts.push.eq(pixels.verdict),
            verdicts.good_in.eq(pixels.good),
            self.s_axis_tready.eq(pixels.tready),
            self.frame_error.eq(pixels.frame_error),
            self.m_axis_tdata.eq(sender.tdata),
            self.m_axis_tvalid.eq(sender.tvalid),
            self.m_axis_tlast.eq(sender.tlast),
            sender.tready.eq(self.m_axis_tready),
        ]
        above: Any = pixels
        parts: list[Any] = [pixels]
        for stage, geometry in stages_of(self.spec):
            part: Window | Pool
            if isinstance(geometry, WindowGeometry):
                assert isinstance(stage, WindowSpec)
                part = Window(self.options.name, stage, geometry)
            else:
                part = Pool(self.options.name, geometry)
            m.submodules[stage.name] = part
            self._join(m, above, part)
            parts.append(part)
            above = part
        head = self._head(m, verdicts, sender)
        self._join(m, above, head)
        self._parts = parts
        return m

    @staticmethod
    def _join(m: Module, above: Any, below: Any) -> None:
        m.d.comb += [
            below.in_valid.eq(above.out_valid),
            below.in_data.eq(above.out_data),
            above.out_ready.eq(below.in_ready),
        ]

    def memories(self) -> list[Delay]:
        """The memories that the elaborated design instantiates, one entry an instance."""
        return sorted(delay for part in self._parts for delay in part.delays)

    def _head(self, m: Module, verdicts: Verdicts, sender: Sender) -> Collector | MapSum:
        head: Collector | MapSum
        given = Signal(name="map_given")
        if self.core is not None:
            assert self.spec.tail is not None
            head = Collector(self.layout, self.spec.tail.used_inputs().tolist())
            core: Any = self.core
            ports: dict[str, Any] = {f"i_{name}": signal for name, signal in core.inputs()}
            ports |= {f"o_{name}": signal for name, signal in core.outputs()}
            if core.latency_cycles:
                ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
            m.submodules.core = Instance(f"{self.options.name}_core", **ports)
            m.d.comb += core.bits.eq(head.bits)
        else:
            head = MapSum(self.layout, self.spec.group_ptr, self.options)
            core = self.ranking
            m.submodules.ranking = core
            m.d.comb += core.scores_in.eq(head.scores)
        m.submodules.head = head
        m.d.comb += [
            head.take.eq(head.whole & verdicts.ready & sender.advance),
            verdicts.pop.eq(head.take),
            given.eq(head.whole & verdicts.ready & verdicts.good),
            core.in_valid.eq(given),
            core.ce.eq(sender.advance),
            sender.in_valid.eq(core.out_valid),
            sender.class_index.eq(core.class_index),
        ]
        if self.result.with_scores:
            m.d.comb += sender.scores.eq(core.scores)
        return head
