"""LogicNetwork: layers that share weights, as a networkx.DiGraph (DESIGN.md, part 2).

A node is a layer: ``graph.nodes[name]["op"]`` is one of the dataclasses of `layers.py`.
An edge carries the shape of what flows along it: ``graph.edges[u, v]["shape"]``. A layer reads the
outputs of its predecessor; the networks of today are chains, and `LogicNetwork.verify` says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from gate2hw.errors import IRError
from gate2hw.ir.layers import (
    GroupSum,
    Layer,
    LogicConv,
    LogicDense,
    Thermometer,
    layer_fields,
)

__all__ = ["LogicNetwork", "chain"]


@dataclass(frozen=True, eq=False)
class LogicNetwork:
    """A trained model, once its gates are chosen.

    `class_names` and `dataset` travel to reports and to the hardware's documentation; `info` is
    free JSON-like data about the training (accuracies, recipe, seed) and is not in the digest.
    """

    graph: nx.DiGraph
    class_names: tuple[str, ...] = ()
    dataset: str = ""
    info: dict[str, Any] = field(default_factory=dict)

    def layers(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) from the input to the scores."""
        for name in nx.topological_sort(self.graph):
            yield name, self.graph.nodes[name]["op"]

    @property
    def thermometer(self) -> Thermometer:
        """The input layer."""
        layer = next(self.layers())[1]
        assert isinstance(layer, Thermometer)
        return layer

    @property
    def group_sum(self) -> GroupSum:
        """The last layer."""
        *_, (_, layer) = self.layers()
        assert isinstance(layer, GroupSum)
        return layer

    @property
    def n_unique_gates(self) -> int:
        """Trained gates: a kernel counts once."""
        return sum(
            layer.n_unique_gates
            for _, layer in self.layers()
            if isinstance(layer, LogicConv | LogicDense)
        )

    def verify(self) -> None:
        """Raise IRError, naming the layer, where a rule of the representation is broken."""
        graph = self.graph
        if graph.number_of_nodes() < 2:
            raise IRError("a network needs at least a Thermometer and a GroupSum")
        if not nx.is_directed_acyclic_graph(graph):
            raise IRError("the layer graph has a cycle")
        degrees = [*dict(graph.in_degree()).values(), *dict(graph.out_degree()).values()]
        if max(degrees) > 1 or not nx.is_weakly_connected(graph):
            raise IRError("the layer graph must be one chain: each layer reads the one before")
        for name, data in graph.nodes(data=True):
            if not isinstance(data.get("op"), Layer):
                raise IRError(f"layer {name!r}: {type(data.get('op')).__name__} is no layer type")
        layers = list(self.layers())
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
        names = self.class_names
        n_classes = self.group_sum.n_classes
        if names and len(names) != n_classes:
            raise IRError(f"{len(names)} class names for {n_classes} classes")

    @property
    def digest(self) -> str:
        """sha256 (hex) of what the network computes: structure, wiring, tables, thresholds."""
        sha = hashlib.sha256(b"gate2hw LogicNetwork 1")
        for name, layer in self.layers():
            fields, arrays = layer_fields(layer)
            fields.pop("tau", None)
            sha.update(json.dumps([name, fields], sort_keys=True).encode())
            for key in sorted(arrays):
                array = arrays[key]
                sha.update(f"{key}{array.dtype.str}{array.shape}".encode())
                sha.update(array.tobytes())
        return sha.hexdigest()


def chain(
    layers: list[tuple[str, Layer]],
    *,
    class_names: tuple[str, ...] = (),
    dataset: str = "",
    info: dict[str, Any] | None = None,
) -> LogicNetwork:
    """Build and verify a LogicNetwork from (name, layer) pairs, each reading the one before."""
    graph = nx.DiGraph()
    before: str | None = None
    for name, layer in layers:
        if name in graph:
            raise IRError(f"two layers are named {name!r}")
        layer.check(f"layer {name!r}")
        graph.add_node(name, op=layer)
        if before is not None:
            graph.add_edge(before, name, shape=graph.nodes[before]["op"].output_shape)
        before = name
    network = LogicNetwork(graph, tuple(class_names), dataset, dict(info or {}))
    network.verify()
    return network
