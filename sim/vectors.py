"""The vectors of a bench: the golden test set, random, tie and corner vectors, with answers.

Expected scores of golden vectors are torch's own; those of all others come from the reference
simulator on the netlist before passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.simulate import check_input, classes, encode, random_features, scores
from gate2hw.ir.store import Golden

__all__ = [
    "KINDS",
    "Vectors",
    "beats_of",
    "bits_as_ints",
    "choose_bits",
    "corner_features",
    "find_ties",
    "frame_bytes",
    "make_vectors",
    "result_bits",
    "tied_classes",
]

KINDS = ("golden", "random", "tie", "corner")
Ints = npt.NDArray[np.int64]

_TIE_ROUND = 4096
_TIE_WORK = 4_000_000_000


@dataclass(frozen=True)
class Vectors:
    """`x` (N, *shape) int64, `kind` (N,) int64 indexes KINDS, `scores` (N, C), `classes` (N,).

    `ties` says how many vectors of the set are tied, and how: see `tie_counts`.
    """

    x: Ints
    kind: Ints
    scores: Ints
    classes: Ints
    ties: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def count(self, kind: str) -> int:
        """How many vectors are of `kind`."""
        return int((self.kind == KINDS.index(kind)).sum())

    def kind_of(self, number: int) -> str:
        """The name of the kind of vector `number`."""
        return KINDS[int(self.kind[number])]


def tied_classes(score: Ints) -> npt.NDArray[np.bool_]:
    """(N, C) bool: which classes share the top score; one per row where nothing is tied."""
    tied: npt.NDArray[np.bool_] = score == score.max(axis=1, keepdims=True)
    return tied


def tie_counts(score: Ints) -> dict[str, int]:
    """How many of the (N, C) scores are tied at the top, between 2 and between more classes.

    ``distinct`` counts the different sets of tied classes, ``winners`` the different winners.
    """
    tied = tied_classes(score)
    n_top = tied.sum(axis=1)
    among = tied[n_top > 1]
    return {
        "total": len(among),
        "of_2": int((n_top == 2).sum()),
        "of_3_or_more": int((n_top > 2).sum()),
        "distinct": len(np.unique(among, axis=0)),
        "winners": len(np.unique(among.argmax(axis=1))) if len(among) else 0,
    }


def corner_features(encoder: Encoder, n_most: int) -> Ints:
    """(at most n_most, *shape) int64: all 0, all max, thresholds, threshold + 1, single features.

    Vector pair t of the thresholds has every feature at its t-th threshold, then one above.
    Single features are at max with all others 0, and at 0 with all others at max; where there
    are more than `n_most` allows, they are spread evenly.
    """
    n_features, top = encoder.n_features, encoder.max_value
    rows = [np.zeros(n_features, np.int64), np.full(n_features, top, np.int64)]
    order = np.lexsort((encoder.threshold, encoder.feature))
    feature, threshold = encoder.feature[order], encoder.threshold[order].astype(np.int64)
    n_of = np.bincount(feature, minlength=n_features)
    first = np.concatenate([[0], np.cumsum(n_of)])[:-1]
    has = n_of > 0
    for level in range(int(n_of.max(initial=0))):
        row = np.zeros(n_features, np.int64)
        row[has] = threshold[first[has] + np.minimum(level, n_of[has] - 1)]
        rows += [row, np.where(has, row + 1, 0)]
    room = max(0, n_most - len(rows)) // 2
    n_single = min(room, n_features)
    chosen = np.unique(np.linspace(0, n_features - 1, n_single).astype(np.int64))
    single = np.zeros((len(chosen), n_features), np.int64)
    single[np.arange(len(chosen)), chosen] = top
    result = np.concatenate([np.stack(rows), single, top - single])[:n_most]
    return result.reshape(-1, *encoder.shape)


def _tie_candidates(encoder: Encoder, samples: Ints | None, rng: np.random.Generator) -> Ints:
    """(_TIE_ROUND, *shape): random vectors and, given samples, mixtures of two of them."""
    drawn = random_features(encoder, _TIE_ROUND, rng)
    if samples is None or len(samples) == 0:
        return drawn
    half = _TIE_ROUND // 2
    a, b = (samples[rng.integers(0, len(samples), half)] for _ in range(2))
    share = rng.random((half, *([1] * (samples.ndim - 1))))
    drawn[:half] = np.where(rng.random(a.shape) < share, a, b)
    drawn[half : half + half // 2] = np.where(
        rng.random((half // 2, *samples.shape[1:])) < 0.1,
        drawn[half : half + half // 2],
        samples[rng.integers(0, len(samples), half // 2)],
    )
    return drawn


def result_bits(net: Netlist, score: Ints) -> npt.NDArray[np.bool_]:
    """(N, K) bool: which bits of which class's score are 0, and which are 1, in (N, C) scores."""
    width = int(np.abs(net.head.score_bounds()).max(initial=1)).bit_length() + 1
    bits = (score[:, :, None] >> np.arange(width)) & 1 == 1
    flat = bits.reshape(len(score), score.shape[1] * width)
    return np.concatenate([flat, ~flat], axis=1)


