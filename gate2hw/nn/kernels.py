"""The hot loop: bilinear gates on activations laid out [features, batch].

One gate is one contiguous row, so that a gather copies whole rows and its coefficients broadcast
along them. The functions work on any dtype; backward is for float32 and float64. Rows are done in
tiles that stay in the processor's cache (on other devices in one go).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["bilinear", "gather_gates", "pair_gates"]

_TILE_ELEMENTS = 65_536
"""Elements of one tile: 256 KiB of float32; six such tiles are alive in backward."""


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
    step = n_rows if device.type != "cpu" else max(1, _TILE_ELEMENTS // max(1, row_size))
    for start in range(0, n_rows, max(1, step)):
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
    grad_coefficients[:, 3] = torch.bmm(grad_b.unsqueeze(1), b.unsqueeze(2)).flatten()
    grad_b *= c3
    grad_b.addcmul_(grad, c2)
    grad_a *= c3
    grad_a.addcmul_(grad, c1)
    return grad_a, grad_b


class _GatherGates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
        n_gates = coefficients.shape[0]
        n_positions = in0.shape[0] // n_gates
        row_size = n_positions * x.shape[1]
        a, b, out = (x.new_empty(n_gates, row_size) for _ in range(3))
        for rows in _tiles(n_gates, row_size, x.device):
            places = slice(rows.start * n_positions, rows.stop * n_positions)
            torch.index_select(x, 0, in0[places], out=a[rows].view(-1, x.shape[1]))
            torch.index_select(x, 0, in1[places], out=b[rows].view(-1, x.shape[1]))
            bilinear(a[rows], b[rows], coefficients[rows], out=out[rows])
        ctx.save_for_backward(a, b, coefficients, in0, in1)
        ctx.x_shape = x.shape
        return out.view(n_gates * n_positions, x.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        a, b, coefficients, in0, in1 = ctx.saved_tensors
        n_gates, batch = coefficients.shape[0], ctx.x_shape[1]
        n_positions = in0.shape[0] // n_gates
        grad = grad_outputs[0].reshape(n_gates, -1)
        grad_coefficients = torch.empty_like(coefficients)
        grad_x = grad.new_zeros(ctx.x_shape) if ctx.needs_input_grad[0] else None
        for rows in _tiles(n_gates, grad.shape[1], grad.device):
            grad_a, grad_b = _gradients(
                grad[rows], a[rows], b[rows], coefficients[rows], grad_coefficients[rows]
            )
            if grad_x is not None:
                places = slice(rows.start * n_positions, rows.stop * n_positions)
                grad_x.index_add_(0, in0[places], grad_a.view(-1, batch))
                grad_x.index_add_(0, in1[places], grad_b.view(-1, batch))
        return grad_x, grad_coefficients, None, None


class _PairGates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(x, coefficients)
        return bilinear(x[0::2], x[1::2], coefficients)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        x, coefficients = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        grad_x, grad_coefficients = torch.empty_like(x), torch.empty_like(coefficients)
        for rows in _tiles(grad.shape[0], grad.shape[1], grad.device):
            pair = x[2 * rows.start : 2 * rows.stop]
            grad_a, grad_b = _gradients(
                grad[rows], pair[0::2], pair[1::2], coefficients[rows], grad_coefficients[rows]
            )
            grad_x[2 * rows.start : 2 * rows.stop : 2] = grad_a
            grad_x[2 * rows.start + 1 : 2 * rows.stop : 2] = grad_b
        return grad_x, grad_coefficients


def gather_gates(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """Gates that read rows of `x`: (F, B) signals to (n*P, B), P positions a gate.

    `coefficients` (n, 4) has the dtype of `x`; `in0`, `in1` (n*P,) int64 are row numbers, the P
    positions of a gate side by side. Differentiable in `x` and `coefficients`.
    """
    result: Tensor = _GatherGates.apply(x, coefficients, in0, in1)  # type: ignore[no-untyped-call]
    return result


def pair_gates(x: Tensor, coefficients: Tensor) -> Tensor:
    """Gates that read neighbouring rows: (2n, S) to (n, S), gate j reads rows 2j and 2j+1.

    `coefficients` (n, 4) has the dtype of `x`. Differentiable in both.
    """
    result: Tensor = _PairGates.apply(x, coefficients)  # type: ignore[no-untyped-call]
    return result
