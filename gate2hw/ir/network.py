"""LogicNetwork: layers that share weights, as a networkx.DiGraph (DESIGN.md, part 2).

A node is a layer: ``graph.nodes[name]["op"]`` is one of the dataclasses of `layers.py`.
An edge carries the shape of what flows along it: ``graph.edges[u, v]["shape"]``. A layer reads the
outputs of its predecessor; the networks of today are chains, and `verify_network` says so.
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
        from gate2hw.ir.verify import verify_network

        verify_network(self)

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
