"""Shapes of the LogicTreeNet models (Petersen et al., NeurIPS 2024, arXiv 2411.04732, section 4).

Kernels are trees of depth 3 that read two channels of their field. CIFAR-10: four convolutions of
k, 4k, 16k and 32k kernels, 3 x 3 padded by 1, each followed by a 2 x 2 pool. MNIST: k kernels of
5 x 5, then 3k and 9k of 3 x 3, unpadded; pools 2 and 3 padded by 1. Both end in three dense layers
of 1280k, 640k and 320k neurons (twice that for CIFAR B and L) and ten classes.

Left out: the fixed edge detectors that CIFAR B, L and G add to their input, which is taken as the
31 thresholds of a 5-bit value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MODELS", "Model", "logictreenet"]


@dataclass(frozen=True)
class Model:
    """Data set, k, thresholds of each input channel, and the factor of the dense head."""

    dataset: str
    k: int
    thresholds: int
    head: int = 1


MODELS = {
    "MNIST S": Model("mnist", 16, 1),
    "MNIST M": Model("mnist", 64, 1),
    "MNIST L": Model("mnist", 256, 1),
    "CIFAR S": Model("cifar", 32, 3),
    "CIFAR M": Model("cifar", 256, 3),
    "CIFAR B": Model("cifar", 512, 31, 2),
    "CIFAR L": Model("cifar", 1024, 31, 2),
    "CIFAR G": Model("cifar", 2560, 31),
}

# kernels / k, side of the field, padding of the field, padding of the 2 x 2 pool
_CONVOLUTIONS = {
    "mnist": ((1, 5, 0, 0), (3, 3, 0, 1), (9, 3, 0, 1)),
    "cifar": ((1, 3, 1, 0), (4, 3, 1, 0), (16, 3, 1, 0), (32, 3, 1, 0)),
}
_INPUT = {"mnist": [1, 28, 28], "cifar": [3, 32, 32]}
_DEPTH, _CHANNELS, _DENSE, _CLASSES = 3, 2, (1280, 640, 320), 10


def logictreenet(model: Model) -> list[dict[str, Any]]:
    """The layers of a model, as `synthetic.draw` takes them."""
    shape: list[dict[str, Any]] = [
        {
            "op": "Thermometer",
            "name": "input",
            "input_shape": _INPUT[model.dataset],
            "thresholds": model.thresholds,
        }
    ]
    for number, (factor, side, pad, pool_pad) in enumerate(_CONVOLUTIONS[model.dataset], start=1):
        shape.append(
            {
                "op": "LogicConv",
                "name": f"conv{number}",
                "kernels": factor * model.k,
                "depth": _DEPTH,
                "channels": _CHANNELS,
                "field": [side, side],
                "stride": [1, 1],
                "padding": [pad, pad],
            }
        )
        shape.append(
            {
                "op": "OrPool",
                "name": f"pool{number}",
                "window": [2, 2],
                "stride": [2, 2],
                "padding": [pool_pad, pool_pad],
            }
        )
    for number, factor in enumerate(_DENSE, start=1):
        neurons = factor * model.k * model.head
        shape.append({"op": "LogicDense", "name": f"dense{number}", "neurons": neurons})
    shape.append({"op": "GroupSum", "name": "sum", "classes": _CLASSES})
    return shape
