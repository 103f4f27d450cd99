"""Between torch models and LogicNetworks: choose the hard gates, or load them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from gate2hw.errors import InputError
from gate2hw.ir import layers as ir_layers
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.nn.gates import GateWeights, Parametrisation
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d, Thermometer
from gate2hw.nn.model import LogicModel
from gate2hw.nn.topk import SelectsInputs

__all__ = ["from_network", "to_network"]


def _tables(gates: GateWeights, where: str, shape: tuple[int, ...]) -> Any:
    gates.check_finite(where)
    return gates.tables().cpu().numpy().astype(np.uint64).reshape(shape)


def _thermometer(layer: Thermometer) -> ir_layers.Thermometer:
    return ir_layers.Thermometer(
        layer.input_shape,
        layer.thresholds.cpu().numpy(),
        layer.max_value,
        None if layer.scale is None else layer.scale.cpu().numpy(),
        None if layer.offset is None else layer.offset.cpu().numpy(),
    )


def _to_ir(name: str, layer: nn.Module, input_shape: tuple[int, ...]) -> ir_layers.Layer:
    where = f"layer {name!r}"
    if isinstance(layer, Thermometer):
        return _thermometer(layer)
    if isinstance(layer, LogicConv2d):
        levels: list[GateWeights] = list(layer.gates)  # type: ignore[arg-type]
        tables = tuple(
            _tables(gates, f"{where}, tree level {level}", (layer.kernels, -1))
            for level, gates in enumerate(levels)
        )
        return ir_layers.LogicConv(
            input_shape,
            layer.leaves.cpu().numpy(),
            tables,
            layer.field,
            layer.stride,
            layer.padding,
        )
    if isinstance(layer, OrPool2d):
        return ir_layers.OrPool(input_shape, layer.window, layer.stride, layer.padding)
    if isinstance(layer, LogicDense):
        tables = _tables(layer.gates, where, (layer.width,))
        return ir_layers.LogicDense(input_shape, layer.wiring.cpu().numpy(), tables)
    assert isinstance(layer, GroupSum)
    return ir_layers.GroupSum(input_shape, layer.group_ptr.cpu().numpy(), float(layer.tau))


def to_network(
    model: nn.Module,
    class_names: tuple[str, ...] = (),
    dataset: str = "",
    info: dict[str, Any] | None = None,
) -> LogicNetwork:
    """The discrete network of `model`: exactly what it computes in eval mode.

    `model` is a LogicModel, or an `nn.Sequential` of the same layers.
    Raises InputError for any other module, and, naming layer and gate, where weights are not
    finite; IRError where the result breaks a rule of the representation.
    """
    if not isinstance(model, LogicModel):
        if not isinstance(model, nn.Sequential):
            raise InputError(
                f"a {type(model).__name__} is no LogicModel, nor an nn.Sequential of its layers"
            )
        model = LogicModel(list(model))
    for module in model.modules():
        if isinstance(module, Thermometer | SelectsInputs):
            module.settle()
    layers: list[tuple[str, ir_layers.Layer]] = []
    shape: tuple[int, ...] = model.thermometer.input_shape
    for name, layer in model.named_children():
        converted = _to_ir(name, layer, shape)
        layers.append((name, converted))
        shape = converted.output_shape
    return chain(layers, class_names=class_names, dataset=dataset, info=info)


def _set_tables(gates: GateWeights, tables: Any) -> None:
    gates.set_tables(torch.from_numpy(np.asarray(tables).reshape(-1).astype(np.uint8)))


def _from_ir(
    name: str, layer: ir_layers.Layer, parametrisation: Parametrisation, residual: float
) -> nn.Module:
    arity = getattr(layer, "arity", 2)
    if arity != 2:
        raise InputError(
            f"layer {name!r} has {arity}-input tables; torch modules are made of two-input gates"
        )
    if isinstance(layer, ir_layers.Thermometer):
        return Thermometer(
            layer.thresholds,
            layer.input_shape,
            layer.max_value,
            scale=layer.scale,
            offset=layer.offset,
        )
    if isinstance(layer, ir_layers.LogicConv):
        conv = LogicConv2d(
            layer.input_shape,
            layer.n_kernels,
            field=layer.field,
            depth=layer.depth,
            stride=layer.stride,
            padding=layer.padding,
            parametrisation=parametrisation,
            residual=residual,
            leaves=layer.leaves,
        )
        for gates, tables in zip(conv.gates, layer.tables, strict=True):
            assert isinstance(gates, GateWeights)
            _set_tables(gates, tables)
        return conv
    if isinstance(layer, ir_layers.OrPool):
        return OrPool2d(layer.input_shape, layer.window, stride=layer.stride, padding=layer.padding)
    if isinstance(layer, ir_layers.LogicDense):
        dense = LogicDense(
            layer.input_shape,
            layer.output_shape[0],
            parametrisation=parametrisation,
            residual=residual,
            wiring=layer.wiring,
        )
        _set_tables(dense.gates, layer.tables)
        return dense
    head = GroupSum(int(layer.group_ptr[-1]), layer.n_classes, layer.tau)
    head.group_ptr.copy_(torch.from_numpy(layer.group_ptr.copy()))
    return head


def from_network(
    network: LogicNetwork,
    *,
    parametrisation: Parametrisation = "inputwise",
    residual: float = 0.9,
) -> LogicModel:
    """A torch model in eval mode with the gates of `network`, each with probability `residual`.

    Its `to_network` has the digest of `network` where layers bear the names that LogicModel
    gives. Raises InputError for tables of other than two inputs.
    """
    model = LogicModel(
        [_from_ir(name, layer, parametrisation, residual) for name, layer in network.layers()]
    )
    model.eval()
    return model
