"""Reference evaluator of a Netlist or LutNetlist: 64 samples a word, one vector operation a level.

Deliberately plain: it is what everything else is compared with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.gates import ANF
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Circuit, Encoder, Netlist

__all__ = [
    "check_input",
    "classes",
    "encode",
    "node_words",
    "pack",
    "random_features",
    "random_words",
    "scores",
    "scores_of_bits",
    "simulate",
    "unpack",
]

Words = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.bool_]

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MASKS = np.where(ANF.T.astype(bool), _ONES, np.uint64(0))
_CHUNK_WORDS = 64
_BLOCK_WORDS = 1 << 14
"""Words of gates evaluated at a time: their temporaries stay in the second-level cache."""
_VALUE_WORDS = 2**24


def pack(bits: npt.NDArray[Any]) -> Words:
    """Pack (N, I) bool into (I, ceil(N/64)) uint64: sample s is bit s % 64 of word s // 64."""
    n_samples, n_signals = bits.shape
    n_words = -(-n_samples // 64)
    padded = np.zeros((n_signals, n_words * 64), np.uint8)
    padded[:, :n_samples] = bits.T.astype(bool)
    packed = np.packbits(padded, axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False).reshape(n_signals, n_words)


def unpack(words: Words, n_samples: int) -> Bits:
    """The inverse of `pack`: (S, W) uint64 to (n_samples, S) bool."""
    little = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    little = little.reshape(words.shape[0], words.shape[1] * 8)
    bits = np.unpackbits(little, axis=1, bitorder="little", count=n_samples)
    return bits.T.astype(bool)


def _popcount(words: Words, n_samples: int) -> npt.NDArray[np.int64]:
    """(n_samples,) int64: how many of the (S, W) signals are 1 in each sample."""
    count = np.zeros(n_samples, np.int64)
    for first in range(0, len(words), 255):
        little = np.ascontiguousarray(words[first : first + 255]).astype("<u8", copy=False)
        bits = np.unpackbits(little.view(np.uint8), axis=1, bitorder="little", count=n_samples)
        count += np.add.reduce(bits, axis=0, dtype=np.uint8)
    return count


def _gate_level(net: Netlist, start: int, stop: int, value: Words) -> Words:
    tt = net.tt[start:stop]
    a, b = value[net.in0[start:stop]], value[net.in1[start:stop]]
    c0, c1, c2, c3 = (_MASKS[row][tt][:, None] for row in range(4))
    result: Words = c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b)
    return result


def _cofactor(init: Words, operands: list[Words], address: int) -> Words:
    """Value of tables whose leading inputs are fixed to the bits of `address`; mux by mux."""
    if not operands:
        bit = (init >> np.uint64(address)) & np.uint64(1)
        return np.where(bit.astype(bool), _ONES, np.uint64(0))[:, None]
    first, *rest = operands
    low = _cofactor(init, rest, 2 * address)
    high = _cofactor(init, rest, 2 * address + 1)
    return (first & high) | (~first & low)


def _lut_level(net: LutNetlist, start: int, stop: int, value: Words) -> Words:
    result = np.zeros((stop - start, value.shape[1]), np.uint64)
    n_used = net.n_used[start:stop]
    for k in range(1, net.k + 1):
        rows = np.flatnonzero(n_used == k)
        operands = [value[net.fanin[start + rows, slot]] for slot in range(k)]
        result[rows] = _cofactor(net.init[start + rows], operands, 0)
    return result


