# ruff: noqa: N803, RUF005
# mypy: disable-error-code="assignment, var-annotated"
"""Triton programs of trees with their OR pool, launched by `triton_kernels`.

Trees and windows live in registers: a tuple of tiles stands for the nodes of a tree, leaves first,
then gates level after level, so that gate g reads nodes 2g and 2g+1. Numbered and added up as the
programs of `triton_dense`.
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

__all__ = ["tree_backward", "tree_forward", "tree_gather"]


@jit
def _tree_gates(
    coefficients: tl.tensor, kernel: tl.tensor, n_kernels: tl.tensor, DEPTH: tl.constexpr
) -> tl.tuple:
    """The coefficients of the gates of one tree, four each, level after level."""
    found = ()
    for up in tl.static_range(DEPTH):
        for j in tl.static_range(1 << (DEPTH - 1 - up)):
            before = n_kernels * ((1 << DEPTH) - (1 << (DEPTH - up)))
            at = coefficients + (before + kernel * (1 << (DEPTH - 1 - up)) + j).to(tl.int64) * 4
            found = found + ((tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3)),)
    return found


@jit
def _tree_leaves(
    leaves: tl.tensor,
    kernel: tl.tensor,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
) -> tl.tuple:
    """Of each leaf of one tree: its place in the input when the field is at 0, 0; row; column."""
    found = ()
    for i in tl.static_range(1 << DEPTH):
        at = leaves + (kernel * (1 << DEPTH) + i) * 3
        row = tl.load(at + 1)
        column = tl.load(at + 2)
        found = found + (((tl.load(at) * HEIGHT + row) * WIDTH + column, row, column),)
    return found


@jit
def _tree_nodes(
    x: tl.tensor,
    leaves: tl.tensor,
    gates: tl.tensor,
    top: tl.tensor,
    left: tl.tensor,
    lane: tl.tensor,
    mask: tl.tensor,
    batch: tl.tensor,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
) -> tl.tuple:
    """Values of all nodes of a tree whose field is at (`top`, `left`), of all lanes or of each."""
    nodes = ()
    for i in tl.static_range(1 << DEPTH):
        place = (leaves[i][0] + (top * WIDTH + left)).to(tl.int64)
        inside = mask
        if PADDED:
            row = leaves[i][1] + top
            column = leaves[i][2] + left
            inside = mask & (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
        nodes = nodes + (tl.load(x + (place * batch + lane), mask=inside, other=0),)
    for gate in tl.static_range((1 << DEPTH) - 1):
        a = nodes[2 * gate]
        b = nodes[2 * gate + 1]
        c = gates[gate]
        nodes = nodes + ((a * c[3] + c[2]) * b + c[0] + a * c[1],)
    return nodes


@jit
def tree_forward(
    x: tl.tensor,
    coefficients: tl.tensor,
    leaves: tl.tensor,
    out: tl.tensor,
    winner: tl.tensor,
    n_kernels: tl.tensor,
    batch: tl.tensor,
    n_chunks: tl.tensor,
    WINDOWS: tl.constexpr,
    LANES: tl.constexpr,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE_R: tl.constexpr,
    STRIDE_C: tl.constexpr,
    PAD_R: tl.constexpr,
    PAD_C: tl.constexpr,
    WINDOW_R: tl.constexpr,
    WINDOW_C: tl.constexpr,
    POOL_STRIDE_R: tl.constexpr,
    POOL_STRIDE_C: tl.constexpr,
    POOL_PAD_R: tl.constexpr,
    POOL_PAD_C: tl.constexpr,
    POOLED_R: tl.constexpr,
    POOLED_C: tl.constexpr,
) -> None:
    """`out` (K*pooled, B) and uint8 `winner`: WINDOWS windows of one kernel, LANES samples.

    Places of a window are gone through by one loop, not unrolled, so that equal inputs give equal
    values at each place, and the first of them wins.
    """
    program = tl.program_id(0)
    first = (program % n_chunks) * WINDOWS
    kernel = (program // n_chunks) % n_kernels
    lane = (program // n_chunks // n_kernels) * LANES + tl.arange(0, LANES)
    mask = lane < batch
    fields = _tree_leaves(leaves, kernel, DEPTH, HEIGHT, WIDTH)
    gates = _tree_gates(coefficients, kernel, n_kernels, DEPTH)
    zero = tl.zeros((LANES,), tl.int32)
    n_pooled: tl.constexpr = POOLED_R * POOLED_C
    for number in range(tl.minimum(WINDOWS, n_pooled - first)):
        window = first + number
        best = tl.full((LANES,), float("-inf"), x.dtype.element_ty)
        won = tl.zeros((LANES,), tl.int32)
        for place in range(WINDOW_R * WINDOW_C):
            row = zero + window // POOLED_C * POOL_STRIDE_R - POOL_PAD_R + place // WINDOW_C
            column = zero + window % POOLED_C * POOL_STRIDE_C - POOL_PAD_C + place % WINDOW_C
            seen = mask
            if POOL_PAD_R + POOL_PAD_C > 0:
                seen = mask & (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
            nodes = _tree_nodes(
                x,
                fields,
                gates,
                row * STRIDE_R - PAD_R,
                column * STRIDE_C - PAD_C,
                lane,
                seen,
                batch,
                DEPTH,
                HEIGHT,
                WIDTH,
                PAD_R + PAD_C > 0,
            )
            value = tl.where(seen, nodes[2 * (1 << DEPTH) - 2], 0.0)
            better = (value > best) | (value != value)
            best = tl.where(better, value, best)
            won = tl.where(better, place, won)
        at = (kernel.to(tl.int64) * n_pooled + window) * batch
        tl.store(out + at + lane, best, mask=mask)
        tl.store(winner + at + lane, won.to(tl.uint8), mask=mask)


@jit
def tree_backward(
    grad: tl.tensor,
    x: tl.tensor,
    coefficients: tl.tensor,
    leaves: tl.tensor,
    winner: tl.tensor,
    grad_leaves: tl.tensor,
    partial: tl.tensor,
    first_kernel: tl.tensor,
    n_own: tl.tensor,
    n_kernels: tl.tensor,
    batch: tl.tensor,
    n_chunks: tl.tensor,
    NEED_X: tl.constexpr,
    WINDOWS: tl.constexpr,
    LANES: tl.constexpr,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE_R: tl.constexpr,
    STRIDE_C: tl.constexpr,
    PAD_R: tl.constexpr,
    PAD_C: tl.constexpr,
    WINDOW_R: tl.constexpr,
    WINDOW_C: tl.constexpr,
    POOL_STRIDE_R: tl.constexpr,
    POOL_STRIDE_C: tl.constexpr,
    POOL_PAD_R: tl.constexpr,
    POOL_PAD_C: tl.constexpr,
    POOLED_R: tl.constexpr,
    POOLED_C: tl.constexpr,
) -> None:
    """Gradients of the winners' trees: WINDOWS windows of one kernel, LANES samples.

    `partial` (blocks * chunks, K * (2**D - 1), 4) are sums for the coefficients; `grad_leaves`
    (n_own * 2**D * pooled, B) is what each leaf of the kernels from `first_kernel` on is to pass.
    """
    program = tl.program_id(0)
    chunk = program % n_chunks
    own = (program // n_chunks) % n_own
    block = program // n_chunks // n_own
    kernel = first_kernel + own
    lane = block * LANES + tl.arange(0, LANES)
    mask = lane < batch
    n_leaves: tl.constexpr = 1 << DEPTH
    n_pooled: tl.constexpr = POOLED_R * POOLED_C
    fields = _tree_leaves(leaves, kernel, DEPTH, HEIGHT, WIDTH)
    gates = _tree_gates(coefficients, kernel, n_kernels, DEPTH)
    sums = ()
    for _gate in tl.static_range(4 * (n_leaves - 1)):
        sums = sums + (tl.zeros((LANES,), x.dtype.element_ty),)
    for number in range(tl.minimum(WINDOWS, n_pooled - chunk * WINDOWS)):
        window = chunk * WINDOWS + number
        at = (kernel.to(tl.int64) * n_pooled + window) * batch
        won = tl.load(winner + at + lane, mask=mask, other=0).to(tl.int32)
        row = window // POOLED_C * POOL_STRIDE_R - POOL_PAD_R + won // WINDOW_C
        column = window % POOLED_C * POOL_STRIDE_C - POOL_PAD_C + won % WINDOW_C
        seen = mask
        if POOL_PAD_R + POOL_PAD_C > 0:
            seen = mask & (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
        nodes = _tree_nodes(
            x,
            fields,
            gates,
            row * STRIDE_R - PAD_R,
            column * STRIDE_C - PAD_C,
            lane,
            seen,
            batch,
            DEPTH,
            HEIGHT,
            WIDTH,
            PAD_R + PAD_C > 0,
        )
        grads = (tl.load(grad + at + lane, mask=seen, other=0),)
        added = ()
        for up in tl.static_range(n_leaves - 1):  # from the root down, so that grads[up] is known
            a = nodes[2 * (n_leaves - 2 - up)]
            b = nodes[2 * (n_leaves - 2 - up) + 1]
            c = gates[n_leaves - 2 - up]
            g = grads[up]
            added = (
                sums[4 * (n_leaves - 2 - up)] + g,
                sums[4 * (n_leaves - 2 - up) + 1] + g * a,
                sums[4 * (n_leaves - 2 - up) + 2] + g * b,
                sums[4 * (n_leaves - 2 - up) + 3] + g * a * b,
            ) + added
            grads = grads + (g * (c[3] * a + c[2]), g * (c[3] * b + c[1]))
        sums = added
        if NEED_X:
            for i in tl.static_range(n_leaves):
                to = ((own * n_leaves + i).to(tl.int64) * n_pooled + window) * batch
                tl.store(grad_leaves + to + lane, grads[2 * n_leaves - 2 - i], mask=mask)
    slice_row = (block * n_chunks + chunk).to(tl.int64) * n_kernels * (n_leaves - 1)
    for up in tl.static_range(DEPTH):
        for j in tl.static_range(1 << (DEPTH - 1 - up)):
            row_of_gate = n_kernels * (n_leaves - (1 << (DEPTH - up)))
            row_of_gate = slice_row + row_of_gate + kernel * (1 << (DEPTH - 1 - up)) + j
            for k in tl.static_range(4):
                total = tl.sum(sums[4 * (n_leaves - (1 << (DEPTH - up)) + j) + k], 0)
                tl.store(partial + row_of_gate * 4 + k, total)


@jit
def tree_gather(
    grad_leaves: tl.tensor,
    winner: tl.tensor,
    bounds: tl.tensor,
    readers: tl.tensor,
    grad_x: tl.tensor,
    first_kernel: tl.tensor,
    n_signals: tl.tensor,
    batch: tl.tensor,
    ADD: tl.constexpr,
    LANES: tl.constexpr,
    DEPTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE_R: tl.constexpr,
    STRIDE_C: tl.constexpr,
    PAD_R: tl.constexpr,
    PAD_C: tl.constexpr,
    WINDOW_R: tl.constexpr,
    WINDOW_C: tl.constexpr,
    POOL_STRIDE_R: tl.constexpr,
    POOL_STRIDE_C: tl.constexpr,
    POOL_PAD_R: tl.constexpr,
    POOL_PAD_C: tl.constexpr,
    POOLED_R: tl.constexpr,
    POOLED_C: tl.constexpr,
) -> None:
    """`grad_x` (C*H*W, B) from `grad_leaves` of `tree_backward`: one signal, LANES samples.

    Readers `bounds[c]` .. `bounds[c+1]` read channel c; `readers` (R, 3) int32 are the leaf
    (own kernel * 2**D + leaf), its row and its column in the field. With ADD, adds to `grad_x`.
    """
    program = tl.program_id(0)
    signal = program % n_signals
    lane = (program // n_signals) * LANES + tl.arange(0, LANES)
    mask = lane < batch
    channel = signal // (HEIGHT * WIDTH)
    zero = tl.zeros((LANES,), tl.int32)
    y = zero + signal // WIDTH % HEIGHT + PAD_R
    z = zero + signal % WIDTH + PAD_C
    to = grad_x + signal.to(tl.int64) * batch + lane
    total = tl.zeros((LANES,), grad_x.dtype.element_ty)
    if ADD:
        total = tl.load(to, mask=mask, other=0)
    n_pooled: tl.constexpr = POOLED_R * POOLED_C
    for reader in range(tl.load(bounds + channel), tl.load(bounds + channel + 1)):
        leaf = tl.load(readers + reader * 3)
        up = y - tl.load(readers + reader * 3 + 1)
        back = z - tl.load(readers + reader * 3 + 2)
        row = up // STRIDE_R
        column = back // STRIDE_C
        fits = (up >= 0) & (up % STRIDE_R == 0) & (row < ROWS)
        fits = fits & (back >= 0) & (back % STRIDE_C == 0) & (column < COLUMNS)
        base = (first_kernel + (leaf >> DEPTH)).to(tl.int64) * n_pooled
        for i in tl.static_range((WINDOW_R - 1) // POOL_STRIDE_R + 1):
            window_r = (row + POOL_PAD_R) // POOL_STRIDE_R - i
            place_r = row + POOL_PAD_R - window_r * POOL_STRIDE_R
            fits_r = fits & (window_r >= 0) & (window_r < POOLED_R) & (place_r < WINDOW_R)
            for j in tl.static_range((WINDOW_C - 1) // POOL_STRIDE_C + 1):
                window_c = (column + POOL_PAD_C) // POOL_STRIDE_C - j
                place_c = column + POOL_PAD_C - window_c * POOL_STRIDE_C
                fits_c = (window_c >= 0) & (window_c < POOLED_C) & (place_c < WINDOW_C)
                seen = mask & (fits_r & fits_c)
                window = window_r * POOLED_C + window_c
                won = tl.load(winner + (base + window) * batch + lane, mask=seen, other=255)
                chosen = seen & (won.to(tl.int32) == place_r * WINDOW_C + place_c)
                at = (leaf.to(tl.int64) * n_pooled + window) * batch
                total += tl.load(grad_leaves + at + lane, mask=chosen, other=0)
    tl.store(to, total, mask=mask)
