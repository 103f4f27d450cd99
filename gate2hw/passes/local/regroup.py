"""regroup: chains of AND (OR) and of XOR are taken apart and put together so that they share.

A gate and the gates of its kind that only it reads are one AND of many literals (an OR is an AND of
complements), or one XOR. In what order such a group is computed is free: pairs of operands that
several groups have in common are computed once, the most frequent first (the greedy extraction of
common pairs of Brayton and McMullen, "The decomposition and factorization of Boolean expressions",
ISCAS 1982, on groups of one kind). What is left of each group is put together lowest operands
first, as Huffman does, which is as flat as can be. No root gets a level higher than it had: with
operands at levels l and the root at level L, the sum of ``2**(l - L)`` stays at 1 or below.

Pooling is what this is for: ORs of neighbouring positions of all kernels have many pairs in common.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import relevel
from gate2hw.ir.gates import TT_AND, TT_XOR, complement_inputs
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.normalise import better
from gate2hw.passes.local.rewrite import until_same
from gate2hw.passes.local.strash import strash

__all__ = ["regroup"]

Ids: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

REACH: Final = 16
"""An operand is paired with so many that follow it in its group: large groups stay linear."""
BATCH_ROWS: Final = 1 << 23
"""Operands looked at together: a batch takes about 2 GB. Later ones reuse the pairs of earlier."""
MAX_NODES: Final = 2**29
"""Two literals of old and new nodes fit one 64-bit key up to here; larger netlists are left."""
_SHIFT: Final = 31


def _and_forms() -> Ids:
    """(3, 16): complements of a, b and output that make each AND-like tt of an AND; else 0."""
    forms = np.zeros((3, 16), np.int64)
    for code in range(8):
        ca, cb, flip = code >> 2, code >> 1 & 1, code & 1
        forms[:, int(complement_inputs[2 * ca + cb, TT_AND]) ^ (15 * flip)] = ca, cb, flip
    return forms


_FORM: Final = _and_forms()


class _Groups:
    """The groups of a netlist in normal form, their operands, and the gates made so far.

    `flip` (n_nodes,) int64: whether a node is the complement of its AND. `group`, `lit` (n,) int64:
    root node and literal of each operand, operands of a group together. `stands` (n_nodes,) int64:
    the literal that a root has become, -1 where open. Gates made: `made` lists columns (3, n) of
    operand literals and root, in order of their numbers, `levels` and `is_xor` of them.
    """

    def __init__(self, net: Netlist) -> None:
        first, n_nodes = net.first_gate, net.n_nodes
        self.net = net
        self.is_xor = np.zeros(n_nodes, np.bool_)
        self.is_xor[first:] = net.tt == TT_XOR
        self.flip = np.zeros(n_nodes, np.int64)
        self.flip[first:] = _FORM[2, net.tt]
        self.level = net.node_level.astype(np.int64)
        self.stands = np.full(n_nodes, -1, np.int64)
        self.stands[:first] = 2 * np.arange(first)
        self.made: list[npt.NDArray[Any]] = [np.zeros((3, 0), np.int64)]
        self.made_xor: list[Flags] = []
        self.n_made = 0
        self.group, self.lit = self._operands()

    def _operands(self) -> tuple[Ids, Ids]:
        """Root and literal of each operand: those of gates that are inside of no group."""
        net, first = self.net, self.net.first_gate
        gate = np.arange(first, net.n_nodes)
        lit = 2 * np.stack([net.in0, net.in1]).astype(np.int64) + _FORM[:2, net.tt]
        node = lit >> 1
        inner = (net.fan_out[node] == 1) & (node >= first)
        inner &= self.is_xor[node] == self.is_xor[gate]
        inner &= self.is_xor[gate] | ((lit & 1) == self.flip[node])
        root = np.arange(net.n_nodes)
        for slot in range(2):
            root[node[slot][inner[slot]]] = gate[inner[slot]]
        for start, stop in reversed(list(net.levels())):
            nodes = slice(first + start, first + stop)
            root[nodes] = root[root[nodes]]
        group = np.broadcast_to(root[first:], lit.shape)[~inner]
        lit = lit[~inner]
        order = np.lexsort((lit, group))
        return group[order], lit[order]

    def reduce(self) -> None:
        """x & x = x, x & ~x = 0, x ^ x = 0; groups of fewer than two operands are settled."""
        group, lit = self.group, self.lit
        same = (group[1:] == group[:-1]) & (lit[1:] == lit[:-1])
        clash = (group[1:] == group[:-1]) & (lit[1:] ^ 1 == lit[:-1])
        roots = group[1:][clash & ~self.is_xor[group[1:]]]
        is_zero = np.zeros(self.net.n_nodes, np.bool_)
        is_zero[roots] = True
        # of equal operands an AND keeps one, an XOR keeps one if their number is odd
        starts = np.flatnonzero(np.concatenate([[True], ~same]))[: len(group)]
        count = np.diff(np.append(starts, len(group)))
        keep = ~is_zero[group[starts]] & (~self.is_xor[group[starts]] | (count & 1 == 1))
        is_root = np.zeros(self.net.n_nodes, np.bool_)
        is_root[group] = True
        self.group, self.lit = group[starts][keep], lit[starts][keep]
        is_left = np.zeros(self.net.n_nodes, np.bool_)
        is_left[self.group] = True
        empty = np.flatnonzero(is_root & ~is_left)
        self.stands[empty] = self.flip[empty]
        self.settle()

    def settle(self) -> Flags:
        """Groups with one operand left stand for it; returns which operands stay."""
        alone = np.ones(len(self.group), np.bool_)
        differs = self.group[1:] != self.group[:-1]
        alone[1:] &= differs
        alone[:-1] &= differs
        root = self.group[alone]
        self.stands[root] = self.lit[alone] ^ self.flip[root]
        self.group, self.lit = self.group[~alone], self.lit[~alone]
        return ~alone

    def make(self, u: Ids, v: Ids, root: Ids) -> Ids:
        """New gates on literals u, v (n,) for groups of `root` (n,); returns their literals."""
        node = self.net.n_nodes + self.n_made + np.arange(len(u))
        level = np.maximum(self.level[u >> 1], self.level[v >> 1]) + 1
        self.level = np.concatenate([self.level, level])
        self.made.append(np.stack([u, v, root]))
        self.made_xor.append(self.is_xor[root])
        self.n_made += len(u)
        return 2 * node


def _neighbours(group: Ids) -> tuple[Ids, Ids]:
    """Rows (i, j) of two operands of one group, at most REACH apart."""
    left, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for distance in range(1, min(REACH + 1, len(group))):
        i = np.flatnonzero(group[distance:] == group[:-distance])
        if not len(i):
            break
        left.append(i)
        right.append(i + distance)
    return np.concatenate(left), np.concatenate(right)


def _share(groups: _Groups, group: Ids, lit: Ids) -> npt.NDArray[np.float64]:
    """(n,) float64 ``2**(level - level of root)`` of operands.

    Operands more than 40 levels down count as 40 down, which keeps sums exact, and errs to the
    safe side.
    """
    below = groups.level[lit >> 1] - groups.level[group]
    return np.asarray(np.exp2(np.maximum(below, -40).astype(np.float64)), np.float64)


def _slack(groups: _Groups, group: Ids, lit: Ids) -> npt.NDArray[np.float64]:
    """(n_roots,) how much of the sum of shares is left up to 1, by root node."""
    return np.asarray(1.0 - np.bincount(group, weights=_share(groups, group, lit)), np.float64)


class _Sharing:
    """Takes common pairs out of the groups of one kind, round by round, a batch at a time.

    `group`, `lit` are the operands of the batch, `idle` those that are done with. `known_key`
    rising and `known_lit` (n,) int64: the pairs that have a gate by now, and its literal.
    """

    def __init__(self, groups: _Groups) -> None:
        self.groups = groups
        self.group = self.lit = np.zeros(0, np.int64)
        self.known_key = np.zeros(0, np.int64)
        self.known_lit = np.zeros(0, np.int64)
        self.idle: list[tuple[Ids, Ids]] = []

    def run(self, group: Ids, lit: Ids) -> tuple[Ids, Ids]:
        """Operands (n,) of groups in, what is left of them out; groups stay together."""
        start = 0
        while start < len(group):
            last = group[min(start + BATCH_ROWS, len(group)) - 1]
            stop = int(np.searchsorted(group, last, side="right"))
            self.group, self.lit = group[start:stop], lit[start:stop].copy()
            while self._round():
                pass
            self.idle.append((self.group, self.lit))
            start = stop
        group = np.concatenate([np.zeros(0, np.int64), *(rows[0] for rows in self.idle)])
        lit = np.concatenate([np.zeros(0, np.int64), *(rows[1] for rows in self.idle)])
        order = np.argsort(group, kind="stable")
        return group[order], lit[order]

    def _occurrences(self) -> tuple[Ids, Ids, Ids, Flags]:
        """Rows (i, j), key, and use of slack of every pair that fits its group's level."""
        groups, (i, j) = self.groups, _neighbours(self.group)
        root = self.group[i]
        share = [_share(groups, root, self.lit[row]) for row in (i, j)]
        cost = np.abs(share[0] - share[1])
        fits = cost <= _slack(groups, self.group, self.lit)[root]
        i, j, is_costly = i[fits], j[fits], cost[fits] > 0
        u, v = self.lit[i], self.lit[j]
        key = np.minimum(u, v) << _SHIFT | np.maximum(u, v)
        order = np.argsort(key, kind="stable")
        return i[order], j[order], key[order], is_costly[order]

    def _round(self) -> bool:
        i, j, key, is_costly = self._occurrences()
        if not len(key):
            return False
        start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        count = np.diff(np.append(start, len(key)))
        known = np.isin(key[start], self.known_key, assume_unique=True)
        useful = (count > 1) | known
        if not useful.any():
            return False
        # a pair is worth one gate less than it has readers, unless its gate is there already
        worth = count + known
        rank = np.empty(len(start), np.int64)
        rank[np.lexsort((-start, worth))] = 1 + np.arange(len(start))
        rank[~useful] = 0
        rank = np.repeat(rank, count)
        best = np.zeros(len(self.lit), np.int64)
        np.maximum.at(best, i, rank)
        np.maximum.at(best, j, rank)
        taken = (rank > 0) & (rank == best[i]) & (rank == best[j])
        # two pairs that fit one by one may not fit together
        root = self.group[i]
        dearest = np.zeros(self.groups.net.n_nodes, np.int64)
        np.maximum.at(dearest, root[is_costly], rank[is_costly])
        taken &= ~is_costly | (rank == dearest[root])
        dropped = self._take(i, j, key, start, count, known, taken)
        self._close_up(dropped, best > 0)
        return True

    def _take(
        self, i: Ids, j: Ids, key: Ids, start: Ids, count: Ids, known: Flags, taken: Flags
    ) -> Ids:
        """Replace the pairs `taken` by their gates, new ones where two groups take one.

        Returns the rows that are gone.
        """
        n_taken = np.add.reduceat(taken.astype(np.int64), start)
        new = ~known & (n_taken > 1)
        at = np.flatnonzero(np.repeat(new, count) & taken)
        at = at[np.diff(key[at], prepend=-1) != 0]
        u, v = key[at] >> _SHIFT, key[at] & ((1 << _SHIFT) - 1)
        made = self.groups.make(u, v, self.group[i[at]])
        keys = np.concatenate([self.known_key, key[at]])
        order = np.argsort(keys)
        self.known_key = keys[order]
        self.known_lit = np.concatenate([self.known_lit, made])[order]
        taken = taken & np.repeat(known | new, count)
        self.lit[i[taken]] = self.known_lit[np.searchsorted(self.known_key, key[taken])]
        return j[taken]

    def _close_up(self, dropped: Ids, active: Flags) -> None:
        """Close up after dropped rows; set aside the groups that have nothing in common."""
        is_active = np.zeros(self.groups.net.n_nodes, np.bool_)
        is_active[self.group[active]] = True
        keep = np.ones(len(self.group), np.bool_)
        keep[dropped] = False
        group, lit = self.group[keep], self.lit[keep]
        busy = is_active[group]
        self.idle.append((group[~busy], lit[~busy]))
        self.group, self.lit = group[busy], lit[busy]


