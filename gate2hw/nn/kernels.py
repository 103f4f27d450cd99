"""The hot loops in plain torch: bilinear gates on activations laid out [features, batch].

One gate is one contiguous row, so that a gather copies whole rows and its coefficients broadcast
along them. Nothing that backward can compute again is stored. Rows are done in tiles that stay in
the processor's cache (on other devices in larger ones). `ops` chooses between these functions, the
C kernels of `native` and those of a GPU; all of them compute the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = [
    "MOST_PLACES",
    "TreeGeometry",
    "bilinear",
    "dense_backward",
    "dense_forward",
    "leaf_places",
    "tree_backward",
    "tree_forward",
    "tree_levels",
]

_TILE_ELEMENTS = 65_536
"""Elements of one tile: 256 KiB of float32; six such tiles are alive in backward."""
_DEVICE_TILE_ELEMENTS = 1 << 26
MOST_PLACES: Final = 256
"""Places of the largest pool window: which of them won is kept in a byte."""


class TreeGeometry(NamedTuple):
    """What `gate2hw::logic_tree` calls geometry: input, field, positions, pool; all in places.

    `rows` and `columns` are positions of the trees, `pooled_rows` and `pooled_columns` of the
    windows over them; a window of 1 x 1 with a stride of 1 is no pool.
    """

    channels: int
    height: int
    width: int
    field_rows: int
    field_columns: int
    stride_rows: int
    stride_columns: int
    padding_rows: int
    padding_columns: int
    rows: int
    columns: int
    window_rows: int
    window_columns: int
    pool_stride_rows: int
    pool_stride_columns: int
    pool_padding_rows: int
    pool_padding_columns: int
    pooled_rows: int
    pooled_columns: int

    @property
    def positions(self) -> int:
        """Positions of a tree."""
        return self.rows * self.columns

    @property
    def pooled(self) -> int:
        """Windows over the positions of a tree."""
        return self.pooled_rows * self.pooled_columns


def bilinear(a: Tensor, b: Tensor, coefficients: Tensor, out: Tensor | None = None) -> Tensor:
    """``c0 + c1*a + c2*b + c3*a*b`` of (n, s) rows `a`, `b` and (n, 4) `coefficients`.

    No gradient; all of one dtype. Exact for int8 bits and the int8 coefficients of hard gates.
    """
    c0, c1, c2, c3 = coefficients.unsqueeze(-1).unbind(-2)
    out = torch.mul(a, c3, out=out)
    out += c2
    out *= b
    out += c0
    return out.addcmul_(a, c1)


def _tiles(n_rows: int, row_size: int, device: torch.device) -> Iterator[slice]:
    elements = _TILE_ELEMENTS if device.type == "cpu" else _DEVICE_TILE_ELEMENTS
    step = max(1, elements // max(1, row_size))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def _gradients(
    grad: Tensor, a: Tensor, b: Tensor, coefficients: Tensor, grad_coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of one tile for `a` and `b`; fills `grad_coefficients` (n, 4)."""
    _, c1, c2, c3 = coefficients.unsqueeze(-1).unbind(-2)
    grad_b = grad * a
    grad_a = grad * b
    grad_coefficients[:, 0] = grad.sum(1)
    grad_coefficients[:, 1] = grad_b.sum(1)
    grad_coefficients[:, 2] = grad_a.sum(1)
    grad_coefficients[:, 3] = torch.linalg.vecdot(grad_b, b)
    grad_b *= c3
    grad_b.addcmul_(grad, c2)
    grad_a *= c3
    grad_a.addcmul_(grad, c1)
    return grad_a, grad_b


