"""Circuits like those of the EPFL combinational benchmark suite, smaller, built here.

Each is a function of bits (lists of literals, lowest first) over a little AND/XOR builder, and a
plain integer function that says what it must compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import TT_AND, TT_OR, TT_XOR, complement_inputs
from gate2hw.ir.netlist import Netlist


class Logic:
    """Gates over literals ``2 * node + complement``."""

    def __init__(self, n_inputs: int) -> None:
        self.builder = NetlistBuilder(n_inputs)
        self.inputs = [2 * (1 + i) for i in range(n_inputs)]

    def gate(self, tt: int, a: int, b: int) -> int:
        table = int(complement_inputs[2 * (a & 1) + (b & 1), tt])
        return 2 * self.builder.gate(table, a >> 1, b >> 1)

    def land(self, a: int, b: int) -> int:
        return self.gate(TT_AND, a, b)

    def lor(self, a: int, b: int) -> int:
        return self.gate(TT_OR, a, b)

    def xor(self, a: int, b: int) -> int:
        return self.gate(TT_XOR, a, b)

    def mux(self, s: int, a: int, b: int) -> int:
        """b if s else a."""
        return self.lor(self.land(s, b), self.land(s ^ 1, a))

    def add(self, a: list[int], b: list[int]) -> list[int]:
        carry, out = 0, []
        for x, y in zip(a, b, strict=True):
            half = self.xor(x, y)
            out.append(self.xor(half, carry))
            carry = self.lor(self.land(x, y), self.land(half, carry))
        return [*out, carry]

    def any(self, bits: list[int]) -> int:
        total = 0
        for bit in bits:
            total = self.lor(total, bit)
        return total


@dataclass(frozen=True)
class Sample:
    """A netlist and its meaning: integers of the inputs to that of the outputs."""

    name: str
    net: Netlist
    meaning: Callable[[int], int]


def _sample(
    name: str, n: int, build: Callable[[Logic], list[int]], meaning: Callable[[int], int]
) -> Sample:
    logic = Logic(n)
    outputs = build(logic)
    return Sample(name, logic.builder.build(np.array(outputs)), meaning)


def adder(n: int = 32) -> Sample:
    mask = (1 << n) - 1
    return _sample(
        "adder",
        2 * n,
        lambda g: g.add(g.inputs[:n], g.inputs[n:]),
        lambda v: (v & mask) + (v >> n),
    )


def multiplier(n: int = 8) -> Sample:
    def build(g: Logic) -> list[int]:
        total = [0] * (2 * n)
        for i in range(n):
            row = [0] * i + [g.land(g.inputs[i], b) for b in g.inputs[n:]] + [0] * (n - i)
            total = g.add(total, row)[: 2 * n]
        return total

    mask = (1 << n) - 1
    return _sample("multiplier", 2 * n, build, lambda v: (v & mask) * (v >> n))


def barrel_shifter(n: int = 32) -> Sample:
    stages = n.bit_length() - 1

    def build(g: Logic) -> list[int]:
        data = g.inputs[:n]
        for k in range(stages):
            data = [g.mux(g.inputs[n + k], data[i], data[i - (1 << k)]) for i in range(n)]
        return data

    def meaning(v: int) -> int:
        data, by = v & ((1 << n) - 1), v >> n
        return (data << by | data >> (n - by)) & ((1 << n) - 1)

    return _sample("bar", n + stages, build, meaning)


def maximum(n: int = 16, words: int = 4) -> Sample:
    def build(g: Logic) -> list[int]:
        best = g.inputs[:n]
        for w in range(1, words):
            word = g.inputs[w * n : (w + 1) * n]
            less = 0  # best < word, from the lowest bit
            for a, b in zip(best, word, strict=True):
                less = g.lor(g.land(a ^ 1, b), g.land(g.xor(a, b) ^ 1, less))
            best = [g.mux(less, a, b) for a, b in zip(best, word, strict=True)]
        return best

    mask = (1 << n) - 1
    return _sample("max", n * words, build, lambda v: max(v >> n * w & mask for w in range(words)))


def decoder(n: int = 6) -> Sample:
    def build(g: Logic) -> list[int]:
        outputs = []
        for code in range(1 << n):
            term = 1
            for k in range(n):
                term = g.land(term, g.inputs[k] ^ (~code >> k & 1))
            outputs.append(term)
        return outputs

    return _sample("dec", n, build, lambda v: 1 << v)


def priority(n: int = 48) -> Sample:
    def build(g: Logic) -> list[int]:
        free, grants = 1, []
        for request in g.inputs:
            grants.append(g.land(free, request))
            free = g.land(free, request ^ 1)
        size = (n - 1).bit_length()
        index = [g.any([grants[i] for i in range(n) if i >> k & 1]) for k in range(size)]
        return [*index, free ^ 1]

    def meaning(v: int) -> int:
        lowest = (v & -v).bit_length() - 1
        return (lowest | 1 << (n - 1).bit_length()) if v else 0

    return _sample("priority", n, build, meaning)


def voter(n: int = 31) -> Sample:
    def build(g: Logic) -> list[int]:
        size = n.bit_length()
        total = [0] * size
        for bit in g.inputs:
            total = g.add(total, [bit] + [0] * (size - 1))[:size]
        more = 0
        threshold = n // 2
        for k, bit in enumerate(total):
            more = g.land(more, bit) if threshold >> k & 1 else g.lor(more, bit)
        return [more]

    return _sample("voter", n, build, lambda v: int(bin(v).count("1") > n // 2))


def int2float(n: int = 11) -> Sample:
    """The position of the highest 1 and the three bits below it."""

    def build(g: Logic) -> list[int]:
        free, heads = 1, []
        for bit in reversed(g.inputs):
            heads.append(g.land(free, bit))
            free = g.land(free, bit ^ 1)
        heads.reverse()
        exponent = [g.any([heads[i] for i in range(n) if i >> k & 1]) for k in range(4)]
        mantissa = [
            g.any([g.land(heads[i], g.inputs[i - k]) for i in range(k, n)]) for k in (3, 2, 1)
        ]
        return exponent + mantissa

    def meaning(v: int) -> int:
        if not v:
            return 0
        top = v.bit_length() - 1
        mantissa = sum((v >> (top - k) & 1) << (3 - k) for k in (1, 2, 3) if top >= k)
        return top | mantissa << 4

    return _sample("int2float", n, build, meaning)


def samples() -> list[Sample]:
    return [
        adder(), multiplier(), barrel_shifter(), maximum(), decoder(), priority(), voter(),
        int2float(),
    ]  # fmt: skip