def _any(shown: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.asarray(shown.any(axis=0))


def choose_bits(
    shown: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], n_most: int
) -> list[int]:
    """At most `n_most` rows of (N, K) `shown` that together show what (K,) `seen` lacks."""
    missing = shown & ~seen
    chosen: list[int] = []
    while len(chosen) < n_most and missing.any():
        chosen.append(int(missing.sum(axis=1).argmax()))
        missing &= ~shown[chosen[-1]]
    return chosen


def find_ties(net: Netlist, samples: Ints | None, n_ties: int, rng: np.random.Generator) -> Ints:
    """(at most n_ties, *shape) int64 vectors of which two or more classes share the top score.

    Searches random vectors, `samples` (N, *shape) and mixtures of them until four times as many
    as asked for are found or the work (gates times vectors) is spent, then prefers different
    sets of tied classes.
    """
    return _search(net, samples, n_ties, rng)[0]


def _search(
    net: Netlist, samples: Ints | None, n_ties: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """What `find_ties` returns; of all that it tried, vectors that show most bits of results."""
    assert net.encoder is not None
    none = np.zeros((0, *net.encoder.shape), np.int64)
    if n_ties == 0 or net.n_classes < 2:
        return none, none
    found, masks, n_found = [none], [np.zeros((0, net.n_classes), bool)], 0
    reaching = [none]
    seen = _any(result_bits(net, np.zeros((0, net.n_classes), np.int64)))
    rounds = max(1, min(16, _TIE_WORK // ((net.n_gates + net.n_outputs + 1) * _TIE_ROUND)))
    for _ in range(rounds):
        x = _tie_candidates(net.encoder, samples, rng)
        score = scores(net, x)
        shown = result_bits(net, score)
        chosen_here = choose_bits(shown, seen, len(x))
        reaching.append(x[chosen_here])
        seen |= _any(shown[chosen_here])
        tied = tied_classes(score)
        hit = tied.sum(axis=1) > 1
        found.append(x[hit])
        masks.append(tied[hit])
        n_found += int(hit.sum())
        if n_found >= 4 * n_ties:
            break
    x, tied, reached = np.concatenate(found), np.concatenate(masks), np.concatenate(reaching)
    if len(x) == 0:
        return none, reached
    _, group = np.unique(tied, axis=0, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    start = np.searchsorted(group[order], group[order], side="left")
    rank = np.empty(len(x), np.int64)
    rank[order] = np.arange(len(x)) - start
    chosen: Ints = x[np.argsort(rank, kind="stable")[:n_ties]]
    return chosen, reached


def _reaching(
    net: Netlist,
    left: tuple[npt.NDArray[np.integer[Any]], Ints],
    reaching: Ints,
    seen: npt.NDArray[np.bool_],
    n_most: int,
) -> Ints:
    """At most `n_most` of the golden vectors `left` (with scores) and of `reaching` that show
    bits of results that are not `seen` yet."""
    assert net.encoder is not None
    chosen = choose_bits(result_bits(net, left[1]), seen, n_most)
    more = check_input(net.encoder, left[0][chosen]).reshape(-1, *net.encoder.shape)
    x = np.concatenate([more, reaching])
    return x[choose_bits(result_bits(net, scores(net, x)), seen, n_most)]


def make_vectors(
    net: Netlist,
    golden: Golden | None,
    *,
    seed: int,
    n_golden: int | None = None,
    n_random: int = 1000,
    n_ties: int = 64,
    n_corners: int = 256,
) -> Vectors:
    """All vectors of a bench, in the order of KINDS; the same arguments give the same vectors.

    Up to half of the corners are such that each bit of each score is both 0 and 1 in some vector,
    as far as golden vectors that are left out, or those of the search for ties, can show it.

    Raises InputError where a golden vector is not a legal input of `net`.
    """
    assert net.encoder is not None
    rng = np.random.default_rng(seed)
    shape = net.encoder.shape
    blocks: list[Ints] = []
    expected: list[Ints] = []
    samples, left = None, (np.zeros((0, *shape), np.int64), np.zeros((0, net.n_classes), np.int64))
    if golden is not None:
        n_used = len(golden.x) if n_golden is None else min(n_golden, len(golden.x))
        samples = check_input(net.encoder, golden.x[:n_used]).reshape(-1, *shape)
        blocks.append(samples)
        expected.append(golden.scores[:n_used].astype(np.int64))
        left = golden.x[n_used:].reshape(-1, *shape), golden.scores[n_used:].astype(np.int64)
    else:
        blocks.append(np.zeros((0, *shape), np.int64))
        expected.append(np.zeros((0, net.n_classes), np.int64))
    blocks.append(random_features(net.encoder, n_random, rng))
    ties, reaching = _search(net, samples, n_ties, rng)
    blocks.append(ties)
    expected += [scores(net, block) for block in blocks[1:]]
    seen = _any(result_bits(net, np.concatenate(expected)))
    reaching = _reaching(net, left, reaching, seen, n_corners // 2)
    corners = corner_features(net.encoder, n_corners - len(reaching))
    blocks.append(np.concatenate([reaching, corners]))
    expected.append(scores(net, blocks[-1]))
    winners = [classes(score) for score in expected]
    if golden is not None:
        winners[0] = golden.classes[: len(blocks[0])].astype(np.int64)
    score = np.concatenate(expected)
    return Vectors(
        np.concatenate(blocks),
        np.repeat(np.arange(len(KINDS)), [len(block) for block in blocks]),
        score,
        np.concatenate(winners),
        tie_counts(score),
    )


def bits_as_ints(net: Netlist, x: Ints, used_inputs: Sequence[int]) -> list[int]:
    """The core's `bits` of each of (N, *shape) inputs: bit i is used input i."""
    assert net.encoder is not None
    result: list[int] = []
    for first in range(0, len(x), 1024):
        bits = encode(net.encoder, x[first : first + 1024])[:, list(used_inputs)]
        packed = np.packbits(bits, axis=1, bitorder="little")
        result += [int.from_bytes(row.tobytes(), "little") for row in packed]
    return result


def frame_bytes(x: Ints, bytes_per_feature: int) -> npt.NDArray[np.uint8]:
    """(N, frame bytes) uint8: features in C order, each little-endian."""
    flat = x.reshape(len(x), -1).astype(f"<u{bytes_per_feature}")
    return np.ascontiguousarray(flat).view(np.uint8).reshape(len(x), -1)


def beats_of(frames: npt.NDArray[np.uint8], bus_bytes: int, rng: np.random.Generator) -> Any:
    """(N, beats) unsigned integers, lane 0 in the low byte; bytes past the end are random."""
    n_frames, n_bytes = frames.shape
    n_beats = -(-n_bytes // bus_bytes)
    padded = rng.integers(0, 256, (n_frames, n_beats * bus_bytes), dtype=np.uint8)
    padded[:, :n_bytes] = frames
    return padded.view(f"<u{bus_bytes}")
