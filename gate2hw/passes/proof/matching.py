"""A guess which signals that two heads count are equal, and the integers that follow from it.

Score differences between two netlists are an affine form of the signals that either counts. First,
signals that are equal by structure (both netlists folded and hashed as one), or by whatever else
the caller has to tell that, share a term; terms that cancel are settled. Those left over are what a
pass merged by function: they are told apart by simulation, and within a set that looks alike, terms
that cancel are paired in order, the rest taken as equal if they cancel together, or as constant if
they look constant. What then remains of the form must be 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import from_columns
from gate2hw.ir.care import CareSet
from gate2hw.ir.gates import TT_XOR
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist
from gate2hw.ir.simulate import node_words, pack
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.proof.proof_window import side_by_side
from gate2hw.passes.proof.sat_pairs import diverse_words

__all__ = ["Matching", "Patterns", "Reduce", "match", "reduced_outputs"]

Ints: TypeAlias = npt.NDArray[np.int64]
Bits: TypeAlias = npt.NDArray[np.bool_]
Words: TypeAlias = npt.NDArray[np.uint64]
Matching: TypeAlias = tuple[Ints, Ints, Netlist, Netlist]
Reduce: TypeAlias = Callable[[Netlist], Ints]
"""(O,) int64 literals of the outputs of a plain circuit; outputs with one literal are equal."""

N_WORDS = 32
_VALUE_WORDS = 2**24
_ALL_WORDS = 2**27
_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def reduced_outputs(net: Netlist) -> Ints:
    """(O,) int64 output literals after folding and hashing to a fixed point."""
    return normalise(net, care="none").outputs


def _legal_bits(encoder: Encoder, n_samples: int, rng: np.random.Generator) -> Bits:
    """(n_samples, I) legal codes; every height of a feature's thermometer is equally likely."""
    order = np.lexsort((encoder.threshold, encoder.feature))
    count = np.bincount(encoder.feature, minlength=encoder.n_features)
    start = np.concatenate([[0], np.cumsum(count)])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - start[encoder.feature[order]]
    # a third of the samples leans towards low values, a third towards high ones
    lean = rng.choice([0.5, 1.0, 2.0], size=(n_samples, 1))
    height = np.floor(rng.random((n_samples, len(count))) ** lean * (count + 1))
    bits: Bits = rank < height[:, encoder.feature]
    return bits


