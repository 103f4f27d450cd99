"""Adders that count weighted bits, as tables: the same construction for hardware and for figures.

``score = (constant + sum of weight * bit) mod 2**width``. Bits stand in columns by binary weight;
counters reduce each column to one bit, lowest column first, shallowest bits first, and pass
carries on. A weight enters by its non-adjacent form, 7 = 8 - 1, and ``-b = ~b - 1`` makes every
term positive. Forms:

- `gates`: two-input gates. A full adder takes 5; two that share how they encode their carries (a
  bit, and its XOR with another) take 8: MDFA, Demenkov, Kojevnikov, Kulikov and Yaroslavtsev, New
  upper bounds on the Boolean circuit complexity of symmetric functions, 2010.
- `full_adders`: tables of three inputs, two for each full adder (Wallace, IEEE Trans. Electronic
  Computers EC-13, 1964). The shallowest, and the best start for a tool that maps it anew.
- `luts`: tables of four inputs, to be used as they are. A counter of 7 bits takes 6 for the four
  bits that it removes, one of 6 bits 5 for three; the former was found by a SAT solver.
- `luts_shallow`: `luts` without the seven-bit counter, which is five tables deep.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from gate2hw.ir.counter_plan import Counter, Plan
from gate2hw.ir.netlist import Circuit

__all__ = [
    "COUNTER_FORMS",
    "Counter",
    "CounterForm",
    "PopcountCost",
    "counter",
    "popcount_cost",
    "signed_digits",
]

CounterForm: TypeAlias = Literal["gates", "full_adders", "luts", "luts_shallow"]
COUNTER_FORMS: Final[tuple[CounterForm, ...]] = ("gates", "full_adders", "luts", "luts_shallow")

_XOR, _AND, _OR, _AND_NOT = 6, 8, 14, 2  # of two inputs; the last is ~a & b
_XOR3, _MAJORITY = 0x96, 0xE8
_XOR4, _TWO_OF_4, _ALL_OF_4 = 0x6996, 0x7EE8, 0x8000
_LENGTH_OF_CHAIN = 4


def signed_digits(weight: int) -> list[tuple[int, int]]:
    """The non-adjacent form: (power, sign) of the fewest signed powers of two that add to it."""
    digits = []
    power = 0
    while weight:
        if weight & 1:
            sign = 2 - (weight & 3)
            digits.append((power, sign))
            weight -= sign
        weight >>= 1
        power += 1
    return digits


class _Heap:
    """Literals, or pairs of them, the shallowest first; of equally deep ones the oldest."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, tuple[int, ...]]] = []
        self.n_pushed = 0

    def __len__(self) -> int:
        return len(self.entries)

    def push(self, plan: Plan, *lits: int) -> None:
        depth = max(plan.level(lit) for lit in lits)
        heapq.heappush(self.entries, (depth, self.n_pushed, lits))
        self.n_pushed += 1

    def pop(self) -> tuple[int, ...]:
        return heapq.heappop(self.entries)[2]

    def take(self, number: int) -> list[int]:
        """The shallowest `number` single literals."""
        return [self.pop()[0] for _ in range(number)]


Block: TypeAlias = Callable[[Plan, Sequence[int]], tuple[int, ...]]
"""Counts bits: the literals of the sum, lowest first."""


def _lut_half(plan: Plan, x: Sequence[int]) -> tuple[int, ...]:
    return plan.table(_XOR, *x), plan.table(_AND, *x)


def _lut_full(plan: Plan, x: Sequence[int]) -> tuple[int, ...]:
    return plan.table(_XOR3, *x), plan.table(_MAJORITY, *x)


def _lut_count4(plan: Plan, x: Sequence[int]) -> tuple[int, ...]:
    return tuple(plan.table(init, *x) for init in (_XOR4, _TWO_OF_4, _ALL_OF_4))


def _lut_count6(plan: Plan, x: Sequence[int]) -> tuple[int, ...]:
    """Five tables. The parity q and the second bit p of four inputs tell 0 or 4 from the rest;
    which of the two is what x[0] says, so the third bit of the sum needs no table for it."""
    q, p = plan.table(_XOR4, *x[:4]), plan.table(_TWO_OF_4, *x[:4])
    low = plan.table(_XOR3, q, x[4], x[5])
    middle = plan.table(_XOR_MAJORITY, p, q, x[4], x[5])
    return low, middle, plan.table(_THIRD_OF_6, p, middle, q, x[0])


