"""What a training leaves behind: its figures, and the golden vectors of the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden
from gate2hw.nn.data import smallest_dtype
from gate2hw.nn.model import LogicModel

__all__ = ["TrainResult", "accuracy", "golden_of"]


@dataclass(frozen=True)
class TrainResult:
    """Where the files are and what was measured; accuracies are fractions 0..1.

    `accuracy` is of the discrete network on the test split, `accuracy_soft` of the relaxed one
    there, `accuracy_validation` of the discrete one on the validation split it was chosen by.
    """

    model_path: Path
    golden_path: Path
    accuracy: float
    accuracy_soft: float
    accuracy_validation: float
    n_test: int
    time_s: float
    history_path: Path


def accuracy(scores: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> float:
    """Share of (N, C) scores whose highest (ties: lowest index) is the label (N,)."""
    return float(np.mean(np.argmax(scores, axis=1) == y))


def golden_of(
    model: LogicModel,
    network: LogicNetwork,
    x: npt.NDArray[Any],
    y: npt.NDArray[np.int64],
) -> Golden:
    """What `model` says in eval mode on (N, *shape) inputs, bound to the digest of `network`."""
    scores = model.scores(x)
    return Golden(
        x.astype(smallest_dtype(model.thermometer.max_value)),
        y,
        scores,
        np.argmax(scores, axis=1).astype(np.int64),
        network.digest,
        network.class_names,
        {"dataset": network.dataset},
    )
