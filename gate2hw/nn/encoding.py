"""From integers to bits: the thermometer layer, and how its thresholds are chosen from data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError, nearest

__all__ = [
    "THRESHOLD_KINDS",
    "Thermometer",
    "ThresholdKind",
    "choose_thresholds",
    "fixed_thresholds",
]

Shape = tuple[int, ...]
ThresholdKind = Literal["uniform", "quantile", "fixed"]
THRESHOLD_KINDS: Final[tuple[ThresholdKind, ...]] = ("uniform", "quantile", "fixed")


def choose_thresholds(
    x: npt.NDArray[Any], n_thresholds: int, max_value: int, kind: ThresholdKind = "uniform"
) -> npt.NDArray[np.int32]:
    """(C or F, n_thresholds) int32, strictly rising, chosen from the training inputs `x` alone.

    `x` is (N, C, H, W) or (N, F) integers 0..max_value. ``uniform`` divides the range of a
    channel's values evenly, ``quantile`` its distribution; equal thresholds are moved apart.
    Raises InputError for an unknown kind or more thresholds than 0..max_value-1 holds.
    """
    if kind not in THRESHOLD_KINDS[:2]:
        raise InputError(
            f"unknown kind of thresholds {kind!r}; {nearest(kind, THRESHOLD_KINDS[:2])}"
        )
    if not 1 <= n_thresholds <= max_value:
        raise InputError(
            f"{n_thresholds} thresholds asked for, but values 0..{max_value} allow 1..{max_value}"
        )
    columns = np.moveaxis(np.asarray(x), 1, 0).reshape(x.shape[1], -1)
    share = np.arange(1, n_thresholds + 1) / (n_thresholds + 1)
    if kind == "uniform":
        low, high = columns.min(1, keepdims=True), columns.max(1, keepdims=True)
        raw = low + (high - low) * share
    else:
        raw = np.quantile(columns, share, axis=1).T
    thresholds = np.floor(raw).astype(np.int64)
    return _distinct(thresholds, max_value)


def _distinct(thresholds: npt.NDArray[np.int64], max_value: int) -> npt.NDArray[np.int32]:
    """(C, T) int32, strictly rising in 0..max_value-1, from (C, T) that rise or stay equal."""
    n_thresholds = thresholds.shape[1]
    result = np.maximum(thresholds, 0)
    for t in range(1, n_thresholds):
        result[:, t] = np.maximum(result[:, t], result[:, t - 1] + 1)
    room = max_value - n_thresholds + np.arange(n_thresholds)
    limited: npt.NDArray[np.int32] = np.minimum(result, room).astype(np.int32)
    return limited


def fixed_thresholds(
    thresholds: Sequence[int], n_channels: int, max_value: int
) -> npt.NDArray[np.int32]:
    """(n_channels, T) int32: the given thresholds for every channel.

    Raises InputError unless they rise strictly within 0..max_value-1.
    """
    given = np.array(thresholds, np.int64)
    if given.size == 0 or given.min() < 0 or given.max() >= max_value or (np.diff(given) < 1).any():
        raise InputError(
            f"thermometer.thresholds is {given.tolist()}; they must rise strictly within "
            f"0..{max_value - 1}"
        )
    return np.tile(given.astype(np.int32), (n_channels, 1))


class Thermometer(nn.Module):
    """(N, *input_shape) integers 0..max_value to bits [C*T*positions, N], bit = x > threshold.

    `thresholds` (C or F, T) are strictly rising integers in 0..max_value-1; channel c, threshold
    t becomes channel ``c*T + t``. `scale` and `offset` (C or F,) float64 say how a float feature
    was quantised, ``x = round((value - offset) * scale)``; `quantise` applies them.

    With `learned`, `raw` (C, T) float is trained in the range 0..1 of all values: in training, a
    bit is ``sigmoid((x / max_value - raw) / width)``, `raw` sorted (learned thresholding of WARP,
    arXiv 2602.03527). `thresholds` follow it whenever the mode becomes eval: rounded down, as
    ``x > t`` is ``x > floor(t)``, and moved apart where equal.
    Raises InputError for a wrong shape and for values that are no integers in 0..max_value.
    """

    def __init__(
        self,
        thresholds: npt.ArrayLike,
        input_shape: Shape,
        max_value: int,
        *,
        scale: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
        learned: bool = False,
        width: float = 0.05,
    ) -> None:
        super().__init__()
        self.input_shape: Shape = tuple(input_shape)
        self.max_value = int(max_value)
        self.thresholds: Tensor
        self.scale: Tensor | None
        self.offset: Tensor | None
        self.register_buffer("thresholds", torch.from_numpy(np.array(thresholds, np.int32)))
        for name, values in (("scale", scale), ("offset", offset)):
            array = None if values is None else torch.from_numpy(np.array(values, np.float64))
            self.register_buffer(name, array)
        self.width = width
        self.raw: nn.Parameter | None = None
        if learned:  # half a step up: the integer that rounding down gives back lies in the middle
            self.raw = nn.Parameter((self.thresholds.float() + 0.5) / self.max_value)
            self.register_load_state_dict_post_hook(_settle)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def settle(self) -> None:
        """Make `thresholds` the integers of the learned ones; without learning, do nothing.

        Raises InputError naming the first channel with a threshold that is not finite.
        """
        if self.raw is None:
            return
        values = self.raw.detach().cpu().double().numpy()
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"thermometer, channel {bad[0, 0]}: a learned threshold is not finite; "
                "train again with a lower thermometer.learning_rate"
            )
        floors = np.floor(np.sort(np.clip(values, 0, 1), axis=1) * self.max_value)
        integers = torch.from_numpy(_distinct(floors.astype(np.int64), self.max_value))
        self.thresholds.copy_(integers)

    def train(self, mode: bool = True) -> Thermometer:
        """Choose the mode; to eval, learned thresholds become integers."""
        if not mode:
            self.settle()
        super().train(mode)
        return self

    @property
    def output_shape(self) -> Shape:
        """(C*T, H, W) or (F*T,)."""
        return (self.thresholds.numel(), *self.input_shape[1:])

    def extra_repr(self) -> str:
        """What print(model) shows."""
        n_thresholds = self.thresholds.shape[1]
        return f"{self.input_shape}, {n_thresholds} thresholds, 0..{self.max_value}"

    def quantise(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """(N, *input_shape) raw values to the integers the model reads, clipped to its range."""
        array = np.asarray(values, np.float64)
        if self.scale is not None and self.offset is not None:
            column = (-1, *[1] * (len(self.input_shape) - 1))
            offset = self.offset.cpu().numpy().reshape(column)
            array = (array - offset) * self.scale.cpu().numpy().reshape(column)
        return np.clip(np.rint(array), 0, self.max_value).astype(np.int64)

    def check(self, x: Tensor) -> None:
        """Raise InputError where `x` is no (N, *input_shape) of integers in 0..max_value."""
        if tuple(x.shape[1:]) != self.input_shape or x.ndim < 1:
            raise InputError(
                f"input has shape {tuple(x.shape)}, expected (N, "
                f"{', '.join(map(str, self.input_shape))})"
            )
        if x.numel() == 0:
            return
        if x.is_floating_point() and not bool((x == x.round()).all()):
            bad = x[x != x.round()][0].item()
            raise InputError(
                f"input holds {bad}, which is no integer; quantise to 0..{self.max_value} first"
            )
        low, high = (int(v) for v in torch.aminmax(x))
        if low < 0 or high > self.max_value:
            bad = low if low < 0 else high
            raise InputError(f"input holds the value {bad}; allowed are 0..{self.max_value}")

    def forward(self, x: Tensor) -> Tensor:
        """(N, *input_shape) to [C*T*positions, N]: int8 in eval mode, else the default float."""
        self.check(x)
        channels, n_thresholds = self.thresholds.shape
        values = x.reshape(x.shape[0], channels, 1, -1).permute(1, 2, 3, 0)
        if self.raw is not None and self.training:
            share = values.to(self.raw.dtype) / self.max_value
            rising = self.raw.sort(1).values.view(channels, -1, 1, 1)
            soft = torch.sigmoid((share - rising) / self.width)
            return soft.reshape(-1, x.shape[0])
        bits = values.to(torch.int32) > self.thresholds.view(channels, n_thresholds, 1, 1)
        dtype = torch.get_default_dtype() if self.training else torch.int8
        return bits.to(dtype).reshape(-1, x.shape[0])


def _settle(module: nn.Module, _: object) -> None:
    """Hook: the integers follow the thresholds that were loaded."""
    assert isinstance(module, Thermometer)
    module.settle()