class Patterns:
    """Inputs to tell signals apart by: `extra` (N, I) bool, if given, then random ones.

    Legal codes are of two kinds: every bit of a feature changes as often as every other, or a
    sample is dark or bright as a whole, which rare signals ask for. Netlists of millions of nodes
    are run on fewer of them.
    """

    def __init__(self, net: Netlist, care: CareSet, extra: Bits | None = None) -> None:
        rng = np.random.default_rng(0)
        if net.encoder is not None and care == "thermometer":
            even = pack(_legal_bits(net.encoder, 32 * N_WORDS, rng))
            words = np.concatenate([even, diverse_words(net, N_WORDS // 2, rng, care=care)], axis=1)
        else:
            words = rng.integers(0, 2**64, size=(net.n_inputs, N_WORDS), dtype=np.uint64)
        if extra is not None and len(extra):
            fill = np.repeat(extra[:1], -len(extra) % 64, axis=0)
            words = np.concatenate([pack(np.concatenate([extra, fill])), words], axis=1)
        self.words: Words = words

    def n_words(self, *nets: Netlist) -> int:
        """How many words of inputs these netlists are run on."""
        limit = max(1, _ALL_WORDS // max(net.n_nodes for net in nets))
        return min(limit, int(self.words.shape[1]))

    def values(self, net: Netlist, lits: Ints, n_words: int) -> Words:
        """(len(lits), W) uint64: the values of literals of `net` on `n_words` words."""
        step = max(1, min(16, _VALUE_WORDS // net.n_nodes))
        parts = []
        for first in range(0, n_words, step):
            value = node_words(net, self.words[:, first : min(first + step, n_words)])
            parts.append(value[lits >> 1])
        result: Words = np.concatenate(parts, axis=1)
        result[(lits & 1) == 1] ^= _ONES
        return result

    def agree(self, a: Netlist, lits_a: Ints, b: Netlist, lits_b: Ints) -> bool:
        """Whether no input tells literal `lits_a[p]` of `a` from `lits_b[p]` of `b`."""
        n_words = self.n_words(a, b)
        return np.array_equal(self.values(a, lits_a, n_words), self.values(b, lits_b, n_words))


@dataclass
class _Members:
    """Nodes (M,) that a head counts: of which `side` (0 or 1), and ``node = term ^ flip``.

    Terms are numbered from 0, the constant 0. `at` holds the first place of each side's members.
    """

    node: Ints
    side: Ints
    term: Ints
    flip: Ints
    n_terms: int
    at: tuple[int, int] = (0, 0)

    @staticmethod
    def of(a: Netlist, b: Netlist, reduce: Reduce) -> _Members:
        """All counted nodes of both netlists; those that `reduce` makes one share a term."""
        counted = [np.unique(net.outputs >> 1) for net in (a, b)]
        node = np.concatenate(counted)
        side = np.repeat([0, 1], [len(part) for part in counted])
        shift = np.where((side == 1) & (node >= b.first_gate), a.n_gates, 0)
        lit = reduce(side_by_side(a, b, 2 * (node + shift)))
        terms, term = np.unique(np.concatenate([[0], lit >> 1]), return_inverse=True)
        return _Members(node, side, term[1:], lit & 1, len(terms), (0, len(counted[0])))


@dataclass
class _Difference:
    """Scores of `a` less those of `b`: ``bias + sum of weight[t] * term t``.

    `weight` (T, C), `bias` (C,) int64; with `relative` they are less their first column. `place`
    (T,) orders the terms by their first use.
    """

    weight: Ints
    bias: Ints
    place: Ints

    @staticmethod
    def of(a: Netlist, b: Netlist, members: _Members, *, relative: bool) -> _Difference:
        n_classes = a.n_classes
        weight = np.zeros((members.n_terms, n_classes), np.int64)
        bias = a.head.bias - b.head.bias
        place = np.full(members.n_terms, a.n_outputs + b.n_outputs)
        for side, (net, sign) in enumerate([(a, 1), (b, -1)]):
            mine = slice(members.at[side], members.at[1] if side == 0 else None)
            at = np.searchsorted(members.node[mine], net.outputs >> 1)
            term = members.term[mine][at]
            is_flipped = (net.outputs & 1) ^ members.flip[mine][at]
            cls = np.repeat(np.arange(n_classes), np.diff(net.head.group_ptr))
            w = sign * net.head.weight.astype(np.int64)
            np.add.at(bias, cls, w * is_flipped)
            np.add.at(weight, (term, cls), w * (1 - 2 * is_flipped))
            np.minimum.at(place, term, np.arange(net.n_outputs) + side * a.n_outputs)
        weight[0] = 0
        if relative:
            weight -= weight[:, :1].copy()
            bias = bias - bias[0]
        return _Difference(weight, bias, place)


@dataclass
class _Guess:
    """Which terms are equal: term t is ``root[t] ^ flip[t]``; root 0 is the constant 0."""

    root: Ints
    flip: Ints
    queues: dict[tuple[int, bytes], list[int]] = field(default_factory=lambda: defaultdict(list))


def _like(values: Words) -> tuple[Ints, Ints]:
    """Number (R,) of the set of rows that look alike up to complement, 0 for constants; flip."""
    flip = (values[:, 0] & np.uint64(1)).astype(np.int64)
    plain = np.where(flip[:, None] == 1, values ^ _ONES, values)
    plain = np.concatenate([np.zeros((1, values.shape[1]), np.uint64), plain])
    _, number = np.unique(plain, axis=0, return_inverse=True)
    number = number.reshape(-1)
    return np.where(number == number[0], 0, 1 + number)[1:], flip


def _merge_open(difference: _Difference, is_open: Ints, values: Words) -> _Guess:
    """Take terms `is_open` (R,), whose `values` are (R, W), as equal where that cancels them."""
    guess = _Guess(np.arange(len(difference.weight)), np.zeros(len(difference.weight), np.int64))
    like, flip = _like(values)
    weight = difference.weight[is_open]
    weight = np.where(flip[:, None] == 1, -weight, weight)
    guess.flip[is_open] = flip
    left: dict[int, list[int]] = defaultdict(list)
    for row in np.argsort(difference.place[is_open], kind="stable").tolist():
        number = int(like[row])
        partners = guess.queues[number, (-weight[row]).tobytes()]
        if partners:
            guess.root[is_open[row]] = is_open[partners.pop(0)]
        else:
            guess.queues[number, weight[row].tobytes()].append(row)
    for (number, _), rows in guess.queues.items():
        left[number] += rows
    for number, rows in left.items():
        if rows and not weight[rows].sum(axis=0).any():
            guess.root[is_open[rows]] = is_open[rows[0]]
        elif rows and number == 0:
            guess.root[is_open[rows]] = 0
    return guess


def _cancels(difference: _Difference, guess: _Guess) -> bool:
    """Whether the difference is 0 if every term is ``root ^ flip``: the check on integers."""
    weight, flip = difference.weight, guess.flip[:, None]
    total = np.zeros_like(weight)
    np.add.at(total, guess.root, weight * (1 - 2 * flip))
    bias = difference.bias + (weight * flip).sum(axis=0)
    return not total[1:].any() and not bias.any()


def _with_xors(net: Netlist, lits: Ints, first: Ints, second: Ints) -> tuple[Ints, Netlist]:
    """Literals, and the netlist they are of: `lits`, then XORs of literals `first`, `second`."""
    if not len(first):
        return lits, net
    gates = net.n_nodes + np.arange(len(first))
    result = from_columns(
        net.n_inputs,
        np.concatenate([net.tt, np.full(len(first), TT_XOR, np.uint8)]),
        np.concatenate([net.in0, first >> 1]).astype(np.int32),
        np.concatenate([net.in1, second >> 1]).astype(np.int32),
        np.concatenate([lits, 2 * gates + ((first ^ second) & 1)]),
        head=Head.none(len(lits) + len(first)),
        encoder=net.encoder,
        names=Names(inputs=net.names.inputs),
        digest=net.digest,
        block_ptr=np.append(net.level_ptr, net.n_gates + len(first)),
    )
    return result.outputs, result


def _obligations(a: Netlist, b: Netlist, members: _Members, guess: _Guess) -> Matching:
    """Pairs of literals that, equal, make all members of each root equal."""
    root = guess.root[members.term]
    lit = 2 * members.node + (members.flip ^ guess.flip[members.term])
    use = members.node > 0
    order = np.flatnonzero(use)[np.lexsort((members.side[use], root[use]))]
    root, lit, side = root[order], lit[order], members.side[order]
    _, head, group = np.unique(root, return_index=True, return_inverse=True)
    ends = np.append(head[1:], len(root))
    # members of a root are sorted by side: its first is of `a` if any is, its last of `b`
    first, last = head[group], ends[group] - 1
    both = side[first] != side[last]
    constant = root == 0
    first_b = head[group] + np.bincount(group[side == 0], minlength=len(head))[group]
    paired = both & ~constant
    mine, theirs = paired & (side == 0), paired & (side == 1)
    theirs[first_b[theirs]] = False
    const_a, const_b = constant & (side == 0), constant & (side == 1)
    zeros_a, zeros_b = np.zeros(const_a.sum(), np.int64), np.zeros(const_b.sum(), np.int64)
    lits_a = np.concatenate([lit[mine], lit[first[theirs]], lit[const_a], zeros_b])
    lits_b = np.concatenate([lit[first_b[mine]], lit[theirs], zeros_a, lit[const_b]])
    alone = ~both & ~constant & (np.arange(len(root)) != first)
    alone_a, alone_b = alone & (side == 0), alone & (side == 1)
    lits_a, net_a = _with_xors(a, lits_a, lit[first[alone_a]], lit[alone_a])
    lits_b, net_b = _with_xors(b, lits_b, lit[first[alone_b]], lit[alone_b])
    zeros_a, zeros_b = np.zeros(alone_a.sum(), np.int64), np.zeros(alone_b.sum(), np.int64)
    n_pairs = len(lits_b) - len(zeros_b)
    lits_a = np.concatenate([lits_a, zeros_b])
    lits_b = np.concatenate([lits_b[:n_pairs], zeros_a, lits_b[n_pairs:]])
    return lits_a, lits_b, net_a, net_b


def match(
    a: Netlist,
    b: Netlist,
    inputs: Patterns,
    *,
    relative: bool,
    reduce: Reduce = reduced_outputs,
) -> Matching | None:
    """Obligations (literals of `a` and of `b`, the netlists they are of) for equal scores.

    Both netlists have the same inputs and classes. With `relative`, equal differences of scores
    between classes. `reduce` says which of the counted signals are equal to start with. None where
    no guess makes the scores equal.
    """
    members = _Members.of(a, b, reduce)
    difference = _Difference.of(a, b, members, relative=relative)
    is_open = np.flatnonzero(difference.weight.any(axis=1))
    place = np.empty(members.n_terms, np.int64)
    place[members.term[::-1]] = np.arange(len(members.term))[::-1]
    shown = place[is_open]
    n_words = inputs.n_words(a, b)
    values = np.empty((len(is_open), n_words), np.uint64)
    for side, net in enumerate((a, b)):
        mine = members.side[shown] == side
        chosen = shown[mine]
        if len(chosen):
            lits = 2 * members.node[chosen] + members.flip[chosen]
            values[mine] = inputs.values(net, lits, n_words)
    guess = _merge_open(difference, is_open, values)
    return _obligations(a, b, members, guess) if _cancels(difference, guess) else None
