"""Reference evaluator of a LogicNetwork: layer by layer, 64 samples a word, weights shared.

It follows the definitions of `layers.py` and shares no code with `unroll`: a netlist made from a
network is compared with it, at any size, whether or not the raw netlist is ever built.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.network import LogicNetwork

__all__ = ["evaluate"]

Words = npt.NDArray[np.uint64]

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_BLOCK_WORDS = 1 << 21
"""Words of one array of signals that are handled at a time: 16 MB."""


def _thermometer(layer: Thermometer, x: npt.NDArray[np.int64]) -> Words:
    """(C*T, ..., W) words of (N, C, ...) values; bit s % 64 of word s // 64 is sample s."""
    thresholds = layer.thresholds.reshape(*layer.thresholds.shape, *[1] * (x.ndim - 2))
    bits = x[:, :, None] > thresholds
    padded = np.zeros((-(-len(x) // 64) * 64, *layer.output_shape), np.uint8)
    padded[: len(x)] = bits.reshape(len(x), *layer.output_shape)
    coded = np.packbits(np.moveaxis(padded, 0, -1), axis=-1, bitorder="little")
    words: Words = np.ascontiguousarray(coded).view("<u8").astype(np.uint64)
    return words


def _table(tables: npt.NDArray[np.uint64], inputs: list[Words]) -> Words:
    """The OR of a table's minterms; `tables` broadcasts against the `inputs`, first one highest."""
    arity = len(inputs)
    result = np.zeros(np.broadcast_shapes(tables.shape, inputs[0].shape), np.uint64)
    for address in range(1 << arity):
        # 0 or all ones, from the one bit of the table
        term = (tables >> np.uint64(address) & np.uint64(1)) * _ALL
        for slot, signal in enumerate(inputs):
            is_one = address >> (arity - 1 - slot) & 1
            term = term & (signal if is_one else ~signal)
        result |= term
    return result


def _framed(words: Words, padding: tuple[int, int]) -> Words:
    """A (C, H, W, words) map with a frame of zeros."""
    rows, columns = padding
    channels, height, width, n_words = words.shape
    framed = np.zeros((channels, height + 2 * rows, width + 2 * columns, n_words), np.uint64)
    framed[:, rows : rows + height, columns : columns + width] = words
    return framed


def _conv(layer: LogicConv, words: Words) -> Words:
    n_kernels, rows, columns = layer.output_shape
    source = _framed(words, layer.padding)
    result = np.empty((*layer.output_shape, words.shape[-1]), np.uint64)
    step = max(1, _BLOCK_WORDS // result[0].size // layer.leaves.shape[1])
    y = (layer.stride[0] * np.arange(rows))[None, :, None]
    x = (layer.stride[1] * np.arange(columns))[None, None, :]
    for first in range(0, n_kernels, step):
        chunk = slice(first, first + step)
        signals = [
            source[channel[:, None, None], y + dy[:, None, None], x + dx[:, None, None]]
            for channel, dy, dx in np.moveaxis(layer.leaves[chunk], 0, -1)
        ]
        for tables in layer.tables:
            signals = [
                _table(
                    tables[chunk, gate, None, None, None],
                    signals[gate * layer.arity : (gate + 1) * layer.arity],
                )
                for gate in range(tables.shape[1])
            ]
        result[chunk] = signals[0]
    return result


def _pool(layer: OrPool, words: Words) -> Words:
    _, rows, columns = layer.output_shape
    source = _framed(words, layer.padding)
    result = np.zeros((*layer.output_shape, words.shape[-1]), np.uint64)
    for row in range(rows):
        for column in range(columns):
            y, x = row * layer.stride[0], column * layer.stride[1]
            window = source[:, y : y + layer.window[0], x : x + layer.window[1]]
            result[:, row, column] = np.bitwise_or.reduce(window, axis=(1, 2))
    return result


def _dense(layer: LogicDense, words: Words) -> Words:
    flat = words.reshape(-1, words.shape[-1])
    result = np.empty((*layer.output_shape, words.shape[-1]), np.uint64)
    step = max(1, _BLOCK_WORDS // flat.shape[1] // layer.arity)
    for first in range(0, len(result), step):
        chunk = slice(first, first + step)
        inputs = [flat[wires] for wires in layer.wiring[chunk].T]
        result[chunk] = _table(layer.tables[chunk, None], inputs)
    return result


def _scores(layer: GroupSum, words: Words) -> npt.NDArray[np.int64]:
    """(64 * W, C) popcounts."""
    flat = np.ascontiguousarray(words.reshape(-1, words.shape[-1])).astype("<u8").view(np.uint8)
    result = np.zeros((8 * flat.shape[1], layer.n_classes), np.int64)
    step = max(1, _BLOCK_WORDS // result.shape[0])
    for c in range(layer.n_classes):
        first, last = layer.group_ptr[c : c + 2].tolist()
        for low in range(first, last, step):
            bits = np.unpackbits(flat[low : min(low + step, last)], axis=1, bitorder="little")
            result[:, c] += bits.sum(axis=0, dtype=np.int64)
    return result


def _evaluate(network: LogicNetwork, x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    words = np.zeros((0, 0), np.uint64)
    for _, layer in network.layers():
        match layer:
            case Thermometer():
                words = _thermometer(layer, x)
            case LogicConv():
                words = _conv(layer, words)
            case OrPool():
                words = _pool(layer, words)
            case LogicDense():
                words = _dense(layer, words)
            case GroupSum():
                return _scores(layer, words)[: len(x)]
    raise IRError("the network ends without a GroupSum")


def evaluate(network: LogicNetwork, x: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """(N, C) int64 scores of (N, *input_shape) integer inputs.

    Memory is that of the widest layer, 8 bytes a signal for each 64 samples (more samples go in
    several rounds once they take over a GB). Raises IRError where the network breaks a rule or
    `x` has another shape or values outside 0..max_value.
    """
    network.verify()
    thermometer = network.thermometer
    values = np.asarray(x)
    if values.shape[1:] != thermometer.input_shape or values.dtype.kind not in "biu":
        raise IRError(
            f"input of shape {values.shape} and type {values.dtype} given, the network reads "
            f"integers of shape (N, {', '.join(map(str, thermometer.input_shape))})"
        )
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= thermometer.max_value:
        raise IRError(f"an input value is outside 0..{thermometer.max_value}")
    widest = max(int(np.prod(layer.output_shape)) for _, layer in network.layers())
    step = 64 * max(1, (1 << 27) // widest)
    result = np.zeros((len(values), network.group_sum.n_classes), np.int64)
    for first in range(0, len(values), step):
        result[first : first + step] = _evaluate(network, values[first : first + step].astype(int))
    return result