def _lut_count7(plan: Plan, x: Sequence[int]) -> tuple[int, ...]:
    """Six tables, found by SAT."""
    q = plan.table(_XOR4, x[0], x[1], x[2], x[3])
    low = plan.table(_XOR4, q, x[4], x[5], x[6])
    u = plan.table(_COUNT7[0], x[2], x[5], x[6], q)
    v = plan.table(_COUNT7[1], x[2], x[4], low, u)
    middle = plan.table(_COUNT7[2], x[0], x[1], x[3], v)
    return low, middle, plan.table(_COUNT7[3], x[6], u, v, middle)


def _table_of(size: int, function: Callable[..., int]) -> int:
    """The table of a function of 0s and 1s."""
    rows = ([address >> (size - 1 - i) & 1 for i in range(size)] for address in range(1 << size))
    return sum(function(*row) << address for address, row in enumerate(rows))


_XOR_MAJORITY = _table_of(4, lambda p, a, b, c: p ^ (a + b + c >= 2))
_THIRD_OF_6 = _table_of(4, lambda p, m, q, x: 1 - m if p else (1 - q) & x)
_COUNT7 = tuple(
    int(text[::-1], 2)
    for text in ("0001011100101011", "0101100110011010", "0101011001101010", "0010111000101110")
)
_LUT_BLOCKS: Final[dict[int, Block]] = {
    2: _lut_half,
    3: _lut_full,
    4: _lut_count4,
    6: _lut_count6,
    7: _lut_count7,
}
# tables of a block, and what the bits cost that it passes on (3 tables for 2 bits)
_LUT_COST: Final = {2: 2 + 1.5, 3: 2 + 1.5, 4: 3 + 3.0, 6: 5 + 3.0, 7: 6 + 3.0}


_BLOCK_SIZES: Final[Mapping[CounterForm, tuple[int, ...]]] = {
    "full_adders": (2, 3),
    "luts": (2, 3, 4, 6, 7),
    "luts_shallow": (2, 3, 4, 6),
}
_MANY_BITS: Final = 20


@lru_cache(maxsize=128)
def _cheapest(n_bits: int, sizes: tuple[int, ...]) -> int:
    """The largest of the blocks that reduce a column of 2.. bits to one at the least cost."""
    if n_bits >= _MANY_BITS:
        return sizes[-1]
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for n in range(1, n_bits):
        options = [(k, best[n + 1 - k]) for k in sizes if k - 1 <= n]
        best.append(min((cost + _LUT_COST[k], (*blocks, k)) for k, (cost, blocks) in options))
    return max(best[n_bits - 1][1])


class _Columns:
    """What is still to be added, by binary weight; carries beyond the width are lost."""

    def __init__(self, plan: Plan, constant: int, width: int) -> None:
        self.plan = plan
        self.ones = [constant >> column & 1 for column in range(width)]
        self.bits = [_Heap() for _ in range(width)]
        self.pairs = [_Heap() for _ in range(width)]

    def push(self, column: int, lit: int) -> None:
        if column < len(self.bits) and lit != 0:
            self.bits[column].push(self.plan, lit)

    def push_pair(self, column: int, lit: int, parity: int) -> None:
        """Two bits x and y of a column, as x and x ^ y."""
        if column < len(self.pairs):
            self.pairs[column].push(self.plan, lit, parity)

    def half(self, column: int) -> None:
        """Add the last two bits of a column, and the constant 1 if it has one, at the same cost."""
        x, y = self.bits[column].take(2)
        one, self.ones[column] = self.ones[column], 0
        self.push(column, self.plan.table(_XOR, x, y ^ one))
        self.push(column + 1, self.plan.table(_OR if one else _AND, x, y))

    def last(self, column: int) -> int:
        """The score's bit, from the one bit that is left; adding a constant 1 takes no table."""
        bits = self.bits[column]
        lit = bits.take(1)[0] if bits else 0
        if self.ones[column]:
            self.push(column + 1, lit)
        return lit ^ self.ones[column]


def _reduce_luts(columns: _Columns, column: int, sizes: tuple[int, ...]) -> None:
    bits = columns.bits[column]
    while len(bits) > 1:
        block = _cheapest(len(bits), sizes)
        if block == 2:
            columns.half(column)
            continue
        for place, lit in enumerate(_LUT_BLOCKS[block](columns.plan, bits.take(block))):
            columns.push(column + place, lit)


def _gates_full(plan: Plan, z: int, x: int, parity: int) -> tuple[int, int]:
    """Sum and carry of z, x, y, where parity = x ^ y: four gates."""
    other = plan.table(_OR, parity, plan.table(_XOR, x, z))
    total = plan.table(_XOR, parity, z)
    return total, plan.table(_XOR, other, total)


