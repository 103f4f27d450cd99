"""Proof of many pairs of signals in windows of bounded size, for netlists too large for one run.

Simulation guesses which signals inside both netlists are equal. On some levels of the second
netlist these guesses become cut points: proved from the level below, and free variables above
(`proof_window`). So every window spans a few levels and memory stays bounded, whatever the size
of the netlists. Guesses that turn out wrong are dropped; a pair that fails in its window is tried
again down to the inputs, so that only what differs there is called different.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist
from gate2hw.passes.proof.proof_vectors import Words
from gate2hw.passes.proof.proof_window import Cuts, cone, joint_windows, signatures
from gate2hw.tools.abc import CecResult

__all__ = ["Decide", "Parts", "prove_parts"]

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]
Decide: TypeAlias = Callable[[Netlist, Netlist], CecResult]
"""Compares two plain circuits; "undecided" where the time is over."""
SortOut: TypeAlias = Callable[[Netlist, Netlist], Bits]
"""Which outputs of two plain circuits are surely equal, (O,) bool."""

STAGE_GATES = 1_000_000
WINDOW_GATES = 2_000_000


@dataclass
class Parts:
    """What was proved: `n_windows` proofs by ABC, `n_cuts` signals proved on the way.

    `n_pairs` different pairs were asked for; `undecided` (U,) int64 are the numbers of those given
    that have no verdict; `example` (n_inputs,) bool is an input on which a pair differs.
    """

    n_pairs: int = 0
    n_windows: int = 0
    n_cuts: int = 0
    undecided: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    example: Bits | None = None


def _thresholds(b: Netlist, n_gates: int, stage_gates: int) -> list[int]:
    """Levels of `b` above which a stage starts; as many stages as `n_gates` asks for."""
    n_stages = -(-n_gates // stage_gates)
    cuts = np.searchsorted(b.level_ptr[1:], np.arange(1, n_stages) * b.n_gates / n_stages)
    return sorted({int(level) + 1 for level in cuts if level + 1 < b.depth})


def _frontier(b: Netlist, level: int) -> Ints:
    """Gate nodes of `b` up to `level` that are read above it."""
    low = b.first_gate + int(b.level_ptr[level])
    high = np.concatenate([b.in0[b.level_ptr[level] :], b.in1[b.level_ptr[level] :]])
    read = np.unique(np.concatenate([high.astype(np.int64), b.outputs >> 1]))
    return read[(read >= b.first_gate) & (read < low)]


@dataclass
class _Side:
    """One netlist: signatures, the lowest gate of each class, and what is proved so far."""

    net: Netlist
    hash: npt.NDArray[np.uint64]
    phase: Bits
    cls: Ints = field(init=False)
    rep: Ints = field(init=False)
    proved: Ints = field(init=False)

    def classify(self, hashes: npt.NDArray[np.uint64]) -> None:
        """Number the classes by `hashes` (sorted); gates of none, and inputs, have -1."""
        at = np.minimum(np.searchsorted(hashes, self.hash), len(hashes) - 1)
        self.cls = np.where(hashes[at] == self.hash, at, -1)
        self.cls[: self.net.first_gate] = -1
        nodes = np.flatnonzero(self.cls >= 0)[::-1]
        self.rep = np.full(len(hashes), -1, np.int64)
        self.rep[self.cls[nodes]] = nodes
        self.proved = np.full(self.net.n_nodes, -1, np.int64)

    def names(self, wanted: Bits) -> Ints:
        """(n_nodes,) int64: the class of each node whose class is `wanted`, else -1."""
        has = self.cls >= 0
        result = np.full(len(self.cls), -1, np.int64)
        result[has] = np.where(wanted[self.cls[has]], self.cls[has], -1)
        return result

    def lits(self, nodes: Ints) -> Ints:
        """Literals of the nodes' classes."""
        return 2 * nodes + self.phase[nodes]


