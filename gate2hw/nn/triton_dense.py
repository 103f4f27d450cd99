# ruff: noqa: N803
"""Triton programs of the dense layer, launched by `triton_kernels`: one does a tile of the work.

The batch is the fastest axis, so that the threads of a warp read neighbouring numbers of one row.
Programs are numbered so that those which read the same rows run at the same time, blocks of the
batch slowest: what a block reads stays in the level 2 cache. Sums over the batch have one order,
whatever runs first, and nothing is added by atomics: the same input gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    tl: Any

    def jit(function: Callable[..., Any]) -> Any:
        """What Triton makes of a function."""

else:
    import triton.language as tl
    from triton import jit

__all__ = ["dense_backward", "dense_coefficients", "dense_forward"]


@jit
def dense_forward(
    x: tl.tensor,
    coefficients: tl.tensor,
    in0: tl.tensor,
    in1: tl.tensor,
    out: tl.tensor,
    n_gates: tl.tensor,
    batch: tl.tensor,
    n_blocks: tl.tensor,
    GATES: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """`out` (n, B) of `x` (F, B): a tile of GATES gates and LANES samples."""
    program = tl.program_id(0)
    gate = (program % n_blocks) * GATES + tl.arange(0, GATES)
    lane = (program // n_blocks) * LANES + tl.arange(0, LANES)
    is_gate = gate < n_gates
    mask = is_gate[:, None] & (lane < batch)[None, :]
    row_a = tl.load(in0 + gate, mask=is_gate, other=0).to(tl.int64) * batch
    row_b = tl.load(in1 + gate, mask=is_gate, other=0).to(tl.int64) * batch
    a = tl.load(x + (row_a[:, None] + lane[None, :]), mask=mask, other=0)
    b = tl.load(x + (row_b[:, None] + lane[None, :]), mask=mask, other=0)
    own = coefficients + gate.to(tl.int64) * 4
    c0 = tl.load(own, mask=is_gate, other=0)[:, None]
    c1 = tl.load(own + 1, mask=is_gate, other=0)[:, None]
    c2 = tl.load(own + 2, mask=is_gate, other=0)[:, None]
    c3 = tl.load(own + 3, mask=is_gate, other=0)[:, None]
    value = (a * c3 + c2) * b + c0 + a * c1
    row = gate.to(tl.int64) * batch
    tl.store(out + (row[:, None] + lane[None, :]), value, mask=mask)


@jit
def dense_coefficients(
    grad: tl.tensor,
    x: tl.tensor,
    in0: tl.tensor,
    in1: tl.tensor,
    grad_coefficients: tl.tensor,
    n_gates: tl.tensor,
    batch: tl.tensor,
    GATES: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """`grad_coefficients` (n, 4) alone: GATES gates, all samples."""
    gate = tl.program_id(0) * GATES + tl.arange(0, GATES)
    is_gate = gate < n_gates
    row_a = tl.load(in0 + gate, mask=is_gate, other=0).to(tl.int64) * batch
    row_b = tl.load(in1 + gate, mask=is_gate, other=0).to(tl.int64) * batch
    row = gate.to(tl.int64) * batch
    s0 = tl.zeros((GATES, LANES), x.dtype.element_ty)
    s1 = tl.zeros((GATES, LANES), x.dtype.element_ty)
    s2 = tl.zeros((GATES, LANES), x.dtype.element_ty)
    s3 = tl.zeros((GATES, LANES), x.dtype.element_ty)
    for start in range(0, batch, LANES):
        lane = start + tl.arange(0, LANES)
        mask = is_gate[:, None] & (lane < batch)[None, :]
        g = tl.load(grad + (row[:, None] + lane[None, :]), mask=mask, other=0)
        a = tl.load(x + (row_a[:, None] + lane[None, :]), mask=mask, other=0)
        b = tl.load(x + (row_b[:, None] + lane[None, :]), mask=mask, other=0)
        s0 += g
        s1 += g * a
        s2 += g * b
        s3 += g * a * b
    to = grad_coefficients + gate.to(tl.int64) * 4
    tl.store(to, tl.sum(s0, 1), mask=is_gate)
    tl.store(to + 1, tl.sum(s1, 1), mask=is_gate)
    tl.store(to + 2, tl.sum(s2, 1), mask=is_gate)
    tl.store(to + 3, tl.sum(s3, 1), mask=is_gate)


@jit
def dense_backward(
    grad: tl.tensor,
    x: tl.tensor,
    coefficients: tl.tensor,
    bounds: tl.tensor,
    slots: tl.tensor,
    others: tl.tensor,
    grad_x: tl.tensor,
    partial: tl.tensor,
    n_signals: tl.tensor,
    n_gates: tl.tensor,
    batch: tl.tensor,
    LANES: tl.constexpr,
) -> None:
    """`grad_x` (F, B) and `partial` (blocks, n, 4): one signal, LANES samples.

    Readers `bounds[f]` .. `bounds[f+1]` read signal f: `slots` is 4 * gate + 1 + input, the place
    of the reader's coefficient of f alone; `others` is the signal that it reads beside f. A gate's
    coefficients are summed where its first input is at hand.
    """
    program = tl.program_id(0)
    signal = program % n_signals
    block = program // n_signals
    lane = block * LANES + tl.arange(0, LANES)
    mask = lane < batch
    own_row = signal.to(tl.int64) * batch
    own = tl.load(x + own_row + lane, mask=mask, other=0)
    total = tl.zeros((LANES,), x.dtype.element_ty)
    for reader in range(tl.load(bounds + signal), tl.load(bounds + signal + 1)):
        slot = tl.load(slots + reader)
        gate = (slot >> 2).to(tl.int64)
        other_row = tl.load(others + reader).to(tl.int64) * batch
        g = tl.load(grad + gate * batch + lane, mask=mask, other=0)
        other = tl.load(x + other_row + lane, mask=mask, other=0)
        total += g * (tl.load(coefficients + (slot | 3)) * other + tl.load(coefficients + slot))
        if (slot & 3) == 1:
            to = partial + (block.to(tl.int64) * n_gates + gate) * 4
            tl.store(to, tl.sum(g, 0))
            tl.store(to + 1, tl.sum(g * own, 0))
            tl.store(to + 2, tl.sum(g * other, 0))
            tl.store(to + 3, tl.sum(g * own * other, 0))
    tl.store(grad_x + own_row + lane, total, mask=mask)
