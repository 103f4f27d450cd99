"""The hot loops on a GPU, in Triton: the functions of `kernels`, the same numbers.

float32 and float64, on CUDA (or on a processor under TRITON_INTERPRET=1, for tests). Deterministic:
no atomics; gradients of signals are gathered by their readers, a table that is made once for a
wiring. Trees deeper than `DEEPEST` levels do not fit registers and are left to `kernels`.
Importing this module raises ImportError where Triton is missing.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from gate2hw.errors import InputError
from gate2hw.nn import kernels, triton_dense, triton_tree
from gate2hw.nn.kernels import TreeGeometry
from gate2hw.nn.readers import sorted_readers

__all__ = ["DEEPEST", "dense_backward", "dense_forward", "tree_backward", "tree_forward"]

T = TypeVar("T")

DEEPEST: Final = 5
"""Levels of the deepest tree whose nodes are held in registers: 63 numbers a sample."""
SCRATCH_BYTES: Final = 1 << 28
"""Gradients of leaves are held for so many kernels at once as fit in this."""
_GATES: Final = 8
_LANES: Final = 128
"""Samples of a tile: 512 bytes of a row, and the signals of a block still fit the cache."""
_WINDOWS_FORWARD: Final = 4
_WINDOWS_BACKWARD: Final = 16
_OPTIONS: Final = {"enable_fp_fusion": False}
"""Rounded after each operation, as in plain torch, whatever Triton's default."""

_KNOWN: dict[tuple[Any, ...], tuple[tuple[weakref.ref[Tensor], ...], tuple[int, ...], Any]] = {}


def _remembered(make: Callable[..., T], tensors: tuple[Tensor, ...], *options: int) -> T:
    """`make(*tensors, *options)`, kept as long as the tensors live and stay as they are.

    By torch's count of changes: to compare the contents would wait for the device at each step. So
    a change through `.data` is not seen here, while the C kernels see it.
    """
    if any(tensor.is_inference() for tensor in tensors):
        return make(*tensors, *options)
    key = (make, tuple(id(tensor) for tensor in tensors), options)
    versions = tuple(tensor._version for tensor in tensors)
    known = _KNOWN.get(key)
    if known is not None and known[1] == versions:
        refs, _, value = known
        if all(ref() is tensor for ref, tensor in zip(refs, tensors, strict=True)):
            return value  # type: ignore[no-any-return]
    made = make(*tensors, *options)
    gone = tuple(weakref.ref(tensor, lambda _: _KNOWN.pop(key, None)) for tensor in tensors)
    _KNOWN[key] = (gone, versions, made)
    return made


def _check_wiring(in0: Tensor, in1: Tensor, n_signals: int) -> None:
    """Raise InputError where a gate reads outside the input."""
    wires = torch.stack([in0, in1])
    if wires.numel() and not bool(((wires >= 0) & (wires < n_signals)).all()):
        raise InputError(f"wiring points outside the input of {n_signals} signals")


