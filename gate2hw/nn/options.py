"""The tables of a recipe that say how to train: every key with its default and range.

docs/training.md gives a line of advice and the source of each method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gate2hw.nn.encoding import ThresholdKind
from gate2hw.nn.gates import Estimator, Parametrisation
from gate2hw.nn.schedule import Schedule

__all__ = [
    "AreaSpec",
    "AugmentationSpec",
    "ConvWiring",
    "DenseWiring",
    "DistillationSpec",
    "GatesSpec",
    "ThermometerSpec",
    "TrainingSpec",
    "WiringSpec",
    "number",
]

ConvWiring = Literal["balanced", "random", "local", "top-k"]
DenseWiring = Literal["balanced", "random", "local", "top-k"]


def number(default: Any, low: float, high: float = float("inf"), *, open_low: bool = False) -> Any:
    """A dataclass field with its allowed range; `open_low` excludes the lower end."""
    return field(default=default, metadata={"low": low, "high": high, "open_low": open_low})


@dataclass(frozen=True)
class ThermometerSpec:
    """How many thresholds a channel gets, and how they are chosen.

    `thresholds` are those of every channel with ``kind = "fixed"``. With `learned` they are where
    training starts: `width` and `width_end` are the width of the sigmoid at the start and at the
    end, `learning_rate` the step of a threshold, all as shares of the range of values.
    """

    n_thresholds: int = number(3, 1, 255)
    kind: ThresholdKind = "uniform"
    thresholds: tuple[int, ...] = ()
    learned: bool = False
    width: float = number(0.05, 0, 1, open_low=True)
    width_end: float = number(0.005, 0, 1, open_low=True)
    learning_rate: float = number(0.002, 0, 1, open_low=True)


@dataclass(frozen=True)
class GatesSpec:
    """How gates are parametrised, started and relaxed; see `GateWeights`.

    The temperature goes from `temperature` to `temperature_end` (0: stays) in equal ratios. From
    the share `harden_at` of the steps on, gates compute hard, as with ``straight-through``; with
    `harden_until` layer by layer, evenly from the first at `harden_at` to the last at
    `harden_until` (0: all at once), so that soft layers learn from what hard ones give them.
    """

    parametrisation: Parametrisation = "inputwise"
    residual: float = number(0.9, 0.5, 0.999999, open_low=True)
    estimator: Estimator = "soft"
    temperature: float = number(1.0, 0.01, 100)
    temperature_end: float = number(0.0, 0, 100)
    harden_at: float = number(1.0, 0, 1, open_low=True)
    harden_until: float = number(0.0, 0, 1)


@dataclass(frozen=True)
class WiringSpec:
    """Settings of learned wiring, for the layers with ``wiring = "top-k"``; see `LearnedWiring`.

    `start` is the share of the first candidate at the start, `freeze_at` the share of the steps
    after which the wiring stays as it is.
    """

    estimator: Literal["soft", "straight-through"] = "soft"
    start: float = number(0.5, 0, 0.999, open_low=True)
    temperature: float = number(1.0, 0.01, 100)
    temperature_end: float = number(0.0, 0, 100)
    learning_rate: float = number(0.0, 0)
    freeze_at: float = number(0.9, 0, 1, open_low=True)


@dataclass(frozen=True)
class AugmentationSpec:
    """What is done to the training images, drawn anew for each; see `Augmentation`."""

    shift: int = number(0, 0)
    crop: int = number(0, 0)
    flip: bool = False


@dataclass(frozen=True)
class AreaSpec:
    """Training for small hardware, see `gate2hw.nn.area`; weight 0 switches it off.

    `weight` is what 1,000 LUTs may cost in cross-entropy. The weight rises linearly from 0 at
    `start` to full at `end`, as shares of the steps. The costs are in LUTs of the target: of a
    two-input gate, of one that heads a cone (read more than once, or counted) in addition, and of
    the adders for an output that is counted. The defaults are for LUTs of four inputs.
    """

    weight: float = number(0.0, 0, 1e6)
    start: float = number(0.1, 0, 1)
    end: float = number(0.4, 0, 1)
    luts_per_gate: float = number(0.27, 0, 100)
    luts_per_cone: float = number(0.62, 0, 100)
    luts_per_bit: float = number(1.45, 0, 100)


@dataclass(frozen=True)
class DistillationSpec:
    """Learning from a teacher; `teacher_logits` is a .npz, see `gate2hw.nn.distill`."""

    teacher_logits: str = ""
    alpha: float = number(0.5, 0, 1, open_low=True)
    temperature: float = number(2.0, 0.01, 1000)


@dataclass(frozen=True)
class TrainingSpec:
    """AdamW, a linear warm-up, then a schedule; threads 0 chooses one thread for small networks.

    `dtype` is of weights and activations in training; float64 is for comparisons.
    """

    steps: int = number(1500, 1)
    batch_size: int = number(128, 1)
    learning_rate: float = number(0.1, 0, open_low=True)
    schedule: Schedule = "cosine"
    warmup_steps: int = number(0, 0)
    beta1: float = number(0.9, 0, 0.999999)
    beta2: float = number(0.999, 0, 0.999999)
    weight_decay: float = number(0.0, 0)
    evaluate_every: int = number(50, 1)
    checkpoint_every: int = number(500, 1)
    threads: int = number(0, 0, 1024)
    dtype: Literal["float32", "float64"] = "float32"
