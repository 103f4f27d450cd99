"""The hot operations as torch operators: gradients, torch.compile, one implementation a device.

`gate2hw::logic_dense` and `gate2hw::logic_tree`, with operators of their own for the gradients.
On a processor the C kernels of `native` serve, or plain torch (`kernels`) where they are not
built; on CUDA those of `triton_kernels`, or plain torch where Triton is missing. The C kernels give
the same result for the same input, bit for bit, whatever the number of threads. There is no second
derivative: where one is asked for, an error says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from gate2hw.errors import InputError
from gate2hw.nn import kernels, native
from gate2hw.nn.kernels import MOST_PLACES, TreeGeometry
from gate2hw.nn.native import mixing, relaxing
from gate2hw.nn.operators import backward_of, define, operator

__all__ = ["logic_dense", "logic_tree", "pair_gates", "softmax_coefficients"]

_MOST_PAIRS: Final = 64
_SCHEMAS = (
    "logic_dense(Tensor x, Tensor coefficients, Tensor in0, Tensor in1) -> Tensor",
    "logic_dense_backward(Tensor grad, Tensor x, Tensor coefficients, Tensor in0, Tensor in1, "
    "bool need_x) -> (Tensor, Tensor)",
    "logic_tree(Tensor x, Tensor coefficients, Tensor leaves, int[] geometry) -> (Tensor, Tensor)",
    "logic_tree_backward(Tensor grad, Tensor x, Tensor coefficients, Tensor leaves, "
    "Tensor winner, int[] geometry, bool need_x) -> (Tensor, Tensor)",
    "logic_mix(Tensor x, Tensor shares, Tensor places) -> Tensor",
    "logic_mix_backward(Tensor grad, Tensor x, Tensor shares, Tensor places, bool need_x) "
    "-> (Tensor, Tensor)",
    "softmax_coefficients(Tensor logits, float temperature) -> Tensor",
    "softmax_coefficients_backward(Tensor grad, Tensor logits, float temperature) -> Tensor",
)
define(_SCHEMAS)


@cache
def _triton() -> ModuleType:
    """The kernels of a GPU: Triton's, else plain torch."""
    try:
        return import_module("gate2hw.nn.triton_kernels")
    except ImportError:
        return kernels


def _module(device: torch.device) -> Any:
    if device.type == "cpu":
        return native if native.kernels_in_use() == "c" else kernels
    return _triton()