class _Prover:
    def __init__(
        self,
        a: _Side,
        b: _Side,
        decide: Decide,
        sort_out: SortOut,
        is_late: Callable[[], bool],
        window_gates: int,
    ) -> None:
        self.a, self.b, self.most = a, b, window_gates
        self.decide, self.sort_out, self.is_late = decide, sort_out, is_late
        self.parts = Parts()

    def cuts(self, used: bool) -> tuple[Cuts, Cuts]:
        """Cut points that are proved by now, of both sides; or none."""
        left, right = (
            Cuts(
                side.proved if used else np.full(side.net.n_nodes, -1, np.int64),
                side.phase,
            )
            for side in (self.a, self.b)
        )
        return left, right

    def solve(self, pairs: Ints, cuts: tuple[Cuts, Cuts], *, final: bool = False) -> Ints:
        """Rows of the (P, 2) pairs of literals that are not proved; `final` stops at the first.

        With `final` there are no cuts, and what differs is an example.
        """
        failed = [np.zeros(0, np.int64)]
        todo = [np.arange(len(pairs))]
        while todo:
            rows = todo.pop()
            if not len(rows):
                continue
            if self.is_late():
                failed.append(rows)
                continue
            lits = pairs[rows, 0], pairs[rows, 1]
            most = self.most if len(rows) > 1 else 2**62
            windows = joint_windows(self.a.net, self.b.net, *lits, cuts, most)
            if isinstance(windows, int):
                # near halves share most of their cones
                todo += np.array_split(rows, max(2, min(len(rows), windows // self.most)))
                continue
            left, right = windows[0].net, windows[1].net
            if final:
                self.parts.n_windows += 1
                answer = self.decide(left, right)
                if answer.status == "equivalent":
                    continue
                if answer.status == "different" and answer.counterexample is not None:
                    self.parts.example = np.zeros(self.a.net.n_inputs, bool)
                    self.parts.example[windows[0].leaves] = answer.counterexample
                    return rows
            self.parts.n_windows += 1
            failed.append(rows[~self.sort_out(left, right)])
        return np.concatenate(failed)

    def cut(self, pairs: Ints) -> None:
        """Prove the guesses of one level; those that hold become cut points."""
        rows = self.solve(pairs, self.cuts(True))
        if len(rows) and self.parts.n_cuts:
            # what fails over free variables may hold over those that can occur
            rows = rows[self.solve(pairs[rows], self.cuts(False))]
        nodes = np.delete(pairs, rows, axis=0) >> 1
        cls = self.a.cls[nodes[:, 0]]
        are_reps = (self.a.rep[cls] == nodes[:, 0]) & (self.b.rep[cls] == nodes[:, 1])
        sound = np.zeros(len(self.a.rep), bool)
        sound[cls[are_reps]] = True
        keep = sound[cls]
        self.a.proved[nodes[keep, 0]] = cls[keep]
        self.b.proved[nodes[keep, 1]] = cls[keep]
        self.parts.n_cuts += int(keep.sum())

    def finish(self, pairs: Ints, number: Ints) -> Parts:
        """Prove the pairs asked for; `number` is the row in `pairs` of each one asked for."""
        rows = self.solve(pairs, self.cuts(True)) if self.parts.n_cuts else np.arange(len(pairs))
        rows = rows[self.solve(pairs[rows], self.cuts(False), final=True)]
        self.parts.n_pairs = len(pairs)
        if self.parts.example is None:
            self.parts.undecided = np.flatnonzero(np.isin(number, rows))
        return self.parts


def _unique(pairs: Ints) -> tuple[Ints, Ints]:
    """Different pairs with an uncomplemented first literal, and the number of each in them."""
    flipped = pairs ^ (pairs[:, :1] & 1)
    different, number = np.unique(flipped, axis=0, return_inverse=True)
    return different, number.reshape(-1)


def _plan(a: _Side, b: _Side, roots: Ints, wanted: list[Bits]) -> list[Ints]:
    """Obligations of each level of cut points, lowest first, that the `roots` ask for."""
    stages: list[Ints] = []
    for chosen in reversed(wanted):
        names = a.names(chosen), b.names(chosen)
        carried = (names[0][roots[:, 0] >> 1] >= 0) & (names[1][roots[:, 1] >> 1] >= 0)
        open_ = roots[~carried]
        nodes = []
        for column, (side, name) in enumerate(zip((a, b), names, strict=True)):
            mark = cone(side.net, open_[:, column], name) & (name >= 0)
            mark[open_[:, column] >> 1] = False
            nodes.append(np.flatnonzero(mark))
        left, right = a.cls[nodes[0]], b.cls[nodes[1]]
        both = np.unique(np.concatenate([left, right]))
        pairs = [
            np.stack([a.lits(nodes[0]), b.lits(b.rep[left])], axis=1),
            np.stack([a.lits(a.rep[right]), b.lits(nodes[1])], axis=1),
            np.stack([a.lits(a.rep[both]), b.lits(b.rep[both])], axis=1),
            roots[carried],
        ]
        roots, _ = _unique(np.concatenate(pairs))
        stages.append(roots)
    return stages[::-1]


def prove_parts(
    a: Netlist,
    b: Netlist,
    *,
    rounds: list[Words],
    decide: Decide,
    sort_out: SortOut,
    is_late: Callable[[], bool] = lambda: False,
    stage_gates: int = STAGE_GATES,
    window_gates: int = WINDOW_GATES,
) -> Parts:
    """Prove that output p of `a` equals output p of `b`, for all p: plain circuits of free inputs.

    `rounds` are input words to guess equal signals by. A stage takes about `stage_gates` gates of
    both sides, a window at most `window_gates` (one pair always gets its window). Stops at the
    first pair that differs, and proves no more when `is_late`.
    """
    left, right = (_Side(net, *signatures(net, rounds)) for net in (a, b))
    pairs, number = _unique(np.stack([a.outputs, b.outputs], axis=1))
    frontiers = [_frontier(b, t) for t in _thresholds(b, a.n_gates + b.n_gates, stage_gates)]
    hashes = np.unique(right.hash[np.concatenate([np.zeros(0, np.int64), *frontiers])])
    hashes = np.intersect1d(hashes, left.hash[a.first_gate :])
    hashes = np.setdiff1d(hashes, right.hash[: b.first_gate])
    prover = _Prover(left, right, decide, sort_out, is_late, window_gates)
    if len(hashes):
        for side in (left, right):
            side.classify(hashes)
        wanted = [np.isin(hashes, right.hash[frontier]) for frontier in frontiers]
        for stage in _plan(left, right, pairs, wanted):
            prover.cut(stage)
    return prover.finish(pairs, number)
