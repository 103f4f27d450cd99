"""Index of the greatest score, as a tree of comparators; ties go to the lowest index."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value

__all__ = ["Argmax", "class_width"]


def class_width(n_classes: int) -> int:
    """Bits of a class index; at least one, so that the port exists."""
    return max(1, (n_classes - 1).bit_length())


class Argmax(Elaboratable):
    """`index` of the greatest of `n_scores` >= 1 scores, combinational.

    `scores` holds them side by side, score 0 in the low bits, each `width` bits wide, two's
    complement if `signed`.
    """

    def __init__(self, n_scores: int, width: int, *, signed: bool) -> None:
        self.n_scores = n_scores
        self.width = width
        self.signed = signed
        self.scores = Signal(n_scores * width)
        self.index = Signal(class_width(n_scores))

    def elaborate(self, platform: object) -> Module:
        """Build the tree; Amaranth calls this."""
        module = Module()
        index, _ = self._winner(module, 0, self.n_scores)
        module.d.comb += self.index.eq(index)
        return module

    def _winner(self, module: Module, first: int, n_scores: int) -> tuple[Value, Value]:
        """(index - first, score) of the winner among `n_scores` from `first`."""
        if n_scores == 1:
            return Const(0, 0), self.scores.word_select(first, self.width)
        # The left half is a power of two, so the right half's index only gains a top bit.
        n_left = 1 << (n_scores - 1).bit_length() - 1
        left_index, left = self._winner(module, first, n_left)
        right_index, right = self._winner(module, first + n_left, n_scores - n_left)
        place = f"{first}_{first + n_scores - 1}"
        right_wins = Signal(name=f"right_wins_{place}")
        if self.signed:
            module.d.comb += right_wins.eq(right.as_signed() > left.as_signed())
        else:
            module.d.comb += right_wins.eq(right > left)
        index = Signal((n_scores - 1).bit_length(), name=f"index_{place}")
        low = Mux(right_wins, right_index, left_index) if n_left > 1 else Const(0, 0)
        module.d.comb += index.eq(Cat(low[: len(index) - 1], right_wins))
        score = Signal(self.width, name=f"score_{place}")
        if n_scores < self.n_scores:
            module.d.comb += score.eq(Mux(right_wins, right, left))
        return index, score
