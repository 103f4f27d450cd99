"""Output side of the stream: holds results and sends them as frames, with full back-pressure."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

from gate2hw.rtl.argmax import class_width
from gate2hw.rtl.layout import ResultLayout

__all__ = ["Sender"]


class Sender(Elaboratable):
    """Takes a result when `in_valid` and `advance` are high; sends it as a frame.

    A result that comes while a frame is still going out waits in a second register, and `advance`
    falls. So `advance` comes from a flip-flop: no path leads from ``tready`` back into the
    pipeline, and results still flow without a gap. `advance_next` is its next value.
    """

    def __init__(self, layout: ResultLayout) -> None:
        self.layout = layout
        self.in_valid = Signal()
        self.class_index = Signal(class_width(layout.n_classes))
        self.scores = Signal(layout.n_classes * layout.format.width)
        self.advance = Signal(init=1)
        self.advance_next = Signal()
        self.tdata = Signal(8 * layout.bus_bytes)
        self.tvalid = Signal()
        self.tready = Signal()
        self.tlast = Signal()

    def elaborate(self, platform: object) -> Module:
        """Build control, the waiting register and the shifter; Amaranth calls this."""
        m = Module()
        waiting = Signal()
        load = Signal()
        can_load = Signal()
        m.d.comb += [
            waiting.eq(~self.advance),
            self.advance_next.eq(can_load | ~(waiting | self.in_valid)),
            can_load.eq(~self.tvalid | (self.tready & self.tlast)),
            load.eq(can_load & (waiting | self.in_valid)),
        ]
        m.d.sync += self.advance.eq(self.advance_next)
        result = Cat(self.class_index, self.scores) if self.layout.with_scores else self.class_index
        held = Signal(len(result), reset_less=True)
        chosen = Signal(len(result))
        with m.If(self.advance):
            m.d.sync += held.eq(result)
        m.d.comb += chosen.eq(Mux(waiting, held, result))
        self._shifter(m, load, self._frame(chosen))
        self._control(m, load)
        return m

    def _frame(self, result: Signal) -> list[Value | None]:
        """The frame's bits in order, None where they are 0."""
        layout = self.layout
        n_index = len(self.class_index)
        frame: list[Value | None] = [*result[:n_index]]
        frame += [None] * (8 * layout.class_bytes - n_index)
        if layout.with_scores:
            for c in range(layout.n_classes):
                score = result[n_index:].word_select(c, layout.format.width)
                fill = score[-1] if layout.format.signed else None
                frame += [*score]
                frame += [fill] * (8 * layout.score_bytes - layout.format.width)
        return frame + [None] * (8 * layout.bus_bytes * layout.result_beats - len(frame))

    def _shifter(self, m: Module, load: Signal, frame: list[Value | None]) -> None:
        """A chain for each wire of the bus, no longer than the last beat that uses it."""
        n_wires, n_beats = len(self.tdata), self.layout.result_beats
        for wire in range(n_wires):
            column = [frame[beat * n_wires + wire] for beat in range(n_beats)]
            while column and column[-1] is None:
                column.pop()
            if not column:
                continue
            chain = Signal(len(column), name=f"data_{wire}", reset_less=True)
            with m.If(load):
                m.d.sync += chain.eq(Cat(*(Const(0, 1) if b is None else b for b in column)))
            with m.Elif(self.tready):
                m.d.sync += chain.eq(chain[1:])
            m.d.comb += self.tdata[wire].eq(chain[0])

    def _control(self, m: Module, load: Signal) -> None:
        """tvalid and tlast; a counter only where a frame has more than one beat."""
        n_beats = self.layout.result_beats
        with m.If(load):
            m.d.sync += self.tvalid.eq(1)
        with m.Elif(self.tready & self.tlast):
            m.d.sync += self.tvalid.eq(0)
        if n_beats == 1:
            m.d.comb += self.tlast.eq(1)
            return
        left = Signal(range(n_beats))
        last = Signal()
        m.d.comb += self.tlast.eq(last)
        with m.If(load):
            m.d.sync += [left.eq(n_beats - 1), last.eq(0)]
        with m.Elif(self.tvalid & self.tready):
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
