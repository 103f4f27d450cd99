"""Weighted popcount of one class: score = constant + sum of weight * bit, in several forms.

`adder`: counters of three bits joined by a balanced tree of adders on carry chains, each of which
also takes one bit through its carry input. `compressor`: full and half adders as explicit xor and
majority. `gates`: two-input gates, as few as possible. The last two are counters of `ir.counters`.
Its counters of four-input tables are not offered here: a synthesis tool maps expressions anew, and
makes more of them than of full adders; they are for those who write LUT cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value

from gate2hw.ir.counters import CounterForm, counter, signed_digits
from gate2hw.rtl.options import PopcountForm

__all__ = ["Popcount"]

_COUNTER_FORMS: Final[Mapping[str, CounterForm]] = {"compressor": "full_adders", "gates": "gates"}


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
        if self.form in _COUNTER_FORMS:
            score = self._tables(tree, _COUNTER_FORMS[self.form])
        else:
            score = self._adders(tree)
        tree.module.d.comb += self.score.eq(score)
        return tree.module

    def _tables(self, tree: _Tree, form: CounterForm) -> Value:
        """One signal for each table of the counter."""
        plan = counter(self.weights, self.constant, self.width, form)
        signals: list[Value] = [Const(0, 1), *(self.bits[i] for i in range(plan.n_bits))]
        for init, fanin in zip(plan.init, plan.fanin, strict=True):
            signals.append(tree.wire("n", _table(init, [signals[s] for s in fanin])))
        return Cat(*(~signals[lit >> 1] if lit & 1 else signals[lit >> 1] for lit in plan.score))

    def _adders(self, tree: _Tree) -> Value:
        """Count each column, then add the counts, shifted, and the constant."""
        columns: list[list[Value]] = [[] for _ in range(self.width)]
        constant = self.constant
        for number, weight in enumerate(self.weights):
            for power, sign in signed_digits(weight):
                bit: Value = self.bits[number]
                if sign < 0:
                    # -b = ~b - 1 makes every term positive
                    constant -= 1 << power
                    bit = tree.wire("not", ~bit)
                if power < self.width:
                    columns[power].append(bit)
        score: Value = Const(constant % (1 << self.width), self.width)
        for k, column in enumerate(columns):
            if column:
                count = Cat(Const(0, k), _count(tree, column))
                score = tree.wire("score", (score + count)[: self.width])
        return score


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


def _table(init: int, inputs: Sequence[Value]) -> Value:
    """A table (input 0 the most significant address bit) as an expression of its inputs."""
    if not inputs:
        return Const(init & 1, 1)
    first, rest = inputs[0], inputs[1:]
    size = 1 << len(rest)
    ones = (1 << size) - 1
    low, high = init & ones, init >> size
    if low == high:
        return _table(low, rest)
    if low == high ^ ones:
        return first ^ _table(low, rest) if low != ones else ~first
    if low == 0:
        return first & _table(high, rest) if high != ones else first
    if high == 0:
        return ~first & _table(low, rest)
    if low == ones:
        return ~first | _table(high, rest)
    if high == ones:
        return first | _table(low, rest)
    return (first & _table(high, rest)) | (~first & _table(low, rest))


def _count(tree: _Tree, bits: list[Value]) -> Value:
    """The number of ones in `bits`, exactly as wide as needed."""
    if not bits:
        return Const(0, 0)
    if len(bits) == 1:
        return bits[0]
    if len(bits) == 2:
        return tree.wire("count", Cat(bits[0] ^ bits[1], bits[0] & bits[1]))
    if len(bits) == 3:
        a, b, c = bits
        return tree.wire("count", Cat(a ^ b ^ c, (a & b) | (a & c) | (b & c)))
    middle = len(bits) // 2
    left, right = _count(tree, bits[:middle]), _count(tree, bits[middle:-1])
    # The constant 1 below the left operand turns the last bit into a carry. It also keeps Yosys
    # (alumacc) from melting all adders into one multi-operand cell that leaves the carry chain.
    total = tree.wire("add", Cat(Const(1, 1), left) + Cat(bits[-1], right))
    return tree.wire("count", total[1 : 1 + len(bits).bit_length()])
