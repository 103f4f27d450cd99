"""The C kernels of learned wiring: rows that are weighted sums of rows."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from gate2hw.errors import InputError
from gate2hw.nn import native
from gate2hw.nn.readers import Wiring, known_wiring

__all__ = ["mix_backward", "mix_forward"]


class _Mix(ctypes.Structure):
    """struct mix of kernels.h."""

    _fields_ = (
        ("n_signals", ctypes.c_int64),
        ("n_inputs", ctypes.c_int64),
        ("n_positions", ctypes.c_int64),
        ("n_candidates", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("shares", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("reader_ptr", ctypes.c_void_p),
        ("reader", ctypes.c_void_p),
        ("grad_x", ctypes.c_void_p),
        ("grad_shares", ctypes.c_void_p),
    )


def _mix(x: Tensor, shares: Tensor, places: Tensor) -> tuple[_Mix, Wiring]:
    n_inputs, n_candidates = shares.shape
    n_rows = len(places)
    if (
        shares.dtype != x.dtype
        or places.dtype != torch.int64
        or places.shape[1:] != shares.shape[1:]
        or (n_rows % n_inputs if n_inputs else n_rows)
    ):
        raise InputError(
            f"places are {places.dtype} of shape {tuple(places.shape)}, which do not go with "
            f"shares of shape {tuple(shares.shape)}"
        )
    given = _Mix(
        n_signals=len(x),
        n_inputs=n_inputs,
        n_positions=n_rows // n_inputs if n_inputs else 0,
        n_candidates=n_candidates,
        batch=x.shape[1],
        x=x.data_ptr(),
        shares=shares.data_ptr(),
        places=places.data_ptr(),
    )
    return given, known_wiring("candidates point", (places,), len(x))


def mix_forward(x: Tensor, shares: Tensor, places: Tensor) -> Tensor:
    """Weighted sums of rows: see `ops.logic_mix`; contiguous tensors of float32 or float64."""
    given, _ = _mix(x, shares, places)
    out = x.new_empty(len(places), x.shape[1])
    given.out = out.data_ptr()
    native.call("mix_forward", given, x, torch.get_num_threads())
    return out


def mix_backward(
    grad: Tensor, x: Tensor, shares: Tensor, places: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of `x` (empty where not needed) and `shares`; contiguous tensors."""
    given, wiring = _mix(x, shares, places)
    if grad.shape != (len(places), x.shape[1]) or grad.dtype != x.dtype:
        raise InputError(f"gradients are {grad.dtype} of shape {tuple(grad.shape)}")
    grad_shares, grad_x = torch.empty_like(shares), x.new_empty(0)
    given.grad, given.grad_shares = grad.data_ptr(), grad_shares.data_ptr()
    if need_x:
        reader_ptr, reader = wiring.readers
        grad_x = torch.empty_like(x)
        given.grad_x = grad_x.data_ptr()
        given.reader_ptr, given.reader = reader_ptr.data_ptr(), reader.data_ptr()
    native.call("mix_backward", given, x, torch.get_num_threads())
    return grad_x, grad_shares
