# amaranth: UnusedElaboratable=no
"""Behind the last map of a stream: a collector for dense layers, or sums over the map itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from amaranth.hdl import C, Cat, Elaboratable, Module, Mux, Signal, Value

from gate2hw.rtl.argmax import Argmax
from gate2hw.rtl.core import ScoreFormat
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.popcount import Popcount
from gate2hw.rtl.stream_plan import MAP_SUM_STAGES, MapLayout, SumTerm
from gate2hw.rtl.window import at_most, equals

__all__ = ["Collector", "MapSum", "Ranking"]

_POPCOUNT_RANKS: Final = MAP_SUM_STAGES - 3
"""Registers within a popcount; the others stand before and behind it, and hold the sum."""


class _Frames:
    """Ports: groups of a map in, ``whole`` while a frame stands ready, ``take`` takes it.

    While a frame waits for its verdict, it is ready for all but the next frame: the last pixels,
    which may belong to no window, must flow in for the verdict to come.
    """

    def __init__(self, layout: MapLayout) -> None:
        self.layout = layout
        self.in_valid = Signal()
        self.in_ready = Signal()
        self.in_data = Signal(max(1, layout.n_channels * layout.lanes))
        self.whole = Signal()
        self.take = Signal()

    def _count(self, m: Module, go: Signal) -> tuple[Signal, Signal]:
        """The number of the group that comes, and whether it is a frame's last."""
        n_groups = self.layout.n_groups
        number = Signal(max(1, (n_groups - 1).bit_length()))
        is_last = Signal()
        m.d.comb += is_last.eq(equals(number, n_groups - 1))
        with m.If(go):
            m.d.sync += number.eq(number + 1)
            with m.If(is_last):
                m.d.sync += number.eq(0)
        return number, is_last


class Collector(_Frames, Elaboratable):
    """Keeps the bits ``used`` (indices into the map in C order) of a frame: `bits`, in order.

    A shift register for each channel and lane, no longer than its earliest used bit asks for.
    """

    def __init__(self, layout: MapLayout, used: Sequence[int]) -> None:
        super().__init__(layout)
        self.places = [layout.place(bit) for bit in used]
        self.bits = Signal(max(1, len(self.places)))

    def elaborate(self, platform: object) -> Module:
        """Build the shift registers; Amaranth calls this."""
        m = Module()
        layout = self.layout
        go = Signal()
        _, is_last = self._count(m, go)
        m.d.comb += [
            self.in_ready.eq(~self.whole | self.take | ~self.in_valid),
            go.eq(self.in_valid & self.in_ready),
        ]
        with m.If(go & is_last):
            m.d.sync += self.whole.eq(1)
        with m.Elif(self.take):
            m.d.sync += self.whole.eq(0)
        first: dict[int, int] = {}
        for wire, group in self.places:
            first[wire] = min(group, first.get(wire, group))
        chains: dict[int, Signal] = {}
        for wire, group in sorted(first.items()):
            chain = Signal(layout.n_groups - group, name=f"map_{wire}", reset_less=True)
            with m.If(go):
                m.d.sync += chain.eq(Cat(self.in_data[wire], chain))
            chains[wire] = chain
        last = layout.n_groups - 1
        if self.places:
            m.d.comb += self.bits.eq(
                Cat(*(chains[wire][last - group] for wire, group in self.places))
            )
        return m