def _dense(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    run = _module(x.device).dense_forward
    result: Tensor = run(
        x.contiguous(), coefficients.contiguous(), in0.contiguous(), in1.contiguous()
    )
    return result


def _dense_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    given = (t.contiguous() for t in (grad, x, coefficients, in0, in1))
    result: tuple[Tensor, Tensor] = _module(x.device).dense_backward(*given, need_x)
    return result


def _tree(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: Sequence[int]
) -> tuple[Tensor, Tensor]:
    given = (t.contiguous() for t in (x, coefficients, leaves))
    result: tuple[Tensor, Tensor] = _module(x.device).tree_forward(*given, TreeGeometry(*geometry))
    return result


def _tree_backward(
    grad: Tensor,
    x: Tensor,
    coefficients: Tensor,
    leaves: Tensor,
    winner: Tensor,
    geometry: Sequence[int],
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    given = (t.contiguous() for t in (grad, x, coefficients, leaves, winner))
    run = _module(x.device).tree_backward
    result: tuple[Tensor, Tensor] = run(*given, TreeGeometry(*geometry), need_x)
    return result


def _mix(x: Tensor, shares: Tensor, places: Tensor) -> Tensor:
    return mixing.mix_forward(x.contiguous(), shares.contiguous(), places.contiguous())


def _mix_backward(
    grad: Tensor, x: Tensor, shares: Tensor, places: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    grad, x, shares, places = (t.contiguous() for t in (grad, x, shares, places))
    return mixing.mix_backward(grad, x, shares, places, need_x)


def _relax(logits: Tensor, temperature: float) -> Tensor:
    return relaxing.relax_forward(logits.contiguous(), temperature)


def _relax_backward(grad: Tensor, logits: Tensor, temperature: float) -> Tensor:
    return relaxing.relax_backward(grad.contiguous(), logits.contiguous(), temperature)


def _fake_relax(logits: Tensor, temperature: float) -> Tensor:
    return logits.new_empty(logits.shape[0], 4)


def _fake_relax_backward(grad: Tensor, logits: Tensor, temperature: float) -> Tensor:
    return logits.new_empty(logits.shape)


def _fake_mix(x: Tensor, shares: Tensor, places: Tensor) -> Tensor:
    return x.new_empty(places.shape[0], x.shape[1])


def _fake_mix_backward(
    grad: Tensor, x: Tensor, shares: Tensor, places: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    return _fake_gradients(x, shares, need_x)


def _fake_dense(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    return x.new_empty(coefficients.shape[0], x.shape[1])


def _fake_gradients(x: Tensor, coefficients: Tensor, need_x: bool) -> tuple[Tensor, Tensor]:
    grad_x = x.new_empty(x.shape) if need_x else x.new_empty(0)
    return grad_x, coefficients.new_empty(coefficients.shape)


def _fake_dense_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    return _fake_gradients(x, coefficients, need_x)


def _fake_tree(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: Sequence[int]
) -> tuple[Tensor, Tensor]:
    out = x.new_empty(leaves.shape[0] * TreeGeometry(*geometry).pooled, x.shape[1])
    return out, out.new_empty(out.shape, dtype=torch.uint8)


def _fake_tree_backward(
    grad: Tensor,
    x: Tensor,
    coefficients: Tensor,
    leaves: Tensor,
    winner: Tensor,
    geometry: Sequence[int],
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    return _fake_gradients(x, coefficients, need_x)


def _save_dense(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _dense_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
    need_x = ctx.needs_input_grad[0]
    run = backward_of(ctx, "logic_dense_backward")
    grad_x, grad_coefficients = run(grad, *ctx.saved_tensors, need_x)
    return grad_x if need_x else None, grad_coefficients, None, None


def _mix_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
    need_x = ctx.needs_input_grad[0]
    run = backward_of(ctx, "logic_mix_backward")
    grad_x, grad_shares = run(grad, *ctx.saved_tensors, need_x)
    return grad_x if need_x else None, grad_shares, None


def _save_relax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, ctx.temperature = inputs
    ctx.save_for_backward(logits)


def _relax_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    run = backward_of(ctx, "softmax_coefficients_backward")
    return run(grad, *ctx.saved_tensors, ctx.temperature), None


def _save_tree(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, coefficients, leaves, ctx.geometry = inputs
    ctx.save_for_backward(x, coefficients, leaves, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _tree_gradients(
    ctx: Any, grad: Tensor | None, _: Any
) -> tuple[Tensor | None, Tensor | None, None, None]:
    if grad is None:
        return None, None, None, None
    need_x = ctx.needs_input_grad[0]
    run = backward_of(ctx, "logic_tree_backward")
    grad_x, grad_coefficients = run(grad, *ctx.saved_tensors, ctx.geometry, need_x)
    return grad_x if need_x else None, grad_coefficients, None, None


_logic_dense = operator(
    "logic_dense",
    _dense,
    _fake_dense,
    (_dense_backward, _fake_dense_backward),
    _save_dense,
    _dense_gradients,
)
_logic_tree = operator(
    "logic_tree",
    _tree,
    _fake_tree,
    (_tree_backward, _fake_tree_backward),
    _save_tree,
    _tree_gradients,
)
_logic_mix = operator(
    "logic_mix",
    _mix,
    _fake_mix,
    (_mix_backward, _fake_mix_backward),
    _save_dense,
    _mix_gradients,
    ("CPU",),
)
_softmax_coefficients = operator(
    "softmax_coefficients",
    _relax,
    _fake_relax,
    (_relax_backward, _fake_relax_backward),
    _save_relax,
    _relax_gradients,
    ("CPU",),
)


def _check(what: str, x: Tensor, coefficients: Tensor) -> None:
    if x.dtype not in (torch.float32, torch.float64) or coefficients.dtype != x.dtype:
        raise InputError(
            f"{what}: signals are {x.dtype} and coefficients {coefficients.dtype}; both must be "
            "float32, or both float64 (turn autocast off around logic layers)"
        )


def _check_trees(coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry) -> None:
    shape, n_places = tuple(leaves.shape), geometry.window_rows * geometry.window_columns
    if len(shape) != 3 or shape[0] < 1 or shape[1] < 2 or shape[1] & (shape[1] - 1):
        raise InputError(
            f"logic_tree: leaves are of shape {shape}; expected (K, 2**D, 3) with at least one "
            "tree and one level"
        )
    if len(coefficients) != shape[0] * (shape[1] - 1):
        raise InputError(
            f"logic_tree: there are coefficients of {len(coefficients)} gates, but {shape[0]} "
            f"trees of {shape[1]} leaves have {shape[0] * (shape[1] - 1)}"
        )
    if n_places > MOST_PLACES:
        raise InputError(
            f"logic_tree: a window of {n_places} places, allowed are {MOST_PLACES}; pool on its own"
        )


def logic_dense(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """Gates that read two rows of `x` each: (F, B) signals to (n, B).

    `coefficients` (n, 4) has the dtype of `x`, float32 or float64; `in0`, `in1` (n,) int64 are
    row numbers. Differentiable in `x` and `coefficients`. Nothing but its arguments is kept for
    backward. Raises InputError for other dtypes, and for rows outside `x` where C or Triton serve
    (plain torch has errors of its own for that). On a GPU, rows changed through `.data` or memory
    shared with numpy go unnoticed; change them in place or give other tensors.
    """
    _check("logic_dense", x, coefficients)
    result: Tensor = _logic_dense(x, coefficients, in0, in1)
    return result


def logic_tree(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Trees of gates over a field, at each position, then OR as max over windows of positions.

    `x` is (C*H*W, B); `coefficients` (K * (2**D - 1), 4), level after level, has its dtype,
    float32 or float64; `leaves` (K, 2**D, 3) int32 are (channel, row, column) in the field;
    `geometry` is a `TreeGeometry`. Gives (K * windows, B) and, uint8, which place of each window
    won, the first of equals: it alone gets gradient. Padding is 0 in both.
    Raises InputError for other dtypes, no trees, trees that are not whole, windows of more than
    256 places, and for leaves outside the field where C or Triton serve (see `logic_dense`).
    """
    _check("logic_tree", x, coefficients)
    _check_trees(coefficients, leaves, TreeGeometry(*geometry))
    out, winner = _logic_tree(x, coefficients, leaves, list(geometry))
    return out, winner


def logic_mix(x: Tensor, shares: Tensor, places: Tensor) -> Tensor:
    """Weighted sums of rows: (F, B) signals to (m*P, B), for P positions of each of m inputs.

    `shares` (m, K) has the dtype of `x`, float32 or float64; `places` (m*P, K) int64 are row
    numbers, the P positions of an input side by side. Differentiable in `x` and `shares`.
    Raises InputError for other dtypes, and for rows outside `x` where C serves.
    """
    _check("logic_mix", x, shares)
    if x.device.type == "cpu" and native.kernels_in_use() == "c":
        result: Tensor = _logic_mix(x, shares, places)
        return result
    n_positions = len(places) // max(1, len(shares))
    repeated = shares if n_positions == 1 else shares.repeat_interleave(n_positions, 0)
    return torch.nn.functional.embedding_bag(places, x, mode="sum", per_sample_weights=repeated)


def softmax_coefficients(logits: Tensor, matrix: Tensor, temperature: float = 1.0) -> Tensor:
    """(n, 16) logits of the functions to (n, 4) coefficients: ``softmax(logits / T) @ matrix``.

    `matrix` (16, 4) has the coefficients of each function (`gates.COEFFICIENTS`, which the C
    kernel knows). Differentiable in `logits`.
    """
    known = logits.dtype in (torch.float32, torch.float64) and logits.device.type == "cpu"
    if known and native.kernels_in_use() == "c":
        result: Tensor = _softmax_coefficients(logits, temperature)
        return result
    return torch.softmax(logits if temperature == 1.0 else logits / temperature, 1) @ matrix


_PAIRS: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}


def _pairs(n: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the even and the odd rows of `x`, kept where they are real ones for good.

    Not so while torch traces: fake numbers would be taken for real ones later.
    """
    is_plain = type(x) is Tensor and not torch.compiler.is_compiling()
    key = (n, x.device)
    if is_plain and key in _PAIRS:
        return _PAIRS[key]
    with torch.inference_mode(False):
        even = torch.arange(0, 2 * n, 2, device=x.device)
        pairs = even, even + 1
    if is_plain:
        if len(_PAIRS) >= _MOST_PAIRS:
            del _PAIRS[next(iter(_PAIRS))]
        _PAIRS[key] = pairs
    return pairs


def pair_gates(x: Tensor, coefficients: Tensor) -> Tensor:
    """Gates that read neighbouring rows: (2n, S) to (n, S), gate j reads rows 2j and 2j+1."""
    return logic_dense(x, coefficients, *_pairs(len(coefficients), x))
