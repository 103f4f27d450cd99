"""LogicModel: a chain of layers, Thermometer first and GroupSum last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.ir.simulate import classes
from gate2hw.nn.gates import without_noise
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d, Thermometer
from gate2hw.nn.methods import configure_gates
from gate2hw.nn.recipe import ConvSpec, DenseSpec, PoolSpec, Recipe
from gate2hw.nn.topk import LearnedWiring
from gate2hw.nn.wiring import (
    balanced_rows,
    candidate_leaves,
    local_leaves,
    local_pairs,
    random_leaves,
    random_pairs,
)

__all__ = ["LogicModel", "build_model"]

_PREFIX: dict[type[nn.Module], str] = {
    Thermometer: "thermometer",
    LogicConv2d: "conv",
    OrPool2d: "pool",
    LogicDense: "dense",
    GroupSum: "group_sum",
}
_CHUNK_SAMPLES = 1024


def _fuses(layer: nn.Module | None) -> bool:
    """Whether `layer` is a pool that nobody watches: hooks need it called by itself."""
    return isinstance(layer, OrPool2d) and not (layer._forward_hooks or layer._forward_pre_hooks)


class LogicModel(nn.Sequential):
    """An `nn.Sequential` from model inputs (N, *shape) to scores (N, C).

    ``train()``: relaxed, float scores divided by tau. ``eval()``: the discrete network, int64
    popcounts. Layers are named by kind and number (``conv1``, ``dense2``). Raises InputError
    where the layers are no chain from a Thermometer to a GroupSum of matching shapes.
    """

    thermometer: Thermometer
    group_sum: GroupSum

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        named: OrderedDict[str, nn.Module] = OrderedDict()
        counts: dict[str, int] = {}
        for layer in layers:
            prefix = _PREFIX.get(type(layer))
            if prefix is None:
                raise InputError(
                    f"a LogicModel cannot hold a {type(layer).__name__}; "
                    f"allowed: {', '.join(kind.__name__ for kind in _PREFIX)}"
                )
            counts[prefix] = counts.get(prefix, 0) + 1
            numbered = isinstance(layer, LogicConv2d | OrPool2d | LogicDense)
            named[f"{prefix}{counts[prefix]}" if numbered else prefix] = layer
        ends = [i for i, layer in enumerate(layers) if isinstance(layer, Thermometer | GroupSum)]
        if (
            len(layers) < 2
            or not isinstance(layers[0], Thermometer)
            or not isinstance(layers[-1], GroupSum)
            or ends != [0, len(layers) - 1]
        ):
            raise InputError("a LogicModel starts with its one Thermometer, ends with a GroupSum")
        super().__init__(named)
        self._check_shapes()

    def _check_shapes(self) -> None:
        shape: tuple[int, ...] | None = None
        for name, layer in self.named_children():
            wanted = layer.n_outputs if isinstance(layer, GroupSum) else None
            if wanted is None and not isinstance(layer, Thermometer):
                wanted = int(np.prod(layer.input_shape))  # type: ignore[arg-type]
            if shape is not None and wanted != int(np.prod(shape)):
                raise InputError(f"layer {name!r} reads {wanted} signals, but is given {shape}")
            shape = layer.output_shape  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) to (N, C) scores; a convolution and the pool after it go as one."""
        layers = list(self.children())
        skip = False
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if skip:
                skip = False
            elif isinstance(layer, LogicConv2d) and _fuses(following):
                x, skip = layer(x, following), True
            else:
                x = layer(x)
        return x

    @torch.no_grad()
    def _scores(self, x: npt.NDArray[Any] | Tensor, training: bool) -> Tensor:
        before = self.training
        self.train(training)
        try:
            given = torch.as_tensor(x)
            if given.dtype == torch.uint16:
                given = given.to(torch.int32)
            device = self.thermometer.thresholds.device
            if len(given) == 0:
                self.thermometer.check(given)
                return torch.zeros(0, self.group_sum.n_classes)
            chunks = torch.split(given, _CHUNK_SAMPLES)
            with without_noise(self):
                return torch.cat([self(chunk.to(device)).cpu() for chunk in chunks])
        finally:
            self.train(before)

    def scores(self, x: npt.NDArray[Any] | Tensor) -> npt.NDArray[np.int64]:
        """(N, *shape) integers to (N, C) int64 popcounts of the discrete network."""
        scores: npt.NDArray[np.int64] = self._scores(x, training=False).numpy().astype(np.int64)
        return scores

    def soft_scores(self, x: npt.NDArray[Any] | Tensor) -> npt.NDArray[np.float64]:
        """(N, *shape) integers to (N, C) scores (over tau) of the relaxed network."""
        scores: npt.NDArray[np.float64] = self._scores(x, training=True).numpy().astype(np.float64)
        return scores

    def predict(self, x: npt.NDArray[Any] | Tensor) -> npt.NDArray[np.int64]:
        """(N, *shape) integers to (N,) classes of the discrete network; ties lowest index."""
        return classes(self.scores(x))


