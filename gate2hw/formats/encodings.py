"""Float thresholds on x as integer ones, and layers rewired from a foreign order of bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.spec import InputSpec
from gate2hw.ir.layers import LogicConv, LogicDense, Thermometer

__all__ = ["ONE", "ZERO", "Encoding", "encoding_of", "fix_input", "rewired_conv", "rewired_dense"]

ZERO: Final = -2
ONE: Final = -1
"""Codes of bits that are constant for every allowed input."""

Codes = npt.NDArray[np.int64]
Tables = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Encoding:
    """Our `thermometer`, and where the foreign model's bits are in it.

    `codes` (n,) int64: bit i of the foreign first layer's input is our bit ``codes[i]``, or
    ZERO or ONE. `channels` (C*T,) int64: the same for whole channels, None where the foreign
    order has none.
    """

    thermometer: Thermometer
    codes: Codes
    channels: Codes | None


def _per_channel(values: tuple[float, ...], n_channels: int, what: str) -> npt.NDArray[np.float32]:
    if len(values) not in (1, n_channels):
        raise InputError(f"{what}: {len(values)} values for {n_channels} channels")
    return np.broadcast_to(np.array(values, np.float32), (n_channels,))


def _integer_thresholds(
    spec: InputSpec, thresholds: npt.NDArray[np.float32], n_channels: int
) -> npt.NDArray[np.int64]:
    """(C, T): ``v > result`` where, and only where, ``v / scale + offset > threshold``."""
    scale = _per_channel(spec.scale, n_channels, "scale")
    offset = _per_channel(spec.offset, n_channels, "offset")
    v = np.arange(spec.max_value + 1, dtype=np.float32)
    # channels are often alike: each kind of them once
    columns = np.column_stack([scale, offset, thresholds])
    kinds, first, kind = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    result = np.empty((len(kinds), thresholds.shape[1]), np.int64)
    for k, (kind_scale, kind_offset, *row) in enumerate(kinds):
        values = v / kind_scale + kind_offset
        above = values[:, None] > np.array(row, np.float32)
        if (above[:-1] & ~above[1:]).any():
            raise InputError(f"channel {first[k]}: the scaled values do not rise")
        result[k] = (~above).sum(axis=0) - 1
    return result[kind.ravel()]


def encoding_of(
    spec: InputSpec, thresholds: npt.NDArray[np.float32] | None, shape: tuple[int, ...]
) -> Encoding:
    """The encoding that `spec` describes, for values of `shape` (C, H, W) or (F,).

    `thresholds` (T,) or (C, T) float32 override those of the spec. Thresholds that no value can
    pass, or that every value passes, become constants; equal ones become one.
    """
    if thresholds is None:
        if isinstance(spec.thresholds, str):
            raise InputError(f"thresholds = {spec.thresholds!r}: only torchlogix files hold them")
        thresholds = np.array(spec.thresholds, np.float32)
    n_channels, n_positions = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    if thresholds.ndim == 1:
        thresholds = thresholds[None]
    if thresholds.ndim != 2 or thresholds.shape[0] not in (1, n_channels) or not thresholds.size:
        raise InputError(f"thresholds of shape {thresholds.shape} for {n_channels} channels")
    if np.isnan(thresholds).any():
        raise InputError("a threshold is not a number")
    if n_channels * n_positions * thresholds.shape[1] > 1 << 26:
        raise InputError(f"{thresholds.shape[1]} thresholds of {n_channels * n_positions} values")
    thresholds = np.broadcast_to(thresholds, (n_channels, thresholds.shape[1]))
    integer = _integer_thresholds(spec, thresholds, n_channels)
    kinds, kind = np.unique(integer, axis=0, return_inverse=True)
    own = [np.unique(row[(row >= 0) & (row < spec.max_value)]) for row in kinds]
    width = max(1, *(len(row) for row in own))
    rows = np.empty((len(kinds), width), np.int32)
    for k, row in enumerate(own):
        spare = np.setdiff1d(np.arange(spec.max_value), row)[: width - len(row)]
        rows[k] = np.sort(np.concatenate([row, spare]))
    place = np.array([np.searchsorted(rows[k], kinds[k]) for k in range(len(kinds))])
    rows, place = rows[kind.ravel()], place[kind.ravel()]
    channel = place + width * np.arange(n_channels)[:, None]
    channel = np.where(integer < 0, ONE, np.where(integer >= spec.max_value, ZERO, channel))
    position = np.arange(n_positions)
    bits = np.where(
        channel[:, :, None] < 0, channel[:, :, None], channel[:, :, None] * n_positions + position
    )
    # (channel, threshold, position) in our order; the foreign one is a permutation
    axes = {"channel-major": (0, 1, 2), "threshold-major": (1, 0, 2), "interleaved": (0, 2, 1)}
    codes = bits.transpose(axes[spec.order]).ravel()
    flat = {"channel-major": channel, "threshold-major": channel.T}.get(spec.order)
    scale = offset = None
    if spec.max_value > 1:
        scale = np.broadcast_to(np.array(spec.scale, np.float64), (n_channels,)).copy()
        offset = np.broadcast_to(np.array(spec.offset, np.float64), (n_channels,)).copy()
    thermometer = Thermometer(shape, rows, spec.max_value, scale, offset)
    return Encoding(thermometer, codes, None if flat is None else flat.ravel())


def fix_input(tables: Tables, arity: int, slot: int, value: npt.NDArray[np.bool_]) -> Tables:
    """`tables` with input `slot` fixed to `value` (broadcast): they no longer depend on it."""
    step = 1 << (arity - 1 - slot)
    high = sum(1 << at for at in range(1 << arity) if at & step)
    mask, shift = np.uint64(high), np.uint64(step)
    on, off = tables & mask, tables & ~mask & np.uint64((1 << (1 << arity)) - 1)
    return np.where(value, on | (on >> shift), off | (off << shift))


def rewired_dense(
    input_shape: tuple[int, ...], codes: Codes, wiring: npt.NDArray[np.int64], tables: Tables
) -> LogicDense:
    """A dense layer over foreign bits `wiring` (N, k), in our order of bits."""
    coded = codes[wiring]
    for slot in range(wiring.shape[1]):
        fixed = fix_input(tables, wiring.shape[1], slot, coded[:, slot] == ONE)
        tables = np.where(coded[:, slot] < 0, fixed, tables)
    return LogicDense(input_shape, np.maximum(coded, 0).astype(np.int32), tables)


def rewired_conv(encoding: Encoding, conv: LogicConv, where: str) -> LogicConv:
    """A first convolution over foreign channels, in our order of channels."""
    if encoding.channels is None:
        raise InputError(
            f"{where}: bits interleaved with columns have no channels; a convolution needs "
            'order "channel-major" or "threshold-major"'
        )
    leaves = conv.leaves.copy()
    channel = encoding.channels[leaves[:, :, 0]]
    if (channel == ONE).any() and max(conv.padding):
        raise InputError(
            f"{where}: it reads a bit that is 1 for every value, but 0 in the padding; remove the "
            "threshold that every value passes"
        )
    table = conv.tables[0]
    for slot in range(conv.arity):
        code = channel[:, slot :: conv.arity]
        table = np.where(code < 0, fix_input(table, conv.arity, slot, code == ONE), table)
    leaves[:, :, 0] = np.maximum(channel, 0)
    return LogicConv(
        encoding.thermometer.output_shape,
        leaves,
        (table, *conv.tables[1:]),
        conv.field,
        conv.stride,
        conv.padding,
        conv.arity,
    )
