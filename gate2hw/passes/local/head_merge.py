"""head_merge: each popcount counts a signal once, with the weight of all its copies.

Every score is an affine form of signals, ``score[c] = bias[c] + sum of W[n, c] * node n`` with
integers W (a complement is ``~x = 1 - x``), and that form is unique. So equal literals of a class
become one weight, a literal and its complement a constant, constants go into the bias, and what
has weight 0 is no longer counted.

Where only the class leaves the core, all scores of a sample may change by the same amount: neither
the winner nor a tie changes. So a row ``W[n, :]`` may lose one number in all its columns: a literal
that all classes count drops, one that all but one class count is counted by that one alone,
negatively, and in a net of two classes ``x`` against ``~x`` is a single bit of weight 2.

Cost is counted in bits that the adders take: one for each non-zero digit of the weight's
non-adjacent form, as the popcounts are built (7 = 8 - 1 takes two). A sum of weights never has more
digits than its terms together, so no merge is dearer than what it merges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.passes.local.head_constants import moved_bias

__all__ = ["digit_count", "head_merge"]

Ints = npt.NDArray[np.int64]

_WEIGHTS = np.iinfo(np.int32)


def digit_count(weight: npt.NDArray[Any]) -> Ints:
    """Non-zero digits of each weight's non-adjacent form; same shape, int64.

    It is the least number of signed powers of two that add up to the weight (Reitwiesner, Binary
    Arithmetic, Advances in Computers 1, 1960).
    """
    size = np.abs(np.asarray(weight, np.int64))
    marks = size ^ (3 * size)
    digits = np.zeros(marks.shape, np.int64)
    while marks.any():
        digits += marks & 1
        marks >>= 1
    return digits


@dataclass(frozen=True)
class _Form:
    """Scores as an affine form: `weight` (T,) of `node` (T,) in class `cls` (T,).

    `moved` (C,) is what goes into the biases for that. Sorted by node, then class; no weight is 0.
    `place` (T,) is the first output that counted the node in that class, `inverted` (T,) whether it
    did so complemented.
    """

    node: Ints
    cls: Ints
    weight: Ints
    place: Ints
    inverted: Ints
    moved: Ints


def _affine_form(net: Netlist) -> _Form:
    head = net.head
    cls = np.repeat(np.arange(net.n_classes), np.diff(head.group_ptr))
    node, inverted = net.outputs >> 1, net.outputs & 1
    weight = head.weight.astype(np.int64)
    moved = np.zeros(net.n_classes, np.int64)
    np.add.at(moved, cls, weight * inverted)
    key = node * net.n_classes + cls
    unique, place, member = np.unique(key, return_index=True, return_inverse=True)
    total = np.zeros(len(unique), np.int64)
    np.add.at(total, member, np.where(inverted == 1, -weight, weight))
    keep = (total != 0) & (unique >= net.n_classes)
    node, cls = np.divmod(unique[keep], net.n_classes)
    place = place[keep]
    return _Form(node, cls, total[keep], place, inverted[place], moved)


def _best_shift(table: Ints) -> Ints:
    """(R,) int64: what to take off each row of (R, C) weights so that the fewest bits are counted.

    Candidates are 0 and the weights of the row. Of equally cheap ones: the one with the smallest
    weights, then the nearest to 0.
    """
    best = np.zeros(len(table), np.int64)
    least = _shift_cost(table, best)
    for column in range(table.shape[1]):
        shift = table[:, column]
        cost = _shift_cost(table, shift)
        better = _is_less(cost, least)
        best[better] = shift[better]
        least[:, better] = cost[:, better]
    return best


def _shift_cost(table: Ints, shift: Ints) -> Ints:
    """(4, R): digits, sum of sizes, size of the shift, and the shift itself: lexicographic."""
    left = table - shift[:, None]
    return np.stack([digit_count(left).sum(axis=1), np.abs(left).sum(axis=1), np.abs(shift), shift])


def _is_less(a: Ints, b: Ints) -> npt.NDArray[np.bool_]:
    """(R,) bool: whether column r of `a` comes before that of `b`, lexicographically."""
    less = np.zeros(a.shape[1], bool)
    for x, y in zip(a[::-1], b[::-1], strict=True):
        less = (x < y) | ((x == y) & less)
    return less


def _shifted(form: _Form, n_classes: int) -> _Form:
    """`form` with one number taken off all weights of each node where that is cheaper.

    A node that less than half of the classes count is left alone.
    """
    nodes, first, row, n_counted = np.unique(
        form.node, return_index=True, return_inverse=True, return_counts=True
    )
    dense = np.flatnonzero(2 * n_counted >= n_classes)
    row_of = np.full(len(nodes), -1, np.int64)
    row_of[dense] = np.arange(len(dense))
    mine = row_of[row] >= 0
    table = np.zeros((len(dense), n_classes), np.int64)
    place = np.repeat(form.place[first[dense]][:, None], n_classes, axis=1)
    cells = row_of[row[mine]], form.cls[mine]
    table[cells], place[cells] = form.weight[mine], form.place[mine]
    shift = _best_shift(table)
    if not shift.any():
        return form
    table -= shift[:, None]
    at, cls = np.nonzero(table)
    columns = [
        (form.node, nodes[dense][at]),
        (form.cls, cls),
        (form.weight, table[at, cls]),
        (form.place, place[at, cls]),
        (form.inverted, form.inverted[first[dense]][at]),
    ]
    joined = [np.concatenate([old[~mine], new]) for old, new in columns]
    order = np.lexsort((joined[1], joined[0]))
    node, cls, weight, first_place, inverted = (column[order] for column in joined)
    return _Form(node, cls, weight, first_place, inverted, form.moved)


def _polarity(form: _Form) -> Ints:
    """(T,) int64: 1 where a node is counted complemented; the same in all classes.

    The polarity is the one that leaves fewer negative weights; of two equally good ones, the one
    that the first output has; but for -2**31, which has no positive twin of 32 bits. A node read in
    both polarities could cost an inverter.
    """
    _, first, row = np.unique(form.node, return_index=True, return_inverse=True)
    vote = np.zeros(len(first), np.int64)
    np.add.at(vote, row, np.sign(form.weight))
    inverted = np.where(vote == 0, form.inverted[first], vote < 0).astype(np.int64)
    inverted[row[form.weight == _WEIGHTS.min]] = 0
    inverted[row[form.weight == -int(_WEIGHTS.min)]] = 1
    return inverted[row]


def head_merge(net: Netlist, *, output: Literal["class", "scores"]) -> Netlist:
    """Return `net` with every signal counted at most once by each class.

    With ``output="scores"`` every score stays what it is. With ``"class"`` all scores of a sample
    may change by the same amount, so that class and ties stay. The order of outputs follows their
    first use. Returns the same object where nothing changes, or without classes. Raises InputError
    where a merged weight does not fit 32 bits, or a bias 64.
    """
    if net.n_classes == 0:
        return net
    form = _affine_form(net)
    if output == "class":
        form = _shifted(form, net.n_classes)
    inverted = _polarity(form)
    weight = np.where(inverted == 1, -form.weight, form.weight)
    moved = form.moved.copy()
    np.add.at(moved, form.cls, np.where(inverted == 1, form.weight, 0))
    bias = moved_bias(net.head.bias, moved)
    too_large = np.flatnonzero((weight < _WEIGHTS.min) | (weight > _WEIGHTS.max))
    if len(too_large):
        bad = too_large[0]
        raise InputError(
            f"class {form.cls[bad]} counts node {form.node[bad]} with weight {weight[bad]}, which "
            "does not fit 32 bits; use fewer copies of one output"
        )
    order = np.lexsort((form.place, form.cls))
    outputs = (2 * form.node + inverted)[order]
    group_ptr = np.searchsorted(form.cls[order], np.arange(net.n_classes + 1))
    head = Head(group_ptr, weight[order], bias)
    if np.array_equal(outputs, net.outputs) and head == net.head:
        return net
    names = net.names
    if names.outputs:
        kept = tuple(names.outputs[o] for o in form.place[order].tolist())
        names = type(names)(names.inputs, kept, names.classes)
    return net.with_(outputs=outputs, head=head, names=names)