def build_model(recipe: Recipe, thermometer: Thermometer, n_classes: int) -> LogicModel:
    """The untrained model of `recipe`; wiring is seeded by ``recipe.seed`` and the layer number.

    Raises InputError naming the layer where shapes do not fit or a class has no outputs.
    """
    layers: list[nn.Module] = [thermometer]
    shape = thermometer.output_shape
    for number, spec in enumerate(recipe.layers):
        rng = np.random.default_rng([recipe.seed, number])
        layer: LogicConv2d | OrPool2d | LogicDense
        try:
            if isinstance(spec, ConvSpec):
                layer = _conv(spec, shape, recipe, rng)
            elif isinstance(spec, PoolSpec):
                layer = OrPool2d(
                    shape, spec.window, stride=spec.stride or None, padding=spec.padding
                )
            else:
                layer = _dense(spec, shape, recipe, rng)
        except InputError as error:
            raise InputError(f"recipe {recipe.name!r}, layers.{number}: {error}") from error
        layers.append(layer)
        shape = layer.output_shape
    layers.append(GroupSum(int(np.prod(shape)), n_classes, recipe.head.tau))
    model = LogicModel(layers)
    configure_gates(model, recipe)
    return model


def _learned(candidates: npt.NDArray[np.integer[Any]], recipe: Recipe) -> LearnedWiring:
    spec = recipe.wiring
    return LearnedWiring(
        candidates, estimator=spec.estimator, start=spec.start, temperature=spec.temperature
    )


def _conv(
    spec: ConvSpec, shape: tuple[int, ...], recipe: Recipe, rng: np.random.Generator
) -> LogicConv2d:
    leaves: npt.NDArray[np.int32] | None = None
    select: LearnedWiring | None = None
    field, n_leaves = (spec.field, spec.field), 2**spec.depth
    tree: Any = {
        "n_channels": shape[0],
        "field": field,
        "channels_per_tree": spec.channels_per_tree,
        "rng": rng,
    }
    if spec.wiring == "random":
        leaves = random_leaves(spec.kernels, n_leaves, **tree)
    elif spec.wiring == "local":
        leaves = local_leaves(spec.kernels, n_leaves, reach=spec.reach, **tree)
    elif spec.wiring == "top-k":
        candidates = candidate_leaves(spec.kernels, n_leaves, spec.candidates, **tree)
        leaves = candidates[:, :, 0]
        select = _learned(candidates.reshape(-1, spec.candidates, 3), recipe)
    layer = LogicConv2d(
        shape,
        spec.kernels,
        field=field,
        depth=spec.depth,
        channels_per_tree=spec.channels_per_tree,
        stride=spec.stride,
        padding=spec.padding,
        parametrisation=recipe.gates.parametrisation,
        residual=recipe.gates.residual,
        rng=rng,
        leaves=leaves,
    )
    if select is not None:
        layer.learn_wiring(select)
    return layer


def _dense(
    spec: DenseSpec, shape: tuple[int, ...], recipe: Recipe, rng: np.random.Generator
) -> LogicDense:
    n_signals = int(np.prod(shape))
    wiring: npt.NDArray[np.int64] | None = None
    select: LearnedWiring | None = None
    if spec.wiring == "random":
        wiring = random_pairs(spec.width, n_signals, rng)
    elif spec.wiring == "local":
        wiring = local_pairs(spec.width, shape, spec.reach, rng)
    elif spec.wiring == "top-k":
        rows = balanced_rows(spec.width, 2 * spec.candidates, n_signals, rng)
        candidates = rows.reshape(2 * spec.width, spec.candidates)
        wiring = candidates[:, 0].reshape(spec.width, 2)
        select = _learned(candidates, recipe)
    layer = LogicDense(
        shape,
        spec.width,
        parametrisation=recipe.gates.parametrisation,
        residual=recipe.gates.residual,
        rng=rng,
        wiring=wiring,
    )
    if select is not None:
        layer.learn_wiring(select)
    return layer