def _gates_mdfa(plan: Plan, z: int, first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Sum of z and two pairs, and the pair of carries: eight gates."""
    (x1, p1), (x2, p2) = first, second
    half = plan.table(_XOR, z, p1)
    either = plan.table(_OR, p1, plan.table(_XOR, z, x1))
    total = plan.table(_XOR, p2, half)
    other = plan.table(_AND_NOT, p2, plan.table(_XOR, x2, total))
    return [total, plan.table(_XOR, half, either), plan.table(_XOR, either, other)]


def _reduce_gates(columns: _Columns, column: int) -> None:
    plan, bits, pairs = columns.plan, columns.bits[column], columns.pairs[column]
    while pairs or len(bits) > 1:
        if pairs and len(bits) * 2 * _LENGTH_OF_CHAIN < len(pairs) + 1:
            # a bit to start a chain from: the lower of a pair, the other follows by its parity
            x, parity = pairs.pop()
            if not bits and len(pairs) <= 2 * _LENGTH_OF_CHAIN:
                # the half adder of a pair is one gate: its parity is the sum
                columns.push(column, parity)
                columns.push(column + 1, plan.table(_AND_NOT, parity, x))
            else:
                columns.push(column, x)
                columns.push(column, plan.table(_XOR, x, parity))
        elif len(pairs) >= 2:
            total, carry, both = _gates_mdfa(plan, bits.pop()[0], pairs.pop(), pairs.pop())
            columns.push(column, total)
            columns.push_pair(column + 1, carry, both)
        elif len(bits) >= 5 or (pairs and len(bits) >= 3):
            x, y = bits.take(2)
            columns.push_pair(column, x, plan.table(_XOR, x, y))
        elif pairs:
            total, carry = _gates_full(plan, *bits.take(1), *pairs.pop())
            columns.push(column, total)
            columns.push(column + 1, carry)
        elif len(bits) >= 3:
            z, x, y = bits.take(3)
            total, carry = _gates_full(plan, z, x, plan.table(_XOR, x, y))
            columns.push(column, total)
            columns.push(column + 1, carry)
        else:
            columns.half(column)


@lru_cache(maxsize=256)
def _counter(weights: tuple[int, ...], constant: int, width: int, form: CounterForm) -> Counter:
    plan = Plan(len(weights))
    digits = [signed_digits(weight) for weight in weights]
    constant -= sum(1 << power for terms in digits for power, sign in terms if sign < 0)
    columns = _Columns(plan, constant, width)
    for number, terms in enumerate(digits):
        for power, sign in terms:
            columns.push(power, 2 * (1 + number) + (sign < 0))
    score = []
    for column in range(width):
        if form == "gates":
            _reduce_gates(columns, column)
        else:
            _reduce_luts(columns, column, _BLOCK_SIZES[form])
        score.append(columns.last(column))
    return plan.finish(score)


def counter(weights: Sequence[int], constant: int, width: int, form: CounterForm) -> Counter:
    """The adders for ``(constant + sum of weights[i] * bit i) mod 2**width``.

    With a width that holds every value (two's complement if one is negative) the score is exact.
    """
    return _counter(tuple(int(weight) for weight in weights), int(constant), width, form)


@dataclass(frozen=True)
class PopcountCost:
    """What the popcounts of all classes take.

    `n_bits` is how many bits they count (outputs of the netlist), `n_added` how many enter an
    adder (a bit once for each signed power of two in its weight), `two_input_gates` and `luts4`
    what the adders take in gates or in LUTs of four inputs.
    """

    n_bits: int
    n_added: int
    two_input_gates: int
    luts4: int

    @property
    def gates_per_bit(self) -> float:
        """Two-input gates for each bit that is counted."""
        return self.two_input_gates / self.n_bits if self.n_bits else 0.0

    @property
    def luts4_per_bit(self) -> float:
        """LUTs of four inputs for each bit that is counted."""
        return self.luts4 / self.n_bits if self.n_bits else 0.0


def popcount_cost(net: Circuit) -> PopcountCost:
    """Gates and LUTs of the popcounts of `net`, from the very adders that are built.

    Scores are taken less the least possible score of all, as in a core that gives the class.
    """
    bounds = net.head.score_bounds()
    low, high = (int(bounds.min()), int(bounds.max())) if net.n_classes else (0, 0)
    width = max(1, (high - low).bit_length())
    forms: tuple[CounterForm, ...] = ("gates", "luts")
    counts = dict.fromkeys(forms, 0)
    n_added = 0
    for c in range(net.n_classes):
        group = slice(int(net.head.group_ptr[c]), int(net.head.group_ptr[c + 1]))
        weights = net.head.weight[group].tolist()
        n_added += sum(len(signed_digits(weight)) for weight in weights)
        for form in forms:
            counts[form] += counter(weights, int(net.head.bias[c]) - low, width, form).n_tables
    return PopcountCost(net.n_outputs, n_added, counts["gates"], counts["luts"])
