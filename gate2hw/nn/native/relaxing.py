"""The C kernels of the softmax over the 16 functions: from logits to coefficients in one pass."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from gate2hw.errors import InputError
from gate2hw.nn import native

__all__ = ["relax_backward", "relax_forward"]


class _Relax(ctypes.Structure):
    """struct relax of kernels.h."""

    _fields_ = (
        ("n_gates", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("logits", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("grad_logits", ctypes.c_void_p),
    )


def _relax(logits: Tensor, temperature: float) -> _Relax:
    if logits.ndim != 2 or logits.shape[1] != 16:
        raise InputError(f"logits are of shape {tuple(logits.shape)}, expected (n, 16)")
    return _Relax(n_gates=len(logits), scale=1 / temperature, logits=logits.data_ptr())


def relax_forward(logits: Tensor, temperature: float) -> Tensor:
    """See `ops.softmax_coefficients`; contiguous tensors of float32 or float64."""
    given = _relax(logits, temperature)
    coefficients = logits.new_empty(len(logits), 4)
    given.coefficients = coefficients.data_ptr()
    native.call("relax", given, logits, torch.get_num_threads())
    return coefficients


def relax_backward(grad: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """The gradient of the logits from that of the coefficients (n, 4); contiguous tensors."""
    given = _relax(logits, temperature)
    if grad.shape != (len(logits), 4) or grad.dtype != logits.dtype:
        raise InputError(f"gradients are {grad.dtype} of shape {tuple(grad.shape)}")
    grad_logits = torch.empty_like(logits)
    if len(logits):
        given.grad, given.grad_logits = grad.data_ptr(), grad_logits.data_ptr()
        native.call("relax", given, logits, torch.get_num_threads())
    return grad_logits