def _dense_readers(in0: Tensor, in1: Tensor, n_signals: int) -> tuple[Tensor, Tensor, Tensor]:
    """Who reads each signal: bounds, slots and other signals; see the program `dense_backward`."""
    signals, others = (torch.stack(pair, 1).flatten() for pair in ((in0, in1), (in1, in0)))
    bounds, order = sorted_readers(signals, n_signals)
    slots = (order // 2) * 4 + 1 + order % 2
    return bounds.to(torch.int32), slots.to(torch.int32), others[order].to(torch.int32)


def _check_leaves(leaves: Tensor, channels: int, rows: int, columns: int) -> None:
    """Raise InputError where a leaf lies outside its field."""
    limits = leaves.new_tensor([channels, rows, columns])
    if bool(((leaves < 0) | (leaves >= limits)).any()):
        raise InputError(f"a leaf lies outside its field {[channels, rows, columns]}")


def _tree_readers(leaves: Tensor, first: int, end: int, channels: int) -> tuple[Tensor, Tensor]:
    """Who of the kernels first .. end reads each channel; see the program `tree_gather`."""
    own = leaves[first:end].reshape(-1, 3)
    bounds, order = sorted_readers(own[:, 0].long(), channels)
    return bounds.to(torch.int32), torch.cat(
        [order[:, None].to(torch.int32), own[order, 1:]], 1
    ).contiguous()


def _lanes(batch: int) -> int:
    """Samples of a tile: a power of two."""
    return max(16, min(_LANES, 1 << (batch - 1).bit_length()))


def _blocks(n: int, size: int) -> int:
    return (n + size - 1) // size


def _on(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Launch on the device of `x`, which need not be the current one."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def dense_forward(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """See `kernels.dense_forward`; contiguous tensors. Raises InputError for bad wiring."""
    n_signals, batch = x.shape
    n_gates = len(coefficients)
    _remembered(_check_wiring, (in0, in1), n_signals)
    out = x.new_empty(n_gates, batch)
    if out.numel() == 0:
        return out
    lanes = _lanes(batch)
    n_blocks = _blocks(n_gates, _GATES)
    with _on(x):
        triton_dense.dense_forward[(n_blocks * _blocks(batch, lanes),)](
            x,
            coefficients,
            in0,
            in1,
            out,
            n_gates,
            batch,
            n_blocks,
            GATES=_GATES,
            LANES=lanes,
            **_OPTIONS,
        )
    return out


def dense_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    """See `kernels.dense_backward`; contiguous tensors."""
    n_signals, batch = x.shape
    n_gates = len(coefficients)
    _remembered(_check_wiring, (in0, in1), n_signals)
    if grad.numel() == 0:
        return torch.zeros_like(x) if need_x else x.new_empty(0), torch.zeros_like(coefficients)
    if not need_x:
        grad_coefficients = torch.empty_like(coefficients)
        gates = _GATES // 2
        with _on(x):
            triton_dense.dense_coefficients[(_blocks(n_gates, gates),)](
                grad,
                x,
                in0,
                in1,
                grad_coefficients,
                n_gates,
                batch,
                GATES=gates,
                LANES=_lanes(batch),
                **_OPTIONS,
            )
        return x.new_empty(0), grad_coefficients
    bounds, slots, others = _remembered(_dense_readers, (in0, in1), n_signals)
    lanes = _lanes(batch)
    n_blocks = _blocks(batch, lanes)
    grad_x = torch.empty_like(x)
    partial = x.new_empty(n_blocks, n_gates, 4)
    with _on(x):
        triton_dense.dense_backward[(n_signals * n_blocks,)](
            grad,
            x,
            coefficients,
            bounds,
            slots,
            others,
            grad_x,
            partial,
            n_signals,
            n_gates,
            batch,
            LANES=lanes,
            num_warps=1,
            **_OPTIONS,
        )
    return grad_x, partial[0] if n_blocks == 1 else partial.sum(0)


def _constants(depth: int, geometry: TreeGeometry) -> dict[str, int]:
    """What the tree programs are compiled for."""
    g = geometry
    return {
        "DEPTH": depth,
        "HEIGHT": g.height,
        "WIDTH": g.width,
        "ROWS": g.rows,
        "COLUMNS": g.columns,
        "STRIDE_R": g.stride_rows,
        "STRIDE_C": g.stride_columns,
        "PAD_R": g.padding_rows,
        "PAD_C": g.padding_columns,
        "WINDOW_R": g.window_rows,
        "WINDOW_C": g.window_columns,
        "POOL_STRIDE_R": g.pool_stride_rows,
        "POOL_STRIDE_C": g.pool_stride_columns,
        "POOL_PAD_R": g.pool_padding_rows,
        "POOL_PAD_C": g.pool_padding_columns,
        "POOLED_R": g.pooled_rows,
        "POOLED_C": g.pooled_columns,
    }


def _depth(leaves: Tensor) -> int:
    return leaves.shape[1].bit_length() - 1


def _check_tree(leaves: Tensor, geometry: TreeGeometry) -> None:
    field = (geometry.channels, geometry.field_rows, geometry.field_columns)
    _remembered(_check_leaves, (leaves,), *field)


def tree_forward(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry
) -> tuple[Tensor, Tensor]:
    """See `kernels.tree_forward`; contiguous tensors. Raises InputError for bad leaves."""
    depth, n_kernels, batch = _depth(leaves), len(leaves), x.shape[1]
    _check_tree(leaves, geometry)
    if depth > DEEPEST:
        return kernels.tree_forward(x, coefficients, leaves, geometry)
    out = x.new_empty(n_kernels * geometry.pooled, batch)
    winner = torch.empty_like(out, dtype=torch.uint8)
    if out.numel() == 0:
        return out, winner
    lanes = _lanes(batch)
    n_chunks = _blocks(geometry.pooled, _WINDOWS_FORWARD)
    with _on(x):
        triton_tree.tree_forward[(n_chunks * n_kernels * _blocks(batch, lanes),)](
            x,
            coefficients,
            leaves,
            out,
            winner,
            n_kernels,
            batch,
            n_chunks,
            WINDOWS=_WINDOWS_FORWARD,
            LANES=lanes,
            num_warps=1,
            **_constants(depth, geometry),
            **_OPTIONS,
        )
    return out, winner


def tree_backward(
    grad: Tensor,
    x: Tensor,
    coefficients: Tensor,
    leaves: Tensor,
    winner: Tensor,
    geometry: TreeGeometry,
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    """See `kernels.tree_backward`; contiguous tensors."""
    depth, n_kernels, batch = _depth(leaves), len(leaves), x.shape[1]
    _check_tree(leaves, geometry)
    if depth > DEEPEST:
        return kernels.tree_backward(grad, x, coefficients, leaves, winner, geometry, need_x)
    if grad.numel() == 0:
        return torch.zeros_like(x) if need_x else x.new_empty(0), torch.zeros_like(coefficients)
    lanes = _lanes(batch)
    n_blocks, n_chunks = _blocks(batch, lanes), _blocks(geometry.pooled, _WINDOWS_BACKWARD)
    partial = x.new_empty(n_blocks * n_chunks, len(coefficients), 4)
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0)
    kernel_size = (geometry.pooled << depth) * batch
    n_own = n_kernels
    if need_x:
        n_own = min(n_kernels, max(1, SCRATCH_BYTES // (kernel_size * x.element_size())))
    grad_leaves = x.new_empty(n_own * kernel_size if need_x else 0)
    constants = {**_constants(depth, geometry), **_OPTIONS}
    with _on(x):
        for first in range(0, n_kernels, n_own):
            end = min(n_kernels, first + n_own)
            triton_tree.tree_backward[(n_chunks * (end - first) * n_blocks,)](
                grad,
                x,
                coefficients,
                leaves,
                winner,
                grad_leaves,
                partial,
                first,
                end - first,
                n_kernels,
                batch,
                n_chunks,
                NEED_X=need_x,
                WINDOWS=_WINDOWS_BACKWARD,
                LANES=lanes,
                num_warps=max(1, lanes // 32),
                **constants,
            )
            if need_x:
                channels = geometry.channels
                bounds, readers = _remembered(_tree_readers, (leaves,), first, end, channels)
                triton_tree.tree_gather[(len(x) * n_blocks,)](
                    grad_leaves,
                    winner,
                    bounds,
                    readers,
                    grad_x,
                    first,
                    len(x),
                    batch,
                    ADD=first > 0,
                    LANES=lanes,
                    num_warps=1,
                    **constants,
                )
    return grad_x, partial[0] if len(partial) == 1 else partial.sum(0)
