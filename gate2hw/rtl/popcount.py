"""Weighted popcount of one class: score = constant + sum of weight * bit, in two forms.

`adder`: counters of three bits joined by a balanced tree of adders on carry chains, each of which
also takes one bit through its carry input. `compressor`: full and half adders as explicit
xor and majority, column by column (Wallace, IEEE Trans. Electronic Computers EC-13, 1964;
shallowest bits first), until one bit a column is left.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value

from gate2hw.rtl.options import PopcountForm

__all__ = ["Popcount"]

_Columns = list[list[Value]]


class Popcount(Elaboratable):
    """``score = (constant + sum of weights[i] * bits[i]) mod 2**width``, combinational.

    `weights` are integers of any sign, `width` the bits of `score`: with a width that holds every
    value (two's complement if one is negative) the result is exact.
    """

    def __init__(
        self, weights: Sequence[int], constant: int, width: int, form: PopcountForm
    ) -> None:
        self.weights = tuple(int(weight) for weight in weights)
        self.constant = int(constant)
        self.width = width
        self.form = form
        self.bits = Signal(max(1, len(self.weights)))
        self.score = Signal(width)

    def elaborate(self, platform: object) -> Module:
        """Build the adders; Amaranth calls this."""
        tree = _Tree(Module())
        columns, constant = self._columns(tree)
        constant %= 1 << self.width
        if self.form == "compressor":
            for k in range(self.width):
                if constant >> k & 1:
                    columns[k].append(Const(1, 1))
            score = _compress(tree, columns)
        else:
            score = _add(tree, columns, constant, self.width)
        tree.module.d.comb += self.score.eq(score)
        return tree.module

    def _columns(self, tree: _Tree) -> tuple[_Columns, int]:
        """Bits by binary weight, and the constant: -w * b = -w + w * ~b makes weights positive."""
        columns: _Columns = [[] for _ in range(self.width)]
        constant = self.constant
        for number, weight in enumerate(self.weights):
            bit: Value = self.bits[number]
            if weight < 0:
                constant += weight
                bit = tree.wire("not", ~bit)
            for k in range(self.width):
                if abs(weight) >> k & 1:
                    columns[k].append(bit)
        return columns, constant


class _Tree:
    """A module under construction; every intermediate value is a signal, declared in order.

    Without them expressions nest as deep as the tree, and Amaranth walks them recursively.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.n_signals = 0

    def wire(self, name: str, value: Value) -> Signal:
        signal = Signal(len(value), name=f"{name}_{self.n_signals}")
        self.n_signals += 1
        self.module.d.comb += signal.eq(value)
        return signal

    def full_adder(self, a: Value, b: Value, c: Value) -> tuple[Value, Value]:
        """(sum, carry) of three bits."""
        return self.wire("sum", a ^ b ^ c), self.wire("carry", (a & b) | (a & c) | (b & c))

    def half_adder(self, a: Value, b: Value) -> tuple[Value, Value]:
        """(sum, carry) of two bits."""
        return self.wire("sum", a ^ b), self.wire("carry", a & b)


def _count(tree: _Tree, bits: list[Value]) -> Value:
    """The number of ones in `bits`, exactly as wide as needed."""
    if not bits:
        return Const(0, 0)
    if len(bits) == 1:
        return bits[0]
    if len(bits) == 2:
        return tree.wire("count", Cat(*tree.half_adder(*bits)))
    if len(bits) == 3:
        return tree.wire("count", Cat(*tree.full_adder(*bits)))
    middle = len(bits) // 2
    left, right = _count(tree, bits[:middle]), _count(tree, bits[middle:-1])
    # The constant 1 below the left operand turns the last bit into a carry. It also keeps Yosys
    # (alumacc) from melting all adders into one multi-operand cell that leaves the carry chain.
    total = tree.wire("add", Cat(Const(1, 1), left) + Cat(bits[-1], right))
    return tree.wire("count", total[1 : 1 + len(bits).bit_length()])


def _add(tree: _Tree, columns: _Columns, constant: int, width: int) -> Value:
    """Count each column, then add the counts, shifted, and the constant."""
    score: Value = Const(constant, width)
    for k, column in enumerate(columns):
        if column:
            count = Cat(Const(0, k), _count(tree, column))
            score = tree.wire("score", (score + count)[:width])
    return score


def _compress(tree: _Tree, columns: _Columns) -> Value:
    """Reduce each column to one bit with full and half adders; carries out of the top are lost.

    Column entries are (depth, serial number, bit): the shallowest go first.
    """
    n_entries = 0
    carries: list[tuple[int, int, Value]] = []
    score: list[Value] = []
    for column in columns:
        heap = carries
        for bit in column:
            heap.append((0, n_entries, bit))
            n_entries += 1
        heapq.heapify(heap)
        carries = []
        while len(heap) > 1:
            terms = [heapq.heappop(heap) for _ in range(min(3, len(heap)))]
            adder = tree.full_adder if len(terms) == 3 else tree.half_adder
            total, carry = adder(*(bit for _, _, bit in terms))
            depth = 1 + max(depth for depth, _, _ in terms)
            heapq.heappush(heap, (depth, n_entries, total))
            carries.append((depth, n_entries + 1, carry))
            n_entries += 2
        score.append(heap[0][2] if heap else Const(0, 1))
    return Cat(*score)
