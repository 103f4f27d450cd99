"""Index of the greatest score, as a tree of comparators; ties go to the lowest index."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

__all__ = ["Argmax", "argmax_latency", "class_width"]


def class_width(n_classes: int) -> int:
    """Bits of a class index; at least one, so that the port exists."""
    return max(1, (n_classes - 1).bit_length())


def argmax_latency(n_classes: int, *, pipelined: bool = True, compared: bool = False) -> int:
    """Clock cycles of the tree: `pipelined`, a register between levels and none after the last;
    `compared`, one within each level."""
    levels = (n_classes - 1).bit_length()
    return max(0, levels - 1) * pipelined + levels * compared


class Argmax(Elaboratable):
    """`index` of the greatest of `n_scores` >= 1 scores.

    `scores` holds them side by side, score 0 in the low bits, each `width` bits wide, two's
    complement if `signed`. Combinational, or with `latency_cycles` registers that ``ce`` enables:
    `pipelined` between the levels of the tree, `compared` between a level's comparisons and its
    choices.
    """

    def __init__(
        self,
        n_scores: int,
        width: int,
        *,
        signed: bool,
        pipelined: bool = False,
        compared: bool = False,
    ) -> None:
        self.n_scores = n_scores
        self.width = width
        self.signed = signed
        self.pipelined = pipelined
        self.compared = compared
        self.latency_cycles = argmax_latency(n_scores, pipelined=pipelined, compared=compared)
        self.ce = Signal()
        self.scores = Signal(n_scores * width)
        self.index = Signal(class_width(n_scores))

    def elaborate(self, platform: object) -> Module:
        """Build the tree level by level; Amaranth calls this."""
        m = Module()
        # Entry j of level k is (index within its 2**k scores, score) of their winner.
        entries: list[tuple[Value, Value]] = [
            (Const(0, 0), self.scores.word_select(c, self.width)) for c in range(self.n_scores)
        ]
        level = 0
        while len(entries) > 1:
            level += 1
            winners: list[tuple[Value, Value]] = []
            for j in range(0, len(entries) - 1, 2):
                place = f"{level}_{j // 2}"
                winners.append(self._winner(m, place, *entries[j], *entries[j + 1]))
            if len(entries) % 2:
                index, score = entries[-1]
                if self.compared:
                    place = f"{level}_{len(entries) // 2}"
                    index, score = self._beside(m, f"{place}_0", index, score)
                winners.append((Cat(index, Const(0, 1)), score))
            if self.pipelined and len(winners) > 1:
                winners = [
                    self._register(m, f"{level}_{j}", *winner) for j, winner in enumerate(winners)
                ]
            entries = winners
        m.d.comb += self.index.eq(entries[0][0])
        return m

    def _winner(
        self, m: Module, place: str, index0: Value, score0: Value, index1: Value, score1: Value
    ) -> tuple[Value, Value]:
        second = Signal(name=f"second_{place}")
        if self.signed:
            m.d.comb += second.eq(score1.as_signed() > score0.as_signed())
        else:
            m.d.comb += second.eq(score1 > score0)
        if self.compared:
            index0, score0 = self._beside(m, f"{place}_0", index0, score0)
            index1, score1 = self._beside(m, f"{place}_1", index1, score1)
            decided = Signal(name=f"second_reg_{place}", reset_less=True)
            with m.If(self.ce):
                m.d.sync += decided.eq(second)
            second = decided
        index = Signal(len(index0) + 1, name=f"index_{place}")
        low = Mux(second, index1, index0) if len(index0) else Const(0, 0)
        m.d.comb += index.eq(Cat(low, second))
        score = Signal(self.width, name=f"score_{place}")
        m.d.comb += score.eq(Mux(second, score1, score0))
        return index, score

    def _beside(self, m: Module, place: str, index: Value, score: Value) -> tuple[Value, Value]:
        """An entry a clock later, as its comparison is."""
        later = []
        for name, value in (("index", index), ("score", score)):
            register = Signal(len(value), name=f"{name}_compared_{place}", reset_less=True)
            if len(value):
                with m.If(self.ce):
                    m.d.sync += register.eq(value)
            later.append(register)
        return later[0], later[1]

    def _register(self, m: Module, place: str, index: Value, score: Value) -> tuple[Value, Value]:
        index_later = Signal(len(index), name=f"index_reg_{place}", reset_less=True)
        score_later = Signal(self.width, name=f"score_reg_{place}", reset_less=True)
        with m.If(self.ce):
            m.d.sync += [index_later.eq(index), score_later.eq(score)]
        return index_later, score_later
