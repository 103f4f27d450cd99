"""The rules of the representations; each broken rule is an IRError that names the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.layers import GroupSum, Thermometer

if TYPE_CHECKING:
    from gate2hw.ir.netlist import Netlist
    from gate2hw.ir.network import LogicNetwork

__all__ = ["verify_netlist", "verify_network"]


def verify_network(network: LogicNetwork) -> None:
    """Raise IRError where `network` breaks a rule: chain, types, shapes, wiring, tables."""
    graph = network.graph
    if graph.number_of_nodes() < 2:
        raise IRError("a network needs at least a Thermometer and a GroupSum")
    if not nx.is_directed_acyclic_graph(graph):
        raise IRError("the layer graph has a cycle")
    degrees = [*dict(graph.in_degree()).values(), *dict(graph.out_degree()).values()]
    if max(degrees) > 1 or not nx.is_weakly_connected(graph):
        raise IRError("the layer graph must be one chain: each layer reads the one before")
    layers = list(network.layers())
    for number, (name, layer) in enumerate(layers):
        where = f"layer {name!r}"
        is_first, is_last = number == 0, number == len(layers) - 1
        if isinstance(layer, Thermometer) != is_first:
            raise IRError(f"{where}: a network has exactly one Thermometer, its first layer")
        if isinstance(layer, GroupSum) != is_last:
            raise IRError(f"{where}: a network has exactly one GroupSum, its last layer")
        if not is_first:
            before_name, before = layers[number - 1]
            shape = before.output_shape
            if graph.edges[before_name, name].get("shape") != shape:
                raise IRError(f"edge {before_name!r} -> {name!r} does not carry shape {shape}")
            if layer.input_shape != shape:
                raise IRError(
                    f"{where} expects input of shape {layer.input_shape}, but {before_name!r} "
                    f"gives {shape}"
                )
        layer.check(where)
    names = network.class_names
    n_classes = network.group_sum.n_classes
    if names and len(names) != n_classes:
        raise IRError(f"{len(names)} class names for {n_classes} classes")


def _first(bad: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(bad)[0])


def _gate(net: Netlist, gate: int) -> str:
    site = net.site_of(gate) if 0 <= net.origin[gate] < len(net.sites) else None
    return f"gate {gate} (node {net.first_gate + gate}{f', {site}' if site else ''})"


def verify_netlist(net: Netlist) -> None:
    """Raise IRError where `net` breaks a rule of DESIGN.md, part 2: columns, levels, literals."""
    n_gates = net.n_gates
    if net.n_inputs < 0:
        raise IRError(f"netlist: n_inputs is {net.n_inputs}")
    for name in ("in0", "in1", "origin"):
        size = len(getattr(net, name))
        if size != n_gates:
            raise IRError(f"netlist: column {name} has {size} entries for {n_gates} gates")
    ptr = net.level_ptr
    if len(ptr) < 1 or ptr[0] != 0 or ptr[-1] != n_gates or (np.diff(ptr) < 1).any():
        raise IRError("netlist: level_ptr must rise from 0 to the number of gates, no level empty")
    if (net.tt > 15).any():
        gate = _first(net.tt > 15)
        raise IRError(f"{_gate(net, gate)}: truth table {net.tt[gate]} is outside 0..15")
    for name, column in (("in0", net.in0), ("in1", net.in1)):
        bad = (column < 0) | (column >= net.n_nodes)
        if bad.any():
            gate = _first(bad)
            raise IRError(f"{_gate(net, gate)}: {name} is {column[gate]}, which is no node")
    if n_gates:
        level = net.node_level
        below = np.maximum(level[net.in0], level[net.in1])
        bad = level[net.first_gate :] != below + 1
        if bad.any():
            gate = _first(bad)
            raise IRError(
                f"{_gate(net, gate)}: stands in level {level[net.first_gate + gate]}, but as soon "
                f"as possible is {below[gate] + 1}"
            )
    bad = (net.outputs < 0) | (net.outputs >= 2 * net.n_nodes)
    if bad.any():
        output = _first(bad)
        raise IRError(f"output {output}: literal {net.outputs[output]} is no node")
    _verify_head(net)
    _verify_encoder(net)
    if ((net.origin < -1) | (net.origin >= len(net.sites))).any():
        raise IRError(f"netlist: origin points outside the {len(net.sites)} sites")
    for name, size in (
        ("inputs", net.n_inputs),
        ("outputs", net.n_outputs),
        ("classes", net.n_classes),
    ):
        n_names = len(getattr(net.names, name))
        if n_names not in (0, size):
            raise IRError(f"netlist: {n_names} names for {size} {name}")


def _verify_head(net: Netlist) -> None:
    head = net.head
    if len(head.weight) != net.n_outputs:
        raise IRError(f"head: {len(head.weight)} weights for {net.n_outputs} outputs")
    if len(head.group_ptr) < 1 or head.group_ptr[0] != 0 or (np.diff(head.group_ptr) < 0).any():
        raise IRError("head: group_ptr must rise from 0")
    if len(head.bias) != head.n_classes:
        raise IRError(f"head: {len(head.bias)} biases for {head.n_classes} classes")
    if head.n_classes and head.group_ptr[-1] != net.n_outputs:
        raise IRError(f"head: groups end at {head.group_ptr[-1]}, outputs at {net.n_outputs}")


def _verify_encoder(net: Netlist) -> None:
    encoder = net.encoder
    if encoder is None:
        return
    if len(encoder.feature) != net.n_inputs or len(encoder.threshold) != net.n_inputs:
        raise IRError(f"encoder: its columns must have one entry for each of {net.n_inputs} inputs")
    if not 1 <= encoder.max_value <= 65535:
        raise IRError(f"encoder: max_value {encoder.max_value} is outside 1..65535")
    bad = (encoder.feature < 0) | (encoder.feature >= encoder.n_features)
    if bad.any():
        raise IRError(
            f"encoder: input {_first(bad)} reads feature {encoder.feature[_first(bad)]}, "
            f"allowed are 0..{encoder.n_features - 1}"
        )
    bad = (encoder.threshold < 0) | (encoder.threshold >= encoder.max_value)
    if bad.any():
        raise IRError(
            f"encoder: input {_first(bad)} has threshold {encoder.threshold[_first(bad)]}, "
            f"allowed are 0..{encoder.max_value - 1}"
        )
