"""approximate: signals that hardly ever matter on the training samples are replaced; lossy.

A signal that agrees with a constant or with another, lower signal on all but a few training samples
is replaced by it, cheapest loss per gate saved first, as long as a score (accuracy on the
validation split) stays within a budget. The result computes another function: a new root of the
chain (DESIGN.md, part 4). Likely-equal signals are found as in SAT sweeping, by simulation, but
with the training samples as the only inputs that count; near misses by locality-sensitive hashing
(Indyk, Motwani, STOC 1998: signals that agree on a random sample of 64 bits meet in a bucket).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import node_words
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.local.rewrite import substitute

__all__ = ["Approximation", "Point", "approximate", "tidy"]

Words: TypeAlias = npt.NDArray[np.uint64]

GATES_PER_COUNTED_BIT: Final = 5.0
"""What a popcounted bit costs in two-input gates: a full adder (five) takes one bit away."""
MAX_SHARE: Final = 0.2
"""Signals that differ on a larger share of the samples are never taken for each other."""
N_BANDS: Final = 12
FIRST_BATCH: Final = 8
PATIENCE: Final = 32
"""After so many single replacements in a row that cost too much, it is over."""
CURVE_STEP: Final = 0.02
"""A point of the curve costs a technology mapping."""
_BATCH_SHARE: Final = 0.05


@dataclass(frozen=True)
class Point:
    """A place on the curve: `n_replaced` signals so far, gates, `cost`, and the score."""

    n_replaced: int
    n_gates: int
    n_outputs: int
    cost: int
    score: float


@dataclass(frozen=True)
class Approximation:
    """The netlist, and the curve from the exact netlist (first point) to it (last point).

    Between them stands a point wherever another `CURVE_STEP` of the gates was gone.
    """

    net: Netlist
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class _Candidates:
    """Gates (K,) by node, the literal that would replace each, and loss per gate saved, rising."""

    node: npt.NDArray[np.int64]
    lit: npt.NDArray[np.int64]
    ratio: npt.NDArray[np.float64]


def tidy(net: Netlist) -> Netlist:
    """Fold, drop dead gates, merge equal ones, move constants into the bias: to a fixed point."""
    return head_constants(normalise(net, care="none"))


def _cone_sizes(net: Netlist) -> npt.NDArray[np.float64]:
    """(n_nodes,) float64: gates that go when a node's readers no longer need it.

    The fan-out free tree below each gate: a lower bound of its maximum fan-out free cone.
    """
    size = np.zeros(net.n_nodes)
    is_single = net.fan_out == 1
    first = net.first_gate
    for start, stop in net.levels():
        total = np.ones(stop - start)
        for operand in (net.in0[start:stop], net.in1[start:stop]):
            total += np.where(is_single[operand], size[operand], 0.0)
        size[first + start : first + stop] = total
    return size


def _counted_bits(net: Netlist) -> npt.NDArray[np.float64]:
    """(n_nodes,) float64: popcounted bits that a node drives."""
    return np.bincount(net.outputs >> 1, minlength=net.n_nodes).astype(np.float64)


def _ones(words: Words) -> npt.NDArray[np.int64]:
    """(S,) int64 number of ones in each row of (S, W) words."""
    ones: npt.NDArray[np.int64] = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return ones


def _pairs(
    value: Words, first_gate: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs (node, lower node) that agree, or are complements, on 64 samples drawn at random.

    In a bucket each gate meets its lowest member and its neighbour in order of level.
    """
    n_words = value.shape[1]
    nodes: list[npt.NDArray[np.int64]] = []
    lows: list[npt.NDArray[np.int64]] = []
    for _ in range(N_BANDS):
        # eight bits from each of eight words
        word = rng.integers(0, n_words, 8)
        shift = rng.integers(0, 57, 8).astype(np.uint64)
        key = np.zeros(len(value), np.uint64)
        for place in range(8):
            bits = (value[:, word[place]] >> shift[place]) & np.uint64(0xFF)
            key |= bits << np.uint64(8 * place)
        key = np.where(key & np.uint64(1), ~key, key)
        order = np.argsort(key, kind="stable")
        ranked = key[order]
        starts = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        head = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
        usable = ~starts & (ranked != 0)
        for low in (head, np.concatenate([[0], order[:-1]])):
            take = usable & (order >= first_gate) & (low < order)
            nodes.append(order[take])
            lows.append(low[take])
    joined = np.unique(np.concatenate(nodes) * len(value) + np.concatenate(lows))
    return joined // len(value), joined % len(value)