def dense_forward(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """(F, B) signals to (n, B): gate i reads rows `in0[i]` and `in1[i]` (int64) of `x`."""
    out = x.new_empty(len(coefficients), x.shape[1])
    for rows in _tiles(len(coefficients), x.shape[1], x.device):
        a, b = x.index_select(0, in0[rows]), x.index_select(0, in1[rows])
        bilinear(a, b, coefficients[rows], out=out[rows])
    return out


def dense_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    """Gradients (F, B) and (n, 4) of `dense_forward` from `grad` (n, B).

    Without `need_x` the first is an empty tensor.
    """
    grad_coefficients = torch.empty_like(coefficients)
    grad_x = torch.zeros_like(x) if need_x else x.new_empty(0)
    for rows in _tiles(len(coefficients), x.shape[1], x.device):
        a, b = x.index_select(0, in0[rows]), x.index_select(0, in1[rows])
        grad_a, grad_b = _gradients(grad[rows], a, b, coefficients[rows], grad_coefficients[rows])
        if need_x:
            grad_x.index_add_(0, in0[rows], grad_a)
            grad_x.index_add_(0, in1[rows], grad_b)
    return grad_x, grad_coefficients


def tree_levels(coefficients: Tensor, n_kernels: int) -> list[Tensor]:
    """The (K * 2**(D-1-l), 4) coefficients of each tree level l, from all of them in a row."""
    sizes = []
    n_gates = (len(coefficients) // n_kernels + 1) // 2
    while n_gates:
        sizes.append(n_kernels * n_gates)
        n_gates //= 2
    return list(torch.split(coefficients, sizes))


def leaf_places(leaves: Tensor, geometry: TreeGeometry) -> Tensor:
    """(K, 2**D, positions) int64 rows that the leaves read; C*H*W where that is padding."""
    g = geometry
    steps = [torch.arange(n, device=leaves.device) for n in (g.rows, g.columns)]
    leaf = leaves.long()
    row = (leaf[..., 1, None] + steps[0] * g.stride_rows - g.padding_rows)[..., :, None]
    column = (leaf[..., 2, None] + steps[1] * g.stride_columns - g.padding_columns)[..., None, :]
    place = (leaf[..., 0, None, None] * g.height + row) * g.width + column
    outside = (row < 0) | (row >= g.height) | (column < 0) | (column >= g.width)
    outside_place = g.channels * g.height * g.width
    return torch.where(outside, outside_place, place).flatten(2)


def _with_padding(x: Tensor, geometry: TreeGeometry) -> Tensor:
    """`x` with the row of zeros that padded places read, where there are such."""
    if max(geometry.padding_rows, geometry.padding_columns) == 0:
        return x
    return torch.cat([x, x.new_zeros(1, x.shape[1])])


def _tree_values(x: Tensor, levels: list[Tensor], places: Tensor) -> list[Tensor]:
    """Values of the leaves and of each level above, (gates, positions * B) each."""
    n_leaves = places.shape[0] * places.shape[1]
    values = [x.index_select(0, places.reshape(-1)).view(n_leaves, -1)]
    for level in levels:
        values.append(bilinear(values[-1][0::2], values[-1][1::2], level))
    return values


def _kernel_tiles(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry
) -> Iterator[tuple[slice, list[slice], list[Tensor], Tensor]]:
    """Tiles of trees: their numbers, their rows in each level, coefficients and leaf places."""
    n_kernels, n_leaves, _ = leaves.shape
    levels = tree_levels(coefficients, n_kernels)
    for kernels in _tiles(n_kernels, n_leaves * geometry.positions * x.shape[1], x.device):
        rows = []
        for level in levels:
            per_kernel = len(level) // n_kernels
            rows.append(slice(kernels.start * per_kernel, kernels.stop * per_kernel))
        parts = [level[part] for level, part in zip(levels, rows, strict=True)]
        yield kernels, rows, parts, leaf_places(leaves[kernels], geometry)


def _windows(padded: Tensor, geometry: TreeGeometry) -> Iterator[Tensor]:
    """Views (k, pooled rows, pooled columns, B) of (k, rows, columns, B), one a window place."""
    g = geometry
    reach = (g.pooled_rows - 1) * g.pool_stride_rows + 1
    reach_columns = (g.pooled_columns - 1) * g.pool_stride_columns + 1
    for r in range(g.window_rows):
        for c in range(g.window_columns):
            yield padded[
                :,
                r : r + reach : g.pool_stride_rows,
                c : c + reach_columns : g.pool_stride_columns,
            ]


def _pool(values: Tensor, geometry: TreeGeometry) -> tuple[Tensor, Tensor]:
    """Greatest of each window of (k, positions * B), and its place there, the first of equals."""
    g = geometry
    values = values.view(len(values), g.rows, g.columns, -1)
    vertical, horizontal = g.pool_padding_rows, g.pool_padding_columns
    if vertical or horizontal:
        pads = (0, 0, horizontal, horizontal, vertical, vertical)
        values = torch.nn.functional.pad(values, pads)
    views = _windows(values, g)
    best = next(views).clone(memory_format=torch.contiguous_format)
    winner = torch.zeros_like(best, dtype=torch.uint8)
    for place, view in enumerate(views, start=1):
        better = (view > best) | view.isnan()
        best = torch.where(better, view, best)
        winner.masked_fill_(better, place)
    return best, winner


def tree_forward(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry
) -> tuple[Tensor, Tensor]:
    """Trees of gates at each position, then the greatest of each window.

    `x` (C*H*W, B), `coefficients` (K * (2**D - 1), 4) level after level, `leaves` (K, 2**D, 3)
    int32 (channel, row, column). Gives (K*pooled, B) and, uint8, which place of the window won:
    the first of equals; padding of the pool counts as 0.
    """
    batch = x.shape[1]
    out = x.new_empty(len(leaves), geometry.pooled * batch)
    winner = torch.empty_like(out, dtype=torch.uint8)
    x = _with_padding(x, geometry)
    for kernels, _, levels, places in _kernel_tiles(x, coefficients, leaves, geometry):
        best, place = _pool(_tree_values(x, levels, places)[-1], geometry)
        out[kernels], winner[kernels] = best.flatten(1), place.flatten(1)
    return out.view(-1, batch), winner.view(-1, batch)


def _unpool(grad: Tensor, winner: Tensor, geometry: TreeGeometry, batch: int) -> Tensor:
    """(k, positions * B) gradient of the trees from that of the windows, for winners only."""
    g = geometry
    vertical, horizontal = g.pool_padding_rows, g.pool_padding_columns
    shape = (len(grad), g.rows + 2 * vertical, g.columns + 2 * horizontal, batch)
    padded = grad.new_zeros(shape)
    grad = grad.view(len(grad), g.pooled_rows, g.pooled_columns, batch)
    winner = winner.view(grad.shape)
    for place, view in enumerate(_windows(padded, g)):
        view += torch.where(winner == place, grad, 0)
    inner = padded[:, vertical : vertical + g.rows, horizontal : horizontal + g.columns]
    return inner.reshape(len(grad), -1)


def tree_backward(
    grad: Tensor,
    x: Tensor,
    coefficients: Tensor,
    leaves: Tensor,
    winner: Tensor,
    geometry: TreeGeometry,
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients (C*H*W, B) and (K * (2**D - 1), 4) of `tree_forward` from `grad` (K*pooled, B).

    Without `need_x` the first is an empty tensor.
    """
    batch, n_signals, n_kernels = x.shape[1], len(x), len(leaves)
    grad, winner = grad.reshape(n_kernels, -1), winner.view(n_kernels, -1)
    grad_coefficients = torch.empty_like(coefficients)
    grad_levels = tree_levels(grad_coefficients, n_kernels)
    x = _with_padding(x, geometry)
    grad_x = torch.zeros_like(x) if need_x else x.new_empty(0)
    for kernels, rows, levels, places in _kernel_tiles(x, coefficients, leaves, geometry):
        values = _tree_values(x, levels, places)
        grad_value = _unpool(grad[kernels], winner[kernels], geometry, batch)
        for level in reversed(range(len(levels))):
            pair = values[level]
            to = grad_levels[level][rows[level]]
            halves = _gradients(grad_value, pair[0::2], pair[1::2], levels[level], to)
            grad_value = torch.stack(halves, 1).view(pair.shape)
        if need_x:
            grad_x.index_add_(0, places.reshape(-1), grad_value.view(-1, batch))
    return grad_x[:n_signals], grad_coefficients
