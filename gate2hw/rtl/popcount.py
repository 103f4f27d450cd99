# amaranth: UnusedElaboratable=no
"""Weighted popcount of one class: score = constant + sum of weight * bit, in several forms.

`adder`: counters of three bits joined by a balanced tree of adders on carry chains, each of which
also takes one bit through its carry input. `compressor`: full and half adders as explicit xor and
majority. `gates`: two-input gates, as few as possible. The last two are counters of `ir.counters`.
Its counters of four-input tables are not offered here: a synthesis tool maps expressions anew, and
makes more of them than of full adders; they are for those who write LUT cells. Ranks of registers
stand between equal shares of the levels of adders or tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value

from gate2hw.ir.counters import Counter, CounterForm, counter, signed_digits
from gate2hw.rtl.options import PopcountForm

__all__ = ["Popcount"]

_COUNTER_FORMS: Final[Mapping[str, CounterForm]] = {"compressor": "full_adders", "gates": "gates"}


class Popcount(Elaboratable):
    """``score = (constant + sum of weights[i] * bits[i]) mod 2**width``, `n_ranks` cycles later.

    `weights` are integers of any sign, `width` the bits of `score`: with a width that holds every
    value (two's complement if one is negative) the result is exact. ``ce`` enables the registers.
    """

    def __init__(
        self,
        weights: Sequence[int],
        constant: int,
        width: int,
        form: PopcountForm,
        *,
        n_ranks: int = 0,
    ) -> None:
        self.weights = tuple(int(weight) for weight in weights)
        self.constant = int(constant)
        self.width = width
        self.form = form
        self.n_ranks = n_ranks
        self.ce = Signal()
        self.bits = Signal(max(1, len(self.weights)))
        self.score = Signal(width)

    def elaborate(self, platform: object) -> Module:
        """Build the adders; Amaranth calls this."""
        if self.form in _COUNTER_FORMS:
            plan = counter(self.weights, self.constant, self.width, _COUNTER_FORMS[self.form])
            tree = _Tree(self.ce, self.n_ranks, plan.depth)
            score = self._tables(tree, plan)
        else:
            dry = _Tree(self.ce, 0, 0)
            self._adders(dry)
            tree = _Tree(self.ce, self.n_ranks, dry.depth)
            score = self._adders(tree)
        tree.module.d.comb += self.score.eq(score)
        return tree.module

    def _tables(self, tree: _Tree, plan: Counter) -> Value:
        """One signal for each table of the counter."""
        nodes = [_Wire(Const(0, 1), 0, 0), *(_Wire(self.bits[i], 0, 0) for i in range(plan.n_bits))]
        for init, fanin in zip(plan.init, plan.fanin, strict=True):
            operands = [nodes[node] for node in fanin]
            nodes.append(tree.place("n", operands, partial(_table_of, init)))
        literals = [(tree.at(nodes[lit >> 1], self.n_ranks), lit & 1) for lit in plan.score]
        return Cat(*(~value if odd else value for value, odd in literals))

    def _adders(self, tree: _Tree) -> Value:
        """Count each column, then add the counts, shifted, and the constant."""
        columns: list[list[_Wire]] = [[] for _ in range(self.width)]
        constant = self.constant
        for number, weight in enumerate(self.weights):
            for power, sign in signed_digits(weight):
                bit: Value = self.bits[number]
                if sign < 0:
                    # -b = ~b - 1 makes every term positive
                    constant -= 1 << power
                    bit = tree.wire("not", ~bit)
                if power < self.width:
                    columns[power].append(_Wire(bit, 0, 0))
        score = _Wire(Const(constant % (1 << self.width), self.width), 0, 0)
        for k, column in enumerate(columns):
            if column:
                count = _count(tree, column)
                add = partial(_add_shifted, k, self.width)
                score = tree.place("score", [score, count], add)
        return tree.at(score, tree.n_ranks)


@dataclass(frozen=True)
class _Wire:
    """A value `level` adders behind the bits, in pipeline stage `stage`."""

    value: Value
    level: int
    stage: int


class _Tree:
    """A module under construction; every intermediate value is a signal, declared in order.

    Without them expressions nest as deep as the tree, and Amaranth walks them recursively.
    `levels` adders in a row are dealt out evenly over ``n_ranks + 1`` stages; `depth` is how many
    there are.
    """

    def __init__(self, ce: Signal, n_ranks: int, levels: int) -> None:
        self.module = Module()
        self.ce = ce
        self.n_ranks = n_ranks
        self.levels = levels
        self.depth = 0
        self.n_signals = 0
        self.delayed: dict[tuple[int, int], Signal] = {}
        self.kept: list[Value] = []

    def wire(self, name: str, value: Value) -> Signal:
        signal = Signal(len(value), name=f"{name}_{self.n_signals}")
        self.n_signals += 1
        self.module.d.comb += signal.eq(value)
        return signal

    def at(self, wire: _Wire, stage: int) -> Value:
        """The value as it stands in a later stage; registers are shared, constants need none."""
        value = wire.value
        if isinstance(value, Const):
            return value
        for _ in range(stage - wire.stage):
            value = self._later(value)
        return value

    def _later(self, value: Value) -> Value:
        key = (id(value), len(value))
        if key not in self.delayed:
            register = Signal(len(value), name=f"reg_{self.n_signals}", reset_less=True)
            self.n_signals += 1
            with self.module.If(self.ce):
                self.module.d.sync += register.eq(value)
            self.delayed[key] = register
            self.kept.append(value)  # an id is of use only as long as its object is there
        return self.delayed[key]

    def place(self, name: str, operands: Sequence[_Wire], build: Callable[..., Value]) -> _Wire:
        """One more adder behind `operands`, in the stage of its level."""
        level = 1 + max(operand.level for operand in operands)
        self.depth = max(self.depth, level)
        stage = (level - 1) * (self.n_ranks + 1) // self.levels if self.n_ranks else 0
        values = [self.at(operand, stage) for operand in operands]
        return _Wire(self.wire(name, build(*values)), level, stage)


def _add_shifted(k: int, width: int, score: Value, count: Value) -> Value:
    return (score + Cat(Const(0, k), count))[:width]


def _table_of(init: int, *inputs: Value) -> Value:
    return _table(init, inputs)


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


def _count(tree: _Tree, bits: list[_Wire]) -> _Wire:
    """The number of ones in `bits`, exactly as wide as needed."""
    if len(bits) == 1:
        return bits[0]
    if len(bits) == 2:
        return tree.place("count", bits, lambda a, b: Cat(a ^ b, a & b))
    if len(bits) == 3:
        return tree.place(
            "count", bits, lambda a, b, c: Cat(a ^ b ^ c, (a & b) | (a & c) | (b & c))
        )
    middle = len(bits) // 2
    left, right = _count(tree, bits[:middle]), _count(tree, bits[middle:-1])
    width = len(bits).bit_length()

    def add(left: Value, right: Value, last: Value) -> Value:
        # The constant 1 below the left operand turns the last bit into a carry. It also keeps Yosys
        # (alumacc) from melting all adders into one multi-operand cell that leaves the carry chain.
        total = tree.wire("add", Cat(Const(1, 1), left) + Cat(last, right))
        return total[1 : 1 + width]

    return tree.place("count", [left, right, bits[-1]], add)
