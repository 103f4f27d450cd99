"""How an operator of `ops` is registered with torch, and called without what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

__all__ = ["backward_of", "define", "operator"]

_LIBRARY = torch.library.Library("gate2hw", "DEF")  # type: ignore[no-untyped-call]
_PLAIN: Final = frozenset({Tensor, torch.nn.Parameter, list, float})
"""Types of arguments that are what they seem."""


def define(schemas: Iterable[str]) -> None:
    """Give the operators their names and arguments."""
    for schema in schemas:
        _LIBRARY.define(schema)  # type: ignore[no-untyped-call]


def backward_of(ctx: Any, name: str) -> Callable[..., Any]:
    """What computes the gradients: the operator, or in eager mode the function behind it."""
    direct: Callable[..., Any] | None = getattr(ctx, "direct", None)
    return direct or getattr(torch.ops.gate2hw, name)


def _register(
    name: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    devices: Sequence[str] = ("CPU", "CUDA"),
) -> None:
    for device in devices:
        _LIBRARY.impl(name, run, device)  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"gate2hw::{name}", fake, lib=_LIBRARY)


def _no_second_derivative(ctx: Any, *grads: Tensor | None) -> None:
    raise NotImplementedError("logic layers have no second derivative (create_graph=True)")


def operator(
    name: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    backward: tuple[Callable[..., Any], Callable[..., Any]],
    save: Callable[..., None],
    gradients: Callable[..., Any],
    devices: Sequence[str] = ("CPU", "CUDA"),
) -> Callable[..., Any]:
    """Register an operator and, with its fake, the one of its gradients; what calls the first.

    In eager mode an autograd function goes around the dispatcher, which in Python takes as long as
    the kernels of a small layer do; while torch traces, and for other tensors, the operator serves.
    """
    direct, fake_backward = backward
    _register(name, run, fake, devices)
    _register(f"{name}_backward", direct, fake_backward, devices)
    for called, function, setup in (
        (name, gradients, save),
        (f"{name}_backward", _no_second_derivative, None),
    ):
        torch.library.register_autograd(
            f"gate2hw::{called}", function, setup_context=setup, lib=_LIBRARY
        )

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.direct = direct
            output = run(*inputs)
            save(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Tensor | None) -> Any:
            if torch.is_grad_enabled():  # create_graph: the operator knows what to say
                ctx.direct = None
            return gradients(ctx, *grads)

    traced = getattr(torch.ops.gate2hw, name)

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling() or any(type(each) not in _PLAIN for each in inputs):
            return traced(*inputs)
        return Eager.apply(*inputs)  # type: ignore[no-untyped-call]

    return call
