"""Random vectors for proofs: drawn as the care set says, run fast, and shown as people read them.

The evaluator works function by function on blocks of words, about ten times faster than the
reference simulator of `ir`; it only ever looks for differences, and what it finds is replayed on
the reference simulator before it is believed.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from gate2hw.ir.care import CareSet, implications
from gate2hw.ir.gates import CONST_1, TT_A, TT_AND, TT_B, TT_OR, TT_XOR, complement_inputs
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.simulate import encode, pack, random_features, random_words

__all__ = ["Evaluator", "draw_words", "features_of", "first_difference", "legal_code"]

Words = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_VALUE_WORDS = 2**27
_BLOCK_WORDS = 2**15
_OPERATION = {TT_AND: np.bitwise_and, TT_OR: np.bitwise_or, TT_XOR: np.bitwise_xor}


def _recipes() -> list[tuple[int, bool, bool, bool]]:
    """By tt: the two-input operation, and whether operand a, b and the result are inverted.

    The operation is the table of AND, OR, XOR, or of a wire to a or b; -1 is a constant.
    """
    result: list[tuple[int, bool, bool, bool]] = []
    for tt in range(16):
        found = [(-1, False, False, tt == CONST_1)]
        for base in (TT_A, TT_B, TT_XOR, TT_OR, TT_AND):
            for flips in range(8):
                table = int(complement_inputs[flips >> 1, base]) ^ (15 * (flips & 1))
                if table == tt:
                    found.append((base, bool(flips & 4), bool(flips & 2), bool(flips & 1)))
        result.append(min(found[1:], key=lambda recipe: sum(recipe[1:]), default=found[0]))
    return result


_RECIPE = _recipes()


def _behind_wires(net: Netlist) -> npt.NDArray[np.int32]:
    """(n_nodes,) int32: the node that each node is a wire from; itself where it is no wire."""
    root = np.arange(net.n_nodes, dtype=np.int32)
    for start, stop in net.levels():
        own = root[net.first_gate + start : net.first_gate + stop]
        tt = net.tt[start:stop]
        for wire, source in ((TT_A, net.in0), (TT_B, net.in1)):
            at = np.flatnonzero(tt == wire)
            own[at] = root[source[start + at]]
    return root


class Evaluator:
    """A netlist prepared to be run many times, on `n_words` words of 64 samples each time.

    The gates of a level are sorted by function, so that no operation depends on a gate; wires
    take none. ``value[place[n]]`` is the value of node n.
    """

    def __init__(self, net: Netlist, n_words: int) -> None:
        self.n_words = n_words
        self.first_gate = first = net.first_gate
        root = _behind_wires(net)
        gates = np.flatnonzero(root[first:] == np.arange(first, net.n_nodes))
        key = net.node_level[first + gates].astype(np.int64) * 16 + net.tt[gates]
        order = np.argsort(key, kind="stable")
        place = np.arange(net.n_nodes, dtype=np.int32)
        place[first + gates[order]] = np.arange(first, first + len(gates), dtype=np.int32)
        self.place = place[root]
        gates, keys = gates[order], key[order]
        self.in0, self.in1 = self.place[net.in0[gates]], self.place[net.in1[gates]]
        cuts = np.flatnonzero(keys[1:] != keys[:-1]) + 1
        self.runs = [
            (int(keys[start] % 16), start, stop)
            for start, stop in itertools.pairwise([0, *cuts.tolist(), len(gates)])
            if stop > start
        ]
        self.value = np.zeros((first + len(gates), self.n_words), np.uint64)

    def run(self, words: Words) -> None:
        """Evaluate all nodes on (n_inputs, n_words) uint64 input words."""
        value, first = self.value, self.first_gate
        value[1:first] = words
        rows = max(1, _BLOCK_WORDS // self.n_words)
        a = np.empty((rows, self.n_words), np.uint64)
        b = np.empty_like(a)
        for tt, run_start, run_stop in self.runs:
            base, flip_a, flip_b, flip = _RECIPE[tt]
            for start in range(run_start, run_stop, rows):
                stop = min(start + rows, run_stop)
                out = value[first + start : first + stop]
                if base < 0:
                    out[:] = np.uint64(0)
                elif base in _OPERATION:
                    x, y = a[: stop - start], b[: stop - start]
                    np.take(value, self.in0[start:stop], axis=0, out=x, mode="clip")
                    np.take(value, self.in1[start:stop], axis=0, out=y, mode="clip")
                    if flip_a:
                        np.invert(x, out=x)
                    if flip_b:
                        np.invert(y, out=y)
                    _OPERATION[base](x, y, out=out)
                else:
                    source = self.in0 if base == TT_A else self.in1
                    np.take(value, source[start:stop], axis=0, out=out, mode="clip")
                    flip ^= flip_a if base == TT_A else flip_b
                if flip:
                    np.invert(out, out=out)

    def differing(self, other: Evaluator, lits: Ints, others: Ints) -> int | None:
        """A sample on which literal ``lits[p]`` here differs from ``others[p]`` there, or None."""
        rows = max(1, 4 * _BLOCK_WORDS // self.n_words)
        for start in range(0, len(lits), rows):
            x, y = lits[start : start + rows], others[start : start + rows]
            left, right = self.value[self.place[x >> 1]], other.value[other.place[y >> 1]]
            flips = np.where((x ^ y) & 1, ~np.uint64(0), np.uint64(0))[:, None]
            bad = np.bitwise_or.reduce(left ^ right ^ flips, axis=0)
            if bad.any():
                word = int(np.flatnonzero(bad)[0])
                return 64 * word + (int(bad[word]) & -int(bad[word])).bit_length() - 1
        return None


def draw_words(net: Netlist, care: CareSet, n_words: int, rng: np.random.Generator) -> Words:
    """(n_inputs, n_words) random input words: encoded feature values, or free bits.

    Free bits are drawn for a netlist without an encoder and where the care set is "none". Half of
    the samples of feature values are scaled down, each by its own factor: dark images.
    """
    if care == "none" or net.encoder is None:
        return random_words(net.with_(encoder=None), n_words, rng)
    x = random_features(net.encoder, 64 * n_words, rng)
    scale = np.minimum(1.0, 2.0 * rng.random(len(x)))
    x = (x * scale.reshape(-1, *[1] * len(net.encoder.shape))).astype(np.int64)
    return pack(encode(net.encoder, x))


def first_difference(
    a: Netlist, b: Netlist, like: Netlist, care: CareSet, *, n_vectors: int, seed: int
) -> tuple[int, Bits | None]:
    """Run random vectors, drawn for `like` and `care`, through two circuits of the same inputs.

    Returns how many vectors were compared, at least `n_vectors` unless a difference was found, and
    the (n_inputs,) bool input of the first difference between outputs, or None.
    """
    size = min(_fit(a), _fit(b), -(-n_vectors // 64))
    rng = np.random.default_rng(seed)
    left, right = Evaluator(a, size), Evaluator(b, size)
    done = 0
    while done < n_vectors:
        words = draw_words(like, care, size, rng)
        left.run(words)
        right.run(words)
        done += 64 * size
        sample = left.differing(right, a.outputs, b.outputs)
        if sample is not None:
            column = words[:, sample // 64] >> np.uint64(sample % 64)
            return done, (column & np.uint64(1)).astype(bool)
    return done, None


def _fit(net: Netlist) -> int:
    """Words at a time: few enough that a level stays in the cache, or that rows are worth it."""
    best = 64 if net.n_nodes < 2**15 else 8 if net.n_nodes < 2**18 else 32
    return max(1, min(best, _VALUE_WORDS // net.n_nodes))


def legal_code(encoder: Encoder, bits: Bits) -> Bits:
    """(..., I) bool: the legal codes that the prefix of `ir.care.legalised` makes of free bits."""
    above = implications(encoder).above
    result = bits.copy()
    while True:
        raised = result.copy()
        has = above >= 0
        raised[..., has] |= result[..., above[has]]
        if np.array_equal(raised, result):
            return result
        result = raised


def features_of(encoder: Encoder, bits: Bits) -> Ints | None:
    """(*shape) int64 least feature values whose code is `bits` (I,), or None where none have it."""
    x = np.zeros(encoder.n_features, np.int64)
    np.maximum.at(x, encoder.feature[bits], encoder.threshold[bits].astype(np.int64) + 1)
    if (x > encoder.max_value).any():
        return None
    shaped = x.reshape(encoder.shape)
    return shaped if np.array_equal(encode(encoder, shaped[None])[0], bits) else None
