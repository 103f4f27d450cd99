"""Reference evaluator of a Netlist: 64 samples a word, one vector operation a level.

Deliberately plain: it is what everything else is compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.gates import ANF
from gate2hw.ir.netlist import Encoder, Netlist

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

_MASKS = np.where(ANF.T.astype(bool), np.uint64(0xFFFF_FFFF_FFFF_FFFF), np.uint64(0))
_CHUNK_SAMPLES = 4096


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


def node_words(net: Netlist, words: Words) -> Words:
    """Evaluate every node: (n_inputs, W) uint64 input words to (n_nodes, W) uint64."""
    if words.shape[0] != net.n_inputs:
        raise InputError(f"{words.shape[0]} input signals given, the netlist has {net.n_inputs}")
    value = np.zeros((net.n_nodes, words.shape[1]), np.uint64)
    value[1 : net.first_gate] = words
    for start, stop in net.levels():
        tt = net.tt[start:stop]
        a, b = value[net.in0[start:stop]], value[net.in1[start:stop]]
        c0, c1, c2, c3 = (_MASKS[row][tt][:, None] for row in range(4))
        value[net.first_gate + start : net.first_gate + stop] = (
            c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b)
        )
    return value


def simulate(net: Netlist, words: Words) -> Words:
    """Evaluate the output literals: (n_inputs, W) uint64 to (n_outputs, W) uint64."""
    value = node_words(net, words)
    flip = np.where(net.outputs & 1, np.uint64(0xFFFF_FFFF_FFFF_FFFF), np.uint64(0))
    result: Words = value[net.outputs >> 1] ^ flip[:, None]
    return result


def check_input(encoder: Encoder, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return `x` as (N, n_features) int64; InputError for a wrong shape, type or range.

    `x` is (N, *shape) of integers (or whole floats) in 0..max_value.
    """
    array = np.asarray(x)
    if array.ndim < 1 or array.shape[1:] != encoder.shape:
        raise InputError(
            f"input has shape {array.shape}, the model expects (N, "
            f"{', '.join(map(str, encoder.shape))})"
        )
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise InputError(f"input has type {array.dtype}, the model expects integers")
    flat = array.reshape(len(array), -1)
    if array.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.floor(flat))).all():
        bad = np.argwhere(~(np.isfinite(flat) & (flat == np.floor(flat))))[0]
        raise InputError(
            f"sample {bad[0]}, feature {bad[1]}: {flat[bad[0], bad[1]]} is not an integer; "
            "quantise the values as in training first"
        )
    outside = (flat < 0) | (flat > encoder.max_value)
    if outside.any():
        bad = np.argwhere(outside)[0]
        raise InputError(
            f"sample {bad[0]}, feature {bad[1]}: value {flat[bad[0], bad[1]]} is outside "
            f"0..{encoder.max_value}"
        )
    return flat.astype(np.int64)


def encode(encoder: Encoder, x: npt.NDArray[Any]) -> Bits:
    """Thermometer bits of (N, *shape) inputs: (N, n_inputs) bool, ``x > threshold``."""
    flat = check_input(encoder, x)
    bits: Bits = flat[:, encoder.feature] > encoder.threshold
    return bits


def scores_of_bits(net: Netlist, bits: Bits) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores of (N, n_inputs) bool inputs."""
    n_samples = len(bits)
    result = np.empty((n_samples, net.n_classes), np.int64)
    starts = net.head.group_ptr[:-1]
    empty = np.diff(net.head.group_ptr) == 0
    for first in range(0, n_samples, _CHUNK_SAMPLES):
        chunk = bits[first : first + _CHUNK_SAMPLES]
        out = unpack(simulate(net, pack(chunk)), len(chunk)) * net.head.weight.astype(np.int64)
        total = np.zeros((len(chunk), out.shape[1] + 1), np.int64)
        np.cumsum(out, axis=1, out=total[:, 1:])
        sums = total[:, net.head.group_ptr[1:]] - total[:, starts]
        sums[:, empty] = 0
        result[first : first + len(chunk)] = sums + net.head.bias
    return result


def scores(net: Netlist, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores of (N, *shape) model inputs."""
    if net.encoder is None:
        raise InputError("the netlist has no encoder: give bits, or use scores_of_bits")
    return scores_of_bits(net, encode(net.encoder, x))


def classes(score: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N,) int64: the class of the highest score, ties to the lowest index."""
    winner: npt.NDArray[np.int64] = np.argmax(score, axis=1).astype(np.int64)
    return winner


def random_features(
    encoder: Encoder, n_samples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n_samples, *shape) int64 values, uniform over 0..max_value."""
    x = rng.integers(0, encoder.max_value + 1, size=(n_samples, *encoder.shape))
    return x.astype(np.int64)


def random_words(net: Netlist, n_words: int, rng: np.random.Generator) -> Words:
    """(n_inputs, n_words) uint64 random inputs; legal thermometer codes if there is an encoder."""
    if net.encoder is not None:
        return pack(encode(net.encoder, random_features(net.encoder, 64 * n_words, rng)))
    return rng.integers(0, 2**64, size=(net.n_inputs, n_words), dtype=np.uint64)