class MapSum(_Frames, Elaboratable):
    """Sums the map as it flows by: `scores`, class 0 in the low bits, while `whole` is high."""

    def __init__(self, layout: MapLayout, group_ptr: Sequence[int], options: RtlOptions) -> None:
        super().__init__(layout)
        groups = list(itertools.pairwise(group_ptr))
        self.terms = [layout.terms(start, stop) for start, stop in groups]
        self.width = max(stop - start for start, stop in groups).bit_length()
        self.options = options
        self.scores = Signal(len(self.terms) * self.width)

    def elaborate(self, platform: object) -> Module:
        """Build counters, popcounts and accumulators; Amaranth calls this."""
        m = Module()
        move = Signal()
        go = Signal()
        number, is_last = self._count(m, go)
        m.d.comb += [
            move.eq(~self.whole | self.take),
            self.in_ready.eq(move | ~self.in_valid),
            go.eq(self.in_valid & move),
        ]
        flow = Cat(go, equals(number, 0), is_last)
        stages = [flow]
        for stage in range(MAP_SUM_STAGES - 1):
            later = Signal(3, name=f"flow_{stage}")
            with m.If(move):
                m.d.sync += later.eq(stages[-1])
            stages.append(later)
        held = Signal(len(self.in_data), reset_less=True)
        with m.If(move):
            m.d.sync += held.eq(self.in_data)
        windows = self._windows(m, move, number)
        valid, starts, ends = stages[-1][0], stages[-1][1], stages[-1][2]
        with m.If(move):
            m.d.sync += self.whole.eq(valid & ends)
        for c, terms in enumerate(self.terms):
            count = self._popcount(m, c, terms, move, held, windows)
            counted = Signal(len(count), name=f"count_{c}", reset_less=True)
            total = Signal(self.width, name=f"total_{c}", reset_less=True)
            with m.If(move):
                m.d.sync += counted.eq(count)
                with m.If(valid):
                    m.d.sync += total.eq(Mux(starts, 0, total) + counted)
            m.d.comb += self.scores.word_select(c, self.width).eq(total)
        return m

    def _windows(
        self, m: Module, move: Signal, number: Signal
    ) -> dict[tuple[int, int, int], Value]:
        """(first, last, lane) to a flag: the group held lies in this span, its lane in the map."""
        spans = sorted({term.span for terms in self.terms for term in terms})
        flags: dict[tuple[int, int, int], Value] = {}
        layout = self.layout
        over = layout.over
        row_end: Value = C(0, 1)
        if over:
            column = Signal(range(max(2, layout.row_groups)))
            with m.If(move & self.in_valid):
                m.d.sync += column.eq(column + 1)
                with m.If(equals(column, layout.row_groups - 1)):
                    m.d.sync += column.eq(0)
            row_end = equals(column, layout.row_groups - 1)
        for first, last, lane in spans:
            is_over = bool(over) and lane >= over
            if (first, last) == (0, layout.n_groups - 1) and not is_over:
                flags[first, last, lane] = C(1, 1)
                continue
            name = f"{first}_{last}_{lane}"
            flag = Signal(name=f"in_{name}", reset_less=True)
            inside = at_most(m, number, (first, last), f"now_{name}")
            with m.If(move):
                m.d.sync += flag.eq(inside & ~row_end if is_over else inside)
            flags[first, last, lane] = flag
        return flags

    def _popcount(
        self,
        m: Module,
        number: int,
        terms: Sequence[SumTerm],
        move: Signal,
        held: Signal,
        windows: dict[tuple[int, int, int], Value],
    ) -> Value:
        form = "adder" if self.options.popcount == "luts" else self.options.popcount
        width = len(terms).bit_length()
        popcount = Popcount([1] * len(terms), 0, width, form, n_ranks=_POPCOUNT_RANKS)
        m.submodules[f"popcount_{number}"] = popcount
        m.d.comb += popcount.ce.eq(move)
        bits = [held[term.wire] & windows[term.span] for term in terms]
        m.d.comb += popcount.bits.eq(Cat(*bits))
        return popcount.score


class Ranking(Elaboratable):
    """The second half of a core: scores in, class and scores out, `latency_cycles` later."""

    def __init__(self, n_classes: int, score: ScoreFormat, options: RtlOptions) -> None:
        self.argmax = Argmax(
            n_classes, score.width, signed=score.signed, pipelined=options.register_argmax
        )
        self.with_scores = options.output == "scores"
        self.latency_cycles = self.argmax.latency_cycles
        self.ce = Signal()
        self.in_valid = Signal()
        self.scores_in = Signal(n_classes * score.width)
        self.out_valid = Signal()
        self.class_index = Signal(len(self.argmax.index))
        self.scores = Signal(n_classes * score.width)

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline; Amaranth calls this."""
        m = Module()
        m.submodules.argmax = self.argmax
        m.d.comb += [self.argmax.ce.eq(self.ce), self.argmax.scores.eq(self.scores_in)]
        valid, scores = self.in_valid, self.scores_in
        for stage in range(self.latency_cycles):
            next_valid = Signal(name=f"valid_{stage + 1}")
            with m.If(self.ce):
                m.d.sync += next_valid.eq(valid)
            valid = next_valid
            if self.with_scores:
                later = Signal(len(scores), name=f"scores_{stage + 1}", reset_less=True)
                with m.If(self.ce):
                    m.d.sync += later.eq(scores)
                scores = later
        m.d.comb += [
            self.out_valid.eq(valid),
            self.class_index.eq(self.argmax.index),
            self.scores.eq(scores),
        ]
        return m
