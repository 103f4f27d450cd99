"""The wiring of a difflogic model, drawn again from the seed under which it was built.

difflogic saves weights without wiring. Both were drawn one after the other from torch's global
generators: a layer of N gates over I inputs draws its weights, normal (N, 16), then its wiring,
``randperm(2 * N) % I`` as places in ``randperm(I)`` ("random"), or neighbours first and ever
farther pairs in the order of ``randperm(N)`` ("unique") [difflogic/difflogic.py and functional.py
of github.com/Felix-Petersen/difflogic]. The wiring comes from the CPU's generator always; weights
of a model on a GPU do not, and are not drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gate2hw.errors import InputError

__all__ = ["Connections", "Drawn", "draw_again"]

Connections: TypeAlias = Literal["random", "unique"]


@dataclass(frozen=True)
class Drawn:
    """`wiring` (N,) int64 under ``a_0, b_0, a_1, ..``; `weights` (N, 16) float32 by layer, at
    the start of training, none for a model built on a GPU."""

    wiring: dict[str, npt.NDArray[np.int64]]
    weights: tuple[npt.NDArray[np.float32], ...]


def _random(n_inputs: int, n_gates: int, generator: torch.Generator) -> Tensor:
    place = torch.randperm(2 * n_gates, generator=generator) % n_inputs
    return torch.randperm(n_inputs, generator=generator)[place].reshape(2, n_gates)


def _unique(n_inputs: int, n_gates: int, generator: torch.Generator) -> Tensor:
    # (2i, 2i + 1), then (2i + 1, 2i + 2), then all pairs at distance 2, 3, ..
    low = torch.arange(n_inputs - 1)
    blocks = [low[0::2], low[1::2]]
    distances, count, distance = [1, 1], len(low), 2
    while n_gates > count > distance:
        blocks.append(torch.arange(max(0, n_inputs - distance)))
        distances.append(distance)
        count += len(blocks[-1])
        distance += 1
    if count < n_gates:
        raise InputError(f"{n_inputs} inputs have no {n_gates} unique pairs: is the shape right?")
    a = torch.cat(blocks)[:n_gates]
    b = torch.cat([block + d for block, d in zip(blocks, distances, strict=True)])[:n_gates]
    return torch.stack([a, b])[:, torch.randperm(n_gates, generator=generator)]


def draw_again(
    n_inputs: int,
    widths: Sequence[int],
    *,
    seed: int,
    connections: Connections = "random",
    device: Literal["cpu", "cuda"] = "cpu",
    before: Sequence[int] = (),
) -> Drawn:
    """Draw layers of `widths` gates over `n_inputs` bits, as difflogic does after manual_seed.

    `before` are the sizes of permutations that were drawn between the seed and the model, such as
    that of ``random_split`` over a training set. torch's own generators are left alone.
    Raises InputError where difflogic refuses the sizes.
    """
    generator = torch.Generator().manual_seed(seed)
    for size in before:
        torch.randperm(size, generator=generator)
    wiring: dict[str, npt.NDArray[np.int64]] = {}
    weights = []
    draw = _random if connections == "random" else _unique
    for number, n_gates in enumerate(widths):
        if 2 * n_gates < n_inputs:
            raise InputError(
                f"layer {number} has {n_gates:,} gates, too few to read its {n_inputs:,} inputs: "
                "difflogic builds no such layer, is the [input] shape right?"
            )
        if device == "cpu":
            weights.append(torch.randn(n_gates, 16, generator=generator).numpy())
        pair = draw(n_inputs, n_gates, generator)
        wiring |= {
            f"{letter}_{number}": row.numpy() for letter, row in zip("ab", pair, strict=True)
        }
        n_inputs = n_gates
    return Drawn(wiring, tuple(weights))