def _candidates(net: Netlist, words: Words, mask: Words, seed: int) -> _Candidates:
    """Every replacement worth trying, at most one a gate, cheapest loss per gate saved first."""
    value = node_words(net, words) & mask
    n_samples = int(_ones(mask[None])[0])
    first = net.first_gate
    gates = np.arange(first, net.n_nodes)
    ones = _ones(value)
    size, counted = _cone_sizes(net), _counted_bits(net)

    near, low = _pairs(value, first, np.random.default_rng(seed))
    near = np.concatenate([near, gates, gates])
    low = np.concatenate([low, net.in0, net.in1]).astype(np.int64)
    differ = np.concatenate(
        [_ones(value[a] ^ value[b]) for a, b in zip(_cut(near), _cut(low), strict=True)]
        or [np.zeros(0, np.int64)]
    )
    is_flipped = differ > n_samples - differ
    kept = np.where((net.fan_out[low] == 1) & (low >= first), size[low], 0.0)

    node = np.concatenate([gates, near])
    lit = np.concatenate([(2 * ones[gates] > n_samples).astype(np.int64), 2 * low + is_flipped])
    loss = np.concatenate(
        [np.minimum(ones, n_samples - ones)[gates], np.minimum(differ, n_samples - differ)]
    )
    saved = np.concatenate(
        [size[gates] + GATES_PER_COUNTED_BIT * counted[gates], size[near] - kept]
    )
    allowed = (loss <= MAX_SHARE * n_samples) & (saved > 0)
    node, lit = node[allowed], lit[allowed]
    ratio = loss[allowed] / saved[allowed]
    order = np.lexsort((lit, node, -saved[allowed], ratio))
    _, best = np.unique(node[order], return_index=True)
    order = order[np.sort(best)]
    return _Candidates(node[order], lit[order], ratio[order])


def _cut(values: npt.NDArray[np.int64], size: int = 1 << 15) -> list[npt.NDArray[np.int64]]:
    return [values[i : i + size] for i in range(0, len(values), size)]


def _replaced(net: Netlist, found: _Candidates, take: npt.NDArray[np.int64]) -> Netlist:
    lit = np.arange(0, 2 * net.n_nodes, 2, dtype=np.int64)
    lit[found.node[take]] = found.lit[take]
    return tidy(substitute(net, lit))


def _as_root(net: Netlist) -> Netlist:
    """`net` under a digest of its own: it is not what the old one names any more."""
    text = f"gate2hw approximation of {net.digest}: {net.content_digest()}"
    return net.with_(digest=hashlib.sha256(text.encode()).hexdigest())


def approximate(
    net: Netlist,
    *,
    words: Words,
    n_samples: int,
    score: Callable[[Netlist], float],
    budget: float,
    cost: Callable[[Netlist], int] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    seed: int = 0,
) -> Approximation:
    """Replace signals of `net` while ``score(net)`` falls by at most `budget`; a new root.

    `words` (I, W) uint64 are the packed training inputs, `n_samples` how many of their bits
    count. `score` is the accuracy on the validation split, `budget` a fraction 0..1; `cost` is
    what the curve shows beside gates (LUTs, say; default gates). Deterministic. Raises InputError
    for a budget outside 0..1, no samples, or a netlist without classes.
    """
    if not 0.0 <= budget <= 1.0:
        raise InputError(f"the accuracy budget is {budget:g}; it is a fraction, 0 to 1")
    if net.n_classes == 0 or n_samples < 1:
        raise InputError("approximation needs a netlist with classes and training samples")
    if words.shape != (net.n_inputs, -(-n_samples // 64)):
        raise InputError(
            f"{n_samples} samples of {net.n_inputs} inputs are "
            f"{(net.n_inputs, -(-n_samples // 64))} words, not {words.shape}"
        )
    cost = cost or (lambda candidate: candidate.n_gates)
    mask = np.full(words.shape[1], 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
    if n_samples % 64:
        mask[-1] = (np.uint64(1) << np.uint64(n_samples % 64)) - np.uint64(1)
    exact = score(net)
    floor = exact - budget - 1e-12
    curve = [Point(0, net.n_gates, net.n_outputs, cost(net), exact)]
    n_replaced, batch, start_gates, reached = 0, FIRST_BATCH, net.n_gates, exact
    for round_number in itertools.count():
        found = _candidates(net, words, mask, seed + round_number)
        step = _step(net, found, batch, score, floor) if net.n_gates else None
        is_last = step is None
        if n_replaced > curve[-1].n_replaced and (
            is_last or net.n_gates <= curve[-1].n_gates - CURVE_STEP * start_gates
        ):
            curve.append(Point(n_replaced, net.n_gates, net.n_outputs, cost(net), reached))
        if step is None:
            return Approximation(_as_root(net) if n_replaced else net, tuple(curve))
        net, taken, reached, batch = step
        n_replaced += taken
        if progress is not None:
            done = start_gates - net.n_gates
            progress(done, start_gates, f"{net.n_gates:,} gates at {100 * reached:.2f} %")
    raise AssertionError("unreachable")


def _step(
    net: Netlist,
    found: _Candidates,
    batch: int,
    score: Callable[[Netlist], float],
    floor: float,
) -> tuple[Netlist, int, float, int] | None:
    """The next netlist within the budget, how many signals it replaced, its score, the next batch.

    A batch that costs too much is halved; down to one signal, the next in order is tried, up to
    PATIENCE of them. None where nothing is left.
    """
    batch = max(1, min(batch, len(found.node)))
    first = failures = 0
    while first < len(found.node) and failures < PATIENCE:
        take = np.arange(first, min(first + batch, len(found.node)))
        candidate = _replaced(net, found, take)
        reached = score(candidate)
        is_smaller = (candidate.n_gates, candidate.n_outputs) < (net.n_gates, net.n_outputs)
        if reached >= floor and is_smaller:
            limit = max(FIRST_BATCH, int(_BATCH_SHARE * net.n_gates))
            return candidate, len(take), reached, min(2 * batch, limit)
        if batch > 1:
            batch //= 2
        else:
            first += 1
            failures += 1
    return None
