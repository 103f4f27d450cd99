"""State dicts of torchlogix (0.2.x): dense and convolutional layers with their wiring.

Dense ``p.weight`` (N, 16 or 2**r) with ``p.connections.indices`` (r, N), or learnable
``p.connections.weights`` and ``.indices`` (candidates, r, N); convolution ``p.tree_weights.L``
(r**(D-1-L), K, ..) with ``p.connections._indices_L0`` (r, K, P, r**(D-1), 3) = (row, column,
channel) in padded coordinates and ``_indices_L1`` on. Slot 0 is the most significant address bit.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.foreign_layers import Stack, inferred_width
from gate2hw.formats.spec import ImportSpec, LayerSpec
from gate2hw.formats.tensors import Tensors, finite, prefixes
from gate2hw.ir.gates import reverse_address
from gate2hw.ir.layers import MAX_TABLE_INPUTS, LogicConv, OrPool
from gate2hw.ir.network import LogicNetwork

__all__ = ["decode_tables", "from_torchlogix", "stored_thresholds"]

_DENSE: Final = r"(?:(.*)\.)?weight"
_CONV: Final = r"(?:(.*)\.)?tree_weights\.\d+"
_KNOWN: Final = re.compile(
    r"(.*\.)?(weight|tree_weights\.\d+|connections\.(indices|weights|_export_indices)"
    r"|connections\._indices_L\d+|thresholds|raw_diffs|_export_lut_ids(_L\d+)?)"
)


def _key(prefix: str, rest: str) -> str:
    return f"{prefix}.{rest}" if prefix else rest


def decode_tables(
    weights: npt.NDArray[np.float64], rank: int, spec: ImportSpec, where: str
) -> npt.NDArray[np.uint64]:
    """Tables (...,) uint64 of weights (..., 16 or 2**rank), input 0 most significant.

    Raises InputError where the parametrisation is not said and cannot be told from the tensors.
    """
    columns = weights.shape[-1]
    kind = spec.parametrisation
    is_raw = rank == 2 and columns == 16
    if is_raw and kind in ("", "raw"):
        ids = weights.argmax(axis=-1).astype(np.uint8)
        tables: npt.NDArray[np.uint64] = ids.astype(np.uint64)
        return reverse_address[ids].astype(np.uint64) if spec.id_order == "msb" else tables
    if kind == "raw" or columns != 1 << rank or rank > MAX_TABLE_INPUTS:
        raise InputError(
            f"{where}: {columns} weights a gate and {rank} inputs a gate are no {kind or 'known'} "
            "parametrisation: raw has 16 and 2, warp and light 2**r and r"
        )
    if not kind:
        raise InputError(
            f"{where}: warp and light weights cannot be told apart; give --spec with [gates] "
            'parametrisation = "warp" or "light"'
        )
    if kind == "warp":
        row = np.arange(columns)
        parity = np.array([[bin(i & j).count("1") & 1 for j in row] for i in row])
        bits = weights @ (1 - 2 * parity) < 0
    else:
        bits = weights > 0
    value: npt.NDArray[np.uint64] = np.bitwise_or.reduce(
        bits.astype(np.uint64) << np.arange(columns, dtype=np.uint64), axis=-1
    )
    return value


def _indices(tensors: Tensors, key: str, dimensions: tuple[int, ...]) -> npt.NDArray[np.int64]:
    if key not in tensors:
        raise InputError(
            f"tensor {key!r} is missing: the file was saved without its wiring (torchlogix before "
            "June 2026 did); save it again with a newer torchlogix, or export the circuit as JSON"
        )
    values = tensors[key]
    if values.dtype.kind not in "iu" or values.ndim not in dimensions or not values.size:
        raise ModelFileError(f"tensor {key!r} has shape {values.shape} and type {values.dtype}")
    return values.astype(np.int64)


def dense_wiring(tensors: Tensors, prefix: str) -> npt.NDArray[np.int64]:
    """(r, N): the wiring, for learnable connections that of the greatest weight."""
    indices = _indices(tensors, _key(prefix, "connections.indices"), (2, 3))
    if indices.ndim == 2:
        return indices
    key = _key(prefix, "connections.weights")
    choice = finite(tensors, key, dimensions=(3,))
    if choice.shape != indices.shape:
        raise ModelFileError(f"tensor {key!r} has shape {choice.shape}, not {indices.shape}")
    chosen = choice.argmax(axis=0)
    wiring: npt.NDArray[np.int64] = np.take_along_axis(indices, chosen[None], axis=0)[0]
    return wiring


def _dense(stack: Stack, tensors: Tensors, prefix: str) -> None:
    where = f"layer {prefix or 'of the file'}"
    weights = finite(tensors, _key(prefix, "weight"), dimensions=(2,))
    wiring = dense_wiring(tensors, prefix)
    if wiring.shape[1] != len(weights):
        raise ModelFileError(f"{where}: {len(weights)} gates, but wiring for {wiring.shape[1]}")
    stack.dense(where, wiring.T, decode_tables(weights, len(wiring), stack.spec, where))


def _leaves(indices: npt.NDArray[np.int64], layer: LayerSpec, where: str) -> npt.NDArray[np.int32]:
    """(K, leaves, 3) as (channel, row, column) in the field, from position 0."""
    rank, n_kernels, _, n_gates, _ = indices.shape
    at_first = indices[:, :, 0].transpose(1, 2, 0, 3).reshape(n_kernels, rank * n_gates, 3)
    if (at_first < 0).any() or (at_first[:, :, :2] >= layer.field).any():
        raise InputError(
            f"{where}: its wiring reaches row and column {at_first[:, :, :2].max(axis=(0, 1))}, "
            f"outside the field {layer.field} of the spec"
        )
    return at_first[:, :, [2, 0, 1]].astype(np.int32)


def _check_positions(
    indices: npt.NDArray[np.int64], conv: LogicConv, layer: LayerSpec, where: str
) -> None:
    """The stored coordinates of all positions are those that the spec gives."""
    _, rows, columns = conv.output_shape
    if indices.shape[2] != rows * columns:
        raise InputError(
            f"{where}: {indices.shape[2]} positions are stored, but field {layer.field}, stride "
            f"{layer.stride}, padding {layer.padding} on {conv.input_shape} give {rows} x {columns}"
        )
    row, column = np.divmod(np.arange(rows * columns), columns)
    shift = np.stack([row * layer.stride[0], column * layer.stride[1], 0 * row], axis=1)
    expected = indices[:, :, :1] + shift[None, None, :, None, :]
    if (indices != expected).any():
        raise InputError(f"{where}: the stored positions are not those of stride {layer.stride}")


def _conv(stack: Stack, tensors: Tensors, layer: LayerSpec) -> None:
    where = f"layer {layer.key}"
    depth = len([name for name in tensors if name.startswith(f"{layer.key}.tree_weights.")])
    indices = _indices(tensors, f"{layer.key}.connections._indices_L0", (5,))
    rank, n_kernels, _, n_gates, coordinates = indices.shape
    if coordinates != 3:
        raise InputError(f"{where}: {coordinates} coordinates; only 2D convolutions are read")
    if depth < 1 or n_gates != rank ** (depth - 1) or rank > MAX_TABLE_INPUTS:
        raise ModelFileError(f"{where}: {n_gates} leaf gates do not fit a tree of depth {depth}")
    tables = []
    for level in range(depth):
        key = f"{layer.key}.tree_weights.{level}"
        weights = finite(tensors, key, dimensions=(3,))
        size = rank ** (depth - 1 - level)
        if weights.shape[:2] != (size, n_kernels):
            raise ModelFileError(f"tensor {key!r} has shape {weights.shape}, not ({size}, ..)")
        tables.append(decode_tables(weights, rank, stack.spec, where).T)
        if level:
            children = _indices(tensors, f"{layer.key}.connections._indices_L{level}", (2,))
            if not np.array_equal(children, np.arange(rank * size).reshape(size, rank).T):
                raise InputError(f"{where}: the tree of level {level} is wired in another order")
    conv = LogicConv(
        stack.foreign_shape,
        _leaves(indices, layer, where),
        tuple(tables),
        layer.field,
        layer.stride,
        layer.padding,
        rank,
    )
    conv.check(where)
    _check_positions(indices, conv, layer, where)
    stack.conv(where, conv)


def _learned_thresholds(tensors: Tensors, spec: ImportSpec, prefix: str) -> npt.NDArray[np.float32]:
    """Thresholds of a binarisation layer: fixed ones, or those its ``raw_diffs`` stand for."""
    key = _key(prefix, "raw_diffs")
    if key not in tensors:
        values = finite(tensors, _key(prefix, "thresholds"), dimensions=(0, 1, 2))
        return np.atleast_1d(values.astype(np.float32))
    diffs = np.atleast_1d(finite(tensors, key, dimensions=(1, 2)).astype(np.float32))
    scale = np.float32(spec.input.softplus + 1e-6)
    rest = diffs[..., 1:] / scale
    # softplus, as torch computes it: linear above 20
    soft = np.where(rest > 20, rest, np.log1p(np.exp(np.minimum(rest, 20))))
    steps = np.concatenate([diffs[..., :1], scale * soft], axis=-1)
    return np.cumsum(steps, axis=-1, dtype=np.float32)


def stored_thresholds(tensors: Tensors, spec: ImportSpec) -> npt.NDArray[np.float32] | None:
    """The thresholds that the spec names by their key; InputError where it should."""
    given = spec.input.thresholds
    stored = prefixes(tensors, r"(?:(.*)\.)?thresholds")
    if isinstance(given, str):
        prefix = given.removesuffix("thresholds").removesuffix(".")
        return _learned_thresholds(tensors, spec, prefix)
    if stored and given == ((0.5,),) and spec.input.max_value == 1:
        raise InputError(
            f"the file holds thresholds ({_key(stored[0], 'thresholds')!r}): give --spec with "
            "[input] shape, max_value and thresholds (that key, for the stored ones)"
        )
    return None


def _layers(tensors: Tensors, spec: ImportSpec) -> tuple[LayerSpec, ...]:
    dense, convs = prefixes(tensors, _DENSE), prefixes(tensors, _CONV)
    odd = [name for name in tensors if not _KNOWN.fullmatch(name)]
    if odd:
        raise InputError(f"tensor {odd[0]!r} belongs to no layer that is read (dense, conv)")
    if not dense and not convs:
        raise InputError("the file holds no layers of torchlogix (no weight, no tree_weights)")
    if not spec.layers:
        if convs:
            raise InputError(
                f"the file holds convolutions ({', '.join(convs[:4])}), whose padding, stride and "
                "pooling are not stored: give --spec with [[layers]]"
            )
        return tuple(LayerSpec("dense", prefix) for prefix in dense)
    missing = sorted({*dense, *convs} - {layer.key for layer in spec.layers})
    if missing:
        raise InputError(f"the spec leaves out layer {missing[0]!r} of the file")
    return spec.layers


def from_torchlogix(tensors: Tensors, spec: ImportSpec) -> LogicNetwork:
    """The network of a torchlogix state dict; what it does not hold comes from `spec`.

    Raises InputError, with the reason, where wiring is missing, the spec contradicts the tensors,
    or warp and light cannot be told apart; ModelFileError where tensors do not fit together.
    """
    layers = _layers(tensors, spec)
    shape = spec.input.shape
    if not shape:
        if layers[0].op != "dense":
            raise InputError("a convolution needs to know its input: give [input] shape")
        indices = _indices(tensors, _key(layers[0].key, "connections.indices"), (2, 3))
        shape = (inferred_width(indices, f"layer {layers[0].key}"),)
    stack = Stack.over(spec, shape, stored_thresholds(tensors, spec))
    for layer in layers:
        match layer.op:
            case "dense":
                _dense(stack, tensors, layer.key)
            case "conv":
                _conv(stack, tensors, layer)
            case _:
                stack.pool(OrPool(stack.shape, layer.field, layer.stride, layer.padding))
    return stack.network(stack.equal_groups(), imported_from="torchlogix")
