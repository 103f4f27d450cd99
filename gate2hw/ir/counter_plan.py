"""A circuit of small tables under construction, and what comes of it: the adders of one class.

Constants and complements go into the tables that read them, and what no score bit needs is
dropped at the end, so that builders need not care about either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Head

__all__ = ["Counter", "Plan"]


@dataclass(frozen=True)
class Counter:
    """The adders of one class.

    Signal 0 is the constant 0, signals 1..n_bits are the bits, then one a table: `init`, with
    input 0 the most significant address bit, reads the signals `fanin` below it. `score` holds
    one literal (``2*signal + complement``) for each bit of the score, lowest first.
    """

    n_bits: int
    init: tuple[int, ...]
    fanin: tuple[tuple[int, ...], ...]
    score: tuple[int, ...]

    @property
    def n_tables(self) -> int:
        """How many gates (or LUTs) it takes."""
        return len(self.init)

    @property
    def depth(self) -> int:
        """Most tables in a row between a bit and the score."""
        level = self._levels()
        return max((level[lit >> 1] for lit in self.score), default=0)

    def _levels(self) -> list[int]:
        level = [0] * (1 + self.n_bits)
        for signals in self.fanin:
            level.append(1 + max(level[signal] for signal in signals))
        return level

    def to_luts(self) -> LutNetlist:
        """A plain circuit of LUTs; its outputs are the bits of the score, lowest first."""
        level = self._levels()
        n_luts, first = len(self.init), 1 + self.n_bits
        order = sorted(range(n_luts), key=lambda table: level[first + table])
        new = list(range(first)) + [0] * n_luts
        for place, table in enumerate(order):
            new[first + table] = first + place
        fanin = np.full((n_luts, 4), -1, np.int32)
        for place, table in enumerate(order):
            signals = self.fanin[table]
            fanin[place, : len(signals)] = [new[signal] for signal in signals]
        sizes = np.bincount(np.array(level[first:], np.int64), minlength=1)[1:]
        luts = LutNetlist(
            self.n_bits,
            np.array([self.init[table] for table in order], np.uint64),
            fanin,
            np.concatenate([[0], np.cumsum(sizes)]),
            np.array([2 * new[lit >> 1] + (lit & 1) for lit in self.score], np.int64),
            head=Head.none(len(self.score)),
        )
        luts.verify()
        return luts


def _cofactor(init: int, size: int, at: int, value: int) -> int:
    """The table of `size` inputs with input `at` fixed, as one of the `size` - 1 others."""
    shift = size - 1 - at
    result = 0
    for address in range(1 << (size - 1)):
        low = address & ((1 << shift) - 1)
        full = (address >> shift) << (shift + 1) | value << shift | low
        result |= (init >> full & 1) << address
    return result


@dataclass
class Plan:
    """A counter being built; signals are literals, ``2*signal + complement``."""

    n_bits: int
    init: list[int] = field(default_factory=list)
    fanin: list[tuple[int, ...]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)

    def table(self, init: int, *lits: int) -> int:
        """The literal of a table over literals; constants and complements go into the table."""
        inputs = list(lits)
        for at in reversed(range(len(inputs))):
            low, high = (_cofactor(init, len(inputs), at, v) for v in (0, 1))
            if inputs[at] <= 1 or low == high:
                init = high if inputs[at] == 1 else low
                del inputs[at]
            elif inputs[at] & 1:
                init = _join(low, high, len(inputs), at)
        if not inputs:
            return init & 1
        signals = [lit >> 1 for lit in inputs]
        if len(inputs) == 1:
            return 2 * signals[0] + (init & 1)
        self.init.append(init)
        self.fanin.append(tuple(signals))
        self.depth.append(1 + max(self.level(lit) for lit in inputs))
        return 2 * (self.n_bits + len(self.init))

    def level(self, lit: int) -> int:
        """How many tables stand between the bits and a literal."""
        number = (lit >> 1) - 1 - self.n_bits
        return self.depth[number] if number >= 0 else 0

    def finish(self, score: Iterable[int]) -> Counter:
        """Drop what no score bit needs, renumber."""
        score = list(score)
        first = 1 + self.n_bits
        live = {lit >> 1 for lit in score}
        for number in reversed(range(len(self.init))):
            if first + number in live:
                live.update(self.fanin[number])
        kept = [number for number in range(len(self.init)) if first + number in live]
        new = {first + old: first + number for number, old in enumerate(kept)}
        return Counter(
            self.n_bits,
            tuple(self.init[old] for old in kept),
            tuple(tuple(new.get(s, s) for s in self.fanin[old]) for old in kept),
            tuple(2 * new.get(lit >> 1, lit >> 1) + (lit & 1) for lit in score),
        )


def _join(low: int, high: int, size: int, at: int) -> int:
    """The table of `size` inputs whose cofactors at input `at` are `high` for 0, `low` for 1."""
    shift = size - 1 - at
    result = 0
    for address in range(1 << size):
        rest = (address >> (shift + 1)) << shift | address & ((1 << shift) - 1)
        result |= ((low if address >> shift & 1 else high) >> rest & 1) << address
    return result
