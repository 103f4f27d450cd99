"""OR pool whose windows do not overlap: partial ORs along the row, then from row to row."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Elaboratable, Module, Signal, Value

from gate2hw.rtl.linebuffer import place_delay
from gate2hw.rtl.stream_spec import LanePool
from gate2hw.rtl.window import StreamPorts, equals

__all__ = ["Pool"]


class Pool(StreamPorts, Elaboratable):
    """The stage of `pool`: a group flows out in the cycle in which its last input flows in.

    A register holds the OR of the row's columns so far, a delay of one output row the ORs of the
    rows above; neither needs zeros for the padding, as every window holds a place of the map.
    """

    def __init__(self, prefix: str, pool: LanePool) -> None:
        spec = pool.spec
        super().__init__(spec.n_channels * pool.lanes, spec.n_outputs * pool.out_lanes)
        self.prefix = prefix
        self.pool = pool

    def elaborate(self, platform: object) -> Module:
        """Build counters and ORs; Amaranth calls this."""
        m = Module()
        pool, spec = self.pool, self.pool.spec
        go = Signal()
        m.d.comb += go.eq(self.in_valid & self.in_ready)
        first_column, event = self._columns(m, go)
        first_row, row_ends = self._rows(m, go)
        n_pooled = len(spec.pooled)
        here = Signal(max(1, n_pooled * pool.out_lanes))
        for place, channel in enumerate(spec.pooled):
            for out in range(pool.out_lanes):
                m.d.comb += here[out * n_pooled + place].eq(self._across(channel, out))
        joined = Signal(len(here))
        m.d.comb += joined.eq(here)
        if pool.lanes == 1 and spec.window[1] > 1:
            left = Signal(len(here), reset_less=True)
            with m.If(go):
                m.d.sync += left.eq(joined)
            m.d.comb += joined.eq(here | (left & (~first_column).replicate(len(here))))
        total = Signal(len(here))
        m.d.comb += total.eq(joined)
        if spec.window[0] > 1:
            length = self._events()
            above, self.delays = place_delay(m, self.prefix, "lines", total, length, go & event)
            m.d.comb += total.eq(joined | (above & (~first_row).replicate(len(here))))
        gives = Signal()
        m.d.comb += [
            gives.eq(event & row_ends),
            self.out_valid.eq(self.in_valid & gives),
            self.in_ready.eq(self.out_ready),
        ]
        rank = {channel: place for place, channel in enumerate(spec.pooled)}
        fixed = {-1: C(1, 1), -2: C(0, 1)}
        data: list[Value] = []
        for out in range(pool.out_lanes):
            for source in spec.sources:
                pooled = source >= 0
                data.append(total[out * n_pooled + rank[source]] if pooled else fixed[source])
        m.d.comb += self.out_data.eq(Cat(*data))
        return m

    def _events(self) -> int:
        """Groups of partial results of one row."""
        return sum(self.pool.event(group) for group in range(self.pool.n_groups))

    def _across(self, channel: int, out: int) -> Value:
        """The OR of the lanes of output lane `out`."""
        pool, n = self.pool, self.pool.spec.n_channels
        if pool.lanes == 1:
            return self.in_data[channel]
        span = pool.spec.window[1]
        return Cat(*(self.in_data[(out * span + k) * n + channel] for k in range(span))).any()

    def _columns(self, m: Module, go: Signal) -> tuple[Value, Value]:
        """(a window begins in this column, a partial result is complete)."""
        pool = self.pool
        if pool.lanes > 1:
            group = self._counter(m, go, pool.n_groups, "group")
            if self._events() == pool.n_groups:
                return C(1, 1), C(1, 1)
            return C(1, 1), group <= C(pool.out_groups - 1, len(group))
        return self._places(m, go, 1, "column")

    def _rows(self, m: Module, go: Signal) -> tuple[Value, Value]:
        """(a window begins in this row, a window ends in it)."""
        at_end = Signal(name="row_done")
        m.d.comb += at_end.eq(go & self.row_end)
        return self._places(m, at_end, 0, "row")

    def _counter(self, m: Module, step: Value, size: int, name: str) -> Signal:
        count = Signal(max(1, (size - 1).bit_length()), name=name)
        end = Signal(name=f"{name}_end")
        m.d.comb += end.eq(equals(count, size - 1))
        with m.If(step):
            m.d.sync += count.eq(count + 1)
            with m.If(end):
                m.d.sync += count.eq(0)
        if name != "row":
            self.row_end = end
        return count

    def _places(self, m: Module, step: Value, axis: int, name: str) -> tuple[Value, Value]:
        """Counters along an axis: (a window begins here, a window ends here)."""
        pool, spec = self.pool, self.pool.spec
        size, span, stride = spec.input_size[axis], spec.window[axis], spec.stride[axis]
        count = self._counter(m, step, size, name)
        if stride == 1:
            return C(1, 1), C(1, 1) if pool.last(axis) == size - 1 else count <= C(
                pool.last(axis), len(count)
            )
        phase = Signal(range(stride), name=f"{name}_phase", init=pool.phase(axis, 0))
        with m.If(step):
            with m.If(equals(count, size - 1)):
                m.d.sync += phase.eq(pool.phase(axis, 0))
            with m.Elif(equals(phase, stride - 1)):
                m.d.sync += phase.eq(0)
            with m.Else():
                m.d.sync += phase.eq(phase + 1)
        begins = Signal(name=f"{name}_begins")
        ends = Signal(name=f"{name}_ends")
        begins_terms = [equals(phase, 0)]
        if pool.phase(axis, 0):
            begins_terms.append(equals(count, 0))
        ends_terms = [equals(phase, span - 1)]
        if pool.phase(axis, pool.last(axis)) != span - 1:
            ends_terms.append(equals(count, pool.last(axis)))
        m.d.comb += [begins.eq(Cat(*begins_terms).any()), ends.eq(Cat(*ends_terms).any())]
        return begins, ends
