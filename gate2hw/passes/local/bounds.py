"""What a literal says about the model's input: an interval for each of a few features.

A literal that is 1 bounds features: an input bit ``x > t`` says ``x >= t + 1``, its complement
``x <= t``; an AND says what both operands say, an OR what both agree on. Two literals whose bounds
on some feature do not meet are never 1 together. The range of the values is not used, only the
order of the thresholds: exactly the legal thermometer codes of `ir.care`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Encoder
from gate2hw.passes.local.window import A, B, P, Q, R, S, Window

__all__ = ["N_SLOTS", "Bounds", "Slots", "both", "either", "excluded"]

N_SLOTS: Final = 4
"""Features that the bounds of one literal hold; 8 gain nothing on the nets at hand."""

NO_FEATURE: Final = -1
HIGHEST: Final = np.uint16(65535)
_PAIRS: Final = ((P, R), (P, S), (Q, R), (Q, S), (A, R), (A, S), (P, B), (Q, B), (A, B))


@dataclass(frozen=True)
class Slots:
    """Bounds of n literals: ``low <= x[feature] <= high`` in each of K slots.

    `feature` (K, n) int32, -1 where unused; `low`, `high` (K, n) uint16, 0 and 65535 where unused.
    """

    feature: npt.NDArray[np.int32]
    low: npt.NDArray[np.uint16]
    high: npt.NDArray[np.uint16]

    @staticmethod
    def empty(n_slots: int, n: int) -> Slots:
        """Slots that bound nothing."""
        return Slots(
            np.full((n_slots, n), NO_FEATURE, np.int32),
            np.zeros((n_slots, n), np.uint16),
            np.full((n_slots, n), HIGHEST),
        )

    def take(self, at: npt.NDArray[Any]) -> Slots:
        """The columns `at`."""
        return Slots(self.feature[:, at], self.low[:, at], self.high[:, at])

    def put(self, at: npt.NDArray[Any], slots: Slots) -> None:
        """Overwrite the columns `at` by `slots`, of at most as many slots."""
        n_slots = len(slots.feature)
        self.feature[:n_slots, at] = slots.feature
        self.low[:n_slots, at] = slots.low
        self.high[:n_slots, at] = slots.high

    def seen(self) -> npt.NDArray[np.uint64]:
        """(n,) uint64: a bit for each feature, modulo 64; 0 where nothing is bounded."""
        bits = np.uint64(1) << (self.feature & 63).astype(np.uint64)
        result: npt.NDArray[np.uint64] = np.bitwise_or.reduce(
            np.where(self.feature == NO_FEATURE, np.uint64(0), bits), axis=0
        )
        return result


def excluded(a: Slots, b: Slots) -> npt.NDArray[np.bool_]:
    """(n,) bool: whether two columns bound some feature to intervals that do not meet."""
    result = np.zeros(a.feature.shape[1], np.bool_)
    for i in range(len(a.feature)):
        for j in range(len(b.feature)):
            apart = (a.low[i] > b.high[j]) | (b.low[j] > a.high[i])
            apart &= a.feature[i] == b.feature[j]
            result |= apart
    return result


def both(a: Slots, b: Slots) -> Slots:
    """What holds if both columns do: bounds of a common feature meet, others go where room is."""
    feature, low, high = a.feature.copy(), a.low.copy(), a.high.copy()
    n_slots = len(feature)
    used = (feature != NO_FEATURE).sum(axis=0)
    for f, lo, hi in zip(b.feature, b.low, b.high, strict=True):
        new = f != NO_FEATURE
        for i in range(n_slots):
            same = new & (feature[i] == f)
            np.maximum(low[i], lo, out=low[i], where=same)
            np.minimum(high[i], hi, out=high[i], where=same)
            new &= ~same
        at = np.flatnonzero(new & (used < n_slots))
        place = used[at]
        feature[place, at], low[place, at], high[place, at] = f[at], lo[at], hi[at]
        used[at] += 1
    return Slots(feature, low, high)


def either(a: Slots, b: Slots) -> Slots:
    """What holds if one of the columns does: features that both bound, lowest to highest."""
    result = Slots.empty(len(a.feature), a.feature.shape[1])
    used = np.zeros(a.feature.shape[1], np.intp)
    for i in range(len(a.feature)):
        for j in range(len(b.feature)):
            at = np.flatnonzero((a.feature[i] == b.feature[j]) & (a.feature[i] != NO_FEATURE))
            lo = np.minimum(a.low[i, at], b.low[j, at])
            hi = np.maximum(a.high[i, at], b.high[j, at])
            says = (lo != 0) | (hi != HIGHEST)
            at, lo, hi = at[says], lo[says], hi[says]
            place = used[at]
            result.feature[place, at] = a.feature[i, at]
            result.low[place, at], result.high[place, at] = lo, hi
            used[at] += 1
    return result


class Bounds:
    """Bounds of all literals (2*n_nodes) of a netlist, filled level by level.

    `slots` has a column a literal; `seen` (2*n_nodes,) uint64 is that of the slots: literals
    without a common bit have no common feature.
    """

    def __init__(self, encoder: Encoder, n_nodes: int) -> None:
        self.slots = Slots.empty(N_SLOTS, 2 * n_nodes)
        one = 2 * np.arange(1, 1 + len(encoder.feature)) + 1
        self.slots.feature[0, one] = self.slots.feature[0, one - 1] = encoder.feature
        self.slots.low[0, one] = encoder.threshold + 1
        self.slots.high[0, one - 1] = encoder.threshold
        self.seen = self.slots.seen()

    def of(self, node: npt.NDArray[Any], value: npt.NDArray[Any] | int) -> Slots:
        """The bounds that ``node == value`` sets, (n,) each."""
        return self.slots.take(2 * node.astype(np.int64) + value)

    def impossible(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """(n,) uint8: the cells (bit ``2*vx + vy``) in which nodes x, y (n,) never are."""
        result = np.zeros(len(x), np.uint8)
        x, y = 2 * x.astype(np.int64), 2 * y.astype(np.int64)
        for cell in range(4):
            a, b = x + (cell >> 1), y + (cell & 1)
            some = np.flatnonzero(self.seen[a] & self.seen[b])
            apart = excluded(self.slots.take(a[some]), self.slots.take(b[some]))
            result[some[apart]] |= np.uint8(1 << cell)
        return result

    def tell(self, window: Window) -> None:
        """Forbid what the bounds of leaves and operands rule out."""
        for x, y in _PAIRS:
            window.forbid(x, y, self.impossible(window.node[x], window.node[y]))

    def learn(
        self,
        node: npt.NDArray[np.int64],
        tt: npt.NDArray[np.uint8],
        x: npt.NDArray[Any],
        y: npt.NDArray[Any],
        possible: npt.NDArray[np.uint8],
    ) -> None:
        """Fill in both literals of gates ``node = tt(x, y)``, of whose cells `possible` occur."""
        for value in (0, 1):
            cells = possible & (tt if value else ~tt)
            for pattern in np.flatnonzero(np.bincount(cells, minlength=16)):
                some = np.flatnonzero(cells == pattern)
                slots = self._of_cells(int(pattern), x[some], y[some])
                literal = 2 * node[some] + value
                self.slots.put(literal, slots)
                self.seen[literal] = slots.seen()

    def _of_cells(self, cells: int, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Slots:
        """Bounds that hold if nodes (x, y) are in one of `cells`."""
        places = [(cell >> 1, cell & 1) for cell in range(4) if cells >> cell & 1]
        if len(places) == 3:
            ((vx, vy),) = {(0, 0), (0, 1), (1, 0), (1, 1)} - set(places)
            return either(self.of(x, 1 - vx), self.of(y, 1 - vy))
        if not 1 <= len(places) <= 2:
            return Slots.empty(N_SLOTS, len(x))
        slots = [both(self.of(x, vx), self.of(y, vy)) for vx, vy in places]
        return slots[0] if len(slots) == 1 else either(*slots)