def node_words(net: Netlist | LutNetlist, words: Words) -> Words:
    """Evaluate every node: (n_inputs, W) uint64 input words to (n_nodes, W) uint64."""
    if words.shape[0] != net.n_inputs:
        raise InputError(f"{words.shape[0]} input signals given, the netlist has {net.n_inputs}")
    value = np.zeros((net.n_nodes, words.shape[1]), np.uint64)
    value[1 : net.first_gate] = words
    step = max(1, _BLOCK_WORDS // max(1, words.shape[1]))
    for bottom, top in net.levels():
        for start in range(bottom, top, step):
            stop = min(start + step, top)
            if isinstance(net, Netlist):
                level = _gate_level(net, start, stop, value)
            else:
                level = _lut_level(net, start, stop, value)
            value[net.first_gate + start : net.first_gate + stop] = level
    return value


def simulate(net: Netlist | LutNetlist, words: Words) -> Words:
    """Evaluate the output literals: (n_inputs, W) uint64 to (n_outputs, W) uint64."""
    value = node_words(net, words)
    flip = np.where(net.outputs & 1, _ONES, np.uint64(0))
    result: Words = value[net.outputs >> 1] ^ flip[:, None]
    return result


def check_input(encoder: Encoder, x: npt.NDArray[Any], *, first: int = 0) -> npt.NDArray[np.int64]:
    """Return `x` as (N, n_features) int64; InputError for a wrong shape, type or range.

    `x` is (N, *shape) of integers (or whole floats) in 0..max_value; `first` is the number of its
    first sample, for the messages.
    """
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"the input is no array: {error}") from error
    if array.ndim < 1 or array.shape[1:] != encoder.shape:
        raise InputError(
            f"input has shape {array.shape}, the model expects (N, "
            f"{', '.join(map(str, encoder.shape))})"
        )
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise InputError(f"input has type {array.dtype}, the model expects integers")
    flat = array.reshape(len(array), encoder.n_features)
    if array.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.floor(flat))).all():
        bad = np.argwhere(~(np.isfinite(flat) & (flat == np.floor(flat))))[0]
        raise InputError(
            f"sample {first + bad[0]}, feature {bad[1]}: {flat[bad[0], bad[1]]} is not an integer; "
            "quantise the values as in training first"
        )
    outside = (flat < 0) | (flat > encoder.max_value)
    if outside.any():
        bad = np.argwhere(outside)[0]
        raise InputError(
            f"sample {first + bad[0]}, feature {bad[1]}: value {flat[bad[0], bad[1]]} is outside "
            f"0..{encoder.max_value}"
        )
    return flat.astype(np.int64)


def encode(encoder: Encoder, x: npt.NDArray[Any]) -> Bits:
    """Thermometer bits of (N, *shape) inputs: (N, n_inputs) bool, ``x > threshold``."""
    flat = check_input(encoder, x)
    bits: Bits = flat[:, encoder.feature] > encoder.threshold
    return bits


def _chunks(net: Circuit, n_samples: int) -> Iterator[slice]:
    """Slices of samples small enough that the values of all nodes take about 128 MB."""
    size = 64 * max(1, min(_CHUNK_WORDS, _VALUE_WORDS // net.n_nodes))
    for first in range(0, n_samples, size):
        yield slice(first, min(first + size, n_samples))


def scores_of_bits(net: Netlist | LutNetlist, bits: Bits) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores of (N, n_inputs) bool inputs."""
    result = np.tile(net.head.bias, (len(bits), 1))
    weight = net.head.weight
    groups = list(itertools.pairwise(net.head.group_ptr.tolist()))
    for chunk in _chunks(net, len(bits)):
        out = simulate(net, pack(bits[chunk]))
        for c, (first, last) in enumerate(groups):
            for value in np.unique(weight[first:last]).tolist():
                rows = first + np.flatnonzero(weight[first:last] == value)
                result[chunk, c] += value * _popcount(out[rows], chunk.stop - chunk.start)
    return result


def scores(net: Netlist | LutNetlist, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores of (N, *shape) model inputs."""
    if net.encoder is None:
        raise InputError("the netlist has no encoder: give bits, or use scores_of_bits")
    encoder = net.encoder
    flat = check_input(encoder, x)
    result = np.empty((len(flat), net.n_classes), np.int64)
    for chunk in _chunks(net, len(flat)):
        bits = flat[chunk][:, encoder.feature] > encoder.threshold
        result[chunk] = scores_of_bits(net, bits)
    return result


def classes(score: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N,) int64: the class of the highest score, ties to the lowest index."""
    if score.ndim != 2 or score.shape[1] < 1:
        raise InputError(f"scores have shape {score.shape}, expected (N, C) with C >= 1")
    winner: npt.NDArray[np.int64] = np.argmax(score, axis=1).astype(np.int64)
    return winner


def random_features(
    encoder: Encoder, n_samples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n_samples, *shape) int64 values, uniform over 0..max_value."""
    x = rng.integers(0, encoder.max_value + 1, size=(n_samples, *encoder.shape))
    return x.astype(np.int64)


def random_words(net: Circuit, n_words: int, rng: np.random.Generator) -> Words:
    """(n_inputs, n_words) uint64 random inputs; legal thermometer codes if there is an encoder."""
    if net.encoder is not None:
        return pack(encode(net.encoder, random_features(net.encoder, 64 * n_words, rng)))
    return rng.integers(0, 2**64, size=(net.n_inputs, n_words), dtype=np.uint64)
