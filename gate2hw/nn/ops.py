"""The hot operations as torch operators: gradients, torch.compile, one implementation a device.

`gate2hw::logic_dense` and `gate2hw::logic_tree`, with operators of their own for the gradients.
On a processor the C kernels of `native` serve, or plain torch (`kernels`) where they are not
built; on CUDA those of `triton_kernels`, or plain torch where Triton is missing. On a processor
the same input gives the same result, bit for bit, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gate2hw.errors import InputError
from gate2hw.nn import kernels, native
from gate2hw.nn.kernels import TreeGeometry
from gate2hw.nn.native import mixing

__all__ = ["logic_dense", "logic_tree", "pair_gates"]

_LIBRARY = torch.library.Library("gate2hw", "DEF")  # type: ignore[no-untyped-call]
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
)
for _schema in _SCHEMAS:
    _LIBRARY.define(_schema)  # type: ignore[no-untyped-call]


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
    grad_x, grad_coefficients = torch.ops.gate2hw.logic_dense_backward(
        grad, *ctx.saved_tensors, need_x
    )
    return grad_x if need_x else None, grad_coefficients, None, None


def _mix_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
    need_x = ctx.needs_input_grad[0]
    grad_x, grad_shares = torch.ops.gate2hw.logic_mix_backward(grad, *ctx.saved_tensors, need_x)
    return grad_x if need_x else None, grad_shares, None


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
    grad_x, grad_coefficients = torch.ops.gate2hw.logic_tree_backward(
        grad, *ctx.saved_tensors, ctx.geometry, need_x
    )
    return grad_x if need_x else None, grad_coefficients, None, None


def _register(
    name: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    devices: Sequence[str] = ("CPU", "CUDA"),
) -> None:
    for device in devices:
        _LIBRARY.impl(name, run, device)  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"gate2hw::{name}", fake, lib=_LIBRARY)


_register("logic_dense", _dense, _fake_dense)
_register("logic_dense_backward", _dense_backward, _fake_dense_backward)
_register("logic_tree", _tree, _fake_tree)
_register("logic_tree_backward", _tree_backward, _fake_tree_backward)
_register("logic_mix", _mix, _fake_mix, ("CPU",))
_register("logic_mix_backward", _mix_backward, _fake_mix_backward, ("CPU",))
torch.library.register_autograd(
    "gate2hw::logic_mix", _mix_gradients, setup_context=_save_dense, lib=_LIBRARY
)
torch.library.register_autograd(
    "gate2hw::logic_dense", _dense_gradients, setup_context=_save_dense, lib=_LIBRARY
)
torch.library.register_autograd(
    "gate2hw::logic_tree", _tree_gradients, setup_context=_save_tree, lib=_LIBRARY
)


def _check(what: str, x: Tensor, coefficients: Tensor) -> None:
    if x.dtype not in (torch.float32, torch.float64) or coefficients.dtype != x.dtype:
        raise InputError(
            f"{what}: signals are {x.dtype} and coefficients {coefficients.dtype}; both must be "
            "float32, or both float64 (turn autocast off around logic layers)"
        )


def logic_dense(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """Gates that read two rows of `x` each: (F, B) signals to (n, B).

    `coefficients` (n, 4) has the dtype of `x`, float32 or float64; `in0`, `in1` (n,) int64 are
    row numbers. Differentiable in `x` and `coefficients`. Nothing but its arguments is kept for
    backward. Raises InputError for other dtypes and for rows outside `x`.
    """
    _check("logic_dense", x, coefficients)
    result: Tensor = torch.ops.gate2hw.logic_dense(x, coefficients, in0, in1)
    return result


def logic_tree(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Trees of gates over a field, at each position, then OR as max over windows of positions.

    `x` is (C*H*W, B); `coefficients` (K * (2**D - 1), 4), level after level, has its dtype,
    float32 or float64; `leaves` (K, 2**D, 3) int32 are (channel, row, column) in the field;
    `geometry` is a `TreeGeometry`. Gives (K * windows, B) and, uint8, which place of each window
    won, the first of equals: it alone gets gradient. Padding is 0 in both.
    Raises InputError for other dtypes and for leaves outside the field.
    """
    _check("logic_tree", x, coefficients)
    out, winner = torch.ops.gate2hw.logic_tree(x, coefficients, leaves, list(geometry))
    return out, winner


def logic_mix(x: Tensor, shares: Tensor, places: Tensor) -> Tensor:
    """Weighted sums of rows: (F, B) signals to (m*P, B), for P positions of each of m inputs.

    `shares` (m, K) has the dtype of `x`, float32 or float64; `places` (m*P, K) int64 are row
    numbers, the P positions of an input side by side. Differentiable in `x` and `shares`.
    Raises InputError for other dtypes and for rows outside `x`.
    """
    _check("logic_mix", x, shares)
    if x.device.type == "cpu" and native.kernels_in_use() == "c":
        result: Tensor = torch.ops.gate2hw.logic_mix(x, shares, places)
        return result
    n_positions = len(places) // len(shares)
    repeated = shares if n_positions == 1 else shares.repeat_interleave(n_positions, 0)
    return torch.nn.functional.embedding_bag(places, x, mode="sum", per_sample_weights=repeated)


@lru_cache(maxsize=64)
def _pairs(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    even = torch.arange(0, 2 * n, 2, device=device)
    return even, even + 1


def pair_gates(x: Tensor, coefficients: Tensor) -> Tensor:
    """Gates that read neighbouring rows: (2n, S) to (n, S), gate j reads rows 2j and 2j+1."""
    return logic_dense(x, coefficients, *_pairs(len(coefficients), x.device))