def _assemble(groups: _Groups) -> None:
    """Put the operands that are left together, lowest first, until every group has one."""
    height = groups.level[groups.lit >> 1]
    while len(groups.lit):
        order = np.lexsort((groups.lit, height, groups.group))
        group, lit, height = groups.group[order], groups.lit[order], height[order]
        starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        sizes = np.diff(np.append(starts, len(group)))
        place = np.arange(len(group)) - np.repeat(starts, sizes)
        lowest = height == np.repeat(height[starts], sizes)
        second = lowest & (place & 1 == 1)
        i = np.flatnonzero(second) - 1
        lit[i] = groups.make(lit[i], lit[i + 1], group[i])
        # the lowest alone is as good as one that is there with the next; pairs are one level up
        alone = starts[height[starts] != height[starts + 1]]
        height[lowest] += 1
        height[alone] = height[alone + 1]
        groups.group, groups.lit, height = group[~second], lit[~second], height[~second]
        height = height[groups.settle()]


def _build(groups: _Groups) -> Netlist:
    """The netlist of the gates that were made, in normal form, without dead gates."""
    net = groups.net
    n_old, first = net.n_nodes, net.first_gate
    stands = groups.stands
    # a root with one operand left stands for what that root stands for
    moved = np.flatnonzero((stands >> 1 >= first) & (stands >> 1 < n_old))
    while len(moved):
        stands[moved] = stands[stands[moved] >> 1] ^ (stands[moved] & 1)
        moved = moved[(stands[moved] >> 1 >= first) & (stands[moved] >> 1 < n_old)]
    u, v, root = np.concatenate(groups.made, axis=1)
    is_xor = np.concatenate([np.zeros(0, np.bool_), *groups.made_xor])
    level = groups.level[n_old:]
    order = np.argsort(level, kind="stable")
    new_id = np.concatenate([np.arange(first), np.zeros(n_old - first + len(u), np.int64)])
    new_id[n_old + order] = first + np.arange(len(u))

    def final(lit: Ids) -> Ids:
        old = lit >> 1 < n_old
        lit = np.where(old, stands[np.where(old, lit >> 1, 0)] ^ (lit & 1), lit)
        moved: Ids = 2 * new_id[lit >> 1] + (lit & 1)
        return moved

    a, b = final(u[order]), final(v[order])
    tt = np.where(is_xor[order], TT_XOR, TT_AND)
    result = relevel(
        net,
        tt=complement_inputs[2 * (a & 1) + (b & 1), tt],
        in0=(a >> 1).astype(np.int32),
        in1=(b >> 1).astype(np.int32),
        outputs=final(net.outputs),
        origin=net.origin[root[order] - first],
        level_ptr=np.concatenate([[0], np.cumsum(np.bincount(level, minlength=1)[1:])]),
    )
    return dce(fold(strash(fold(result))))


def _once(net: Netlist) -> Netlist:
    """`net` taken apart and put together once; the same object if that saves nothing."""
    groups = _Groups(net)
    groups.reduce()
    of_xor = groups.is_xor[groups.group]
    rows = [
        _Sharing(groups).run(groups.group[kind], groups.lit[kind]) for kind in (~of_xor, of_xor)
    ]
    groups.group, groups.lit = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    groups.settle()
    _assemble(groups)
    result = _build(groups)
    return result if better(result, net) else net


def regroup(net: Netlist) -> Netlist:
    """Return `net` with its AND and XOR groups shared; the same object if that saves nothing.

    Never more gates, no output later, repeated until nothing is gained. The result is in normal
    form without dead gates; a gate takes the origin of the root of its group.
    """
    if net.n_nodes > MAX_NODES:
        return net
    return until_same(_once, dce(net if is_normal(net) else fold(net)))
