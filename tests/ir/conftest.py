"""An evaluator of LogicNetworks that shares nothing with gate2hw, and random netlists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden

Place = tuple[str, int, int, int, int]


def _table(table: int, bits: list[int]) -> int:
    address = 0
    for bit in bits:
        address = 2 * address + bit
    return table >> address & 1


def _read(bits: list[list[list[int]]], channel: int, row: int, column: int) -> int:
    inside = 0 <= row < len(bits[0]) and 0 <= column < len(bits[0][0])
    return bits[channel][row][column] if inside else 0


def _conv(name: str, layer: Any, bits: Any, places: dict[Place, int]) -> Any:
    kernels, rows, columns = layer.output_shape
    out = [[[0] * columns for _ in range(rows)] for _ in range(kernels)]
    for kernel in range(kernels):
        for row in range(rows):
            for column in range(columns):
                signals = []
                for channel, dy, dx in layer.leaves[kernel].tolist():
                    y = row * layer.stride[0] + dy - layer.padding[0]
                    x = column * layer.stride[1] + dx - layer.padding[1]
                    signals.append(_read(bits, channel, y, x))
                gate = 0
                for tables in layer.tables:
                    above = []
                    for number, table in enumerate(tables[kernel].tolist()):
                        operands = signals[number * layer.arity : (number + 1) * layer.arity]
                        above.append(_table(table, operands))
                        places[name, kernel, row, column, gate] = above[-1]
                        gate += 1
                    signals = above
                (out[kernel][row][column],) = signals
    return out


def _pool(layer: Any, bits: Any) -> Any:
    channels, rows, columns = layer.output_shape
    out = [[[0] * columns for _ in range(rows)] for _ in range(channels)]
    for channel in range(channels):
        for row in range(rows):
            for column in range(columns):
                for dy in range(layer.window[0]):
                    for dx in range(layer.window[1]):
                        y = row * layer.stride[0] + dy - layer.padding[0]
                        x = column * layer.stride[1] + dx - layer.padding[1]
                        out[channel][row][column] |= _read(bits, channel, y, x)
    return out


def _flat(nested: Any) -> list[int]:
    return [b for item in nested for b in _flat(item)] if isinstance(nested, list) else [nested]


def evaluate_network(network: LogicNetwork, x: Any) -> tuple[list[int], dict[Place, int]]:
    """Scores of one sample, and the value of every tree gate and dense neuron by its place."""
    places: dict[Place, int] = {}
    bits: Any = None
    for name, layer in network.layers():
        match type(layer).__name__:
            case "Thermometer":
                bits = []
                for values, thresholds in zip(x.tolist(), layer.thresholds.tolist(), strict=True):
                    for threshold in thresholds:
                        if isinstance(values, list):
                            bits.append([[int(v > threshold) for v in row] for row in values])
                        else:
                            bits.append(int(values > threshold))
            case "LogicConv":
                bits = _conv(name, layer, bits, places)
            case "OrPool":
                bits = _pool(layer, bits)
            case "LogicDense":
                flat, bits = _flat(bits), []
                tables = layer.tables.tolist()
                for neuron, wires in enumerate(layer.wiring.tolist()):
                    bits.append(_table(tables[neuron], [flat[w] for w in wires]))
                    places[name, neuron, -1, -1, 0] = bits[-1]
            case "GroupSum":
                flat, ptr = _flat(bits), layer.group_ptr.tolist()
                return [sum(flat[ptr[c] : ptr[c + 1]]) for c in range(len(ptr) - 1)], places
    raise AssertionError("no GroupSum")


@pytest.fixture(scope="session")
def evaluate() -> Callable[[LogicNetwork, Any], tuple[list[int], dict[Place, int]]]:
    """The independent evaluator: ``evaluate(network, x) -> (scores, value by place)``."""
    return evaluate_network


def make_netlist(
    seed: int = 0,
    *,
    n_inputs: int = 5,
    n_gates: int = 30,
    n_outputs: int = 7,
    n_classes: int = 3,
    encoder: bool = False,
    named: bool = False,
) -> Netlist:
    """A random netlist with complements, weights, biases, origins and, if asked, names."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_inputs)
    for gate in range(n_gates):
        a, b = rng.integers(0, 1 + n_inputs + gate, size=2)
        builder.gate(int(rng.integers(16)), int(a), int(b))
    n_nodes = 1 + n_inputs + n_gates
    head = Head.none(n_outputs)
    if n_classes:
        cuts = np.sort(rng.integers(0, n_outputs + 1, size=n_classes - 1))
        head = Head(
            np.concatenate([[0], cuts, [n_outputs]]),
            rng.integers(-3, 4, size=n_outputs),
            rng.integers(-9, 9, size=n_classes),
        )
    legal = Encoder(np.arange(n_inputs) // 2, np.arange(n_inputs) % 2 + 4, (n_inputs,), 9)
    texts = ['a "quoted" # name', "two  blanks", "\\ \t\n", "é\u2028", ""]
    names = Names()
    if named:
        names = Names(
            *(
                tuple(f"{kind}{i}{texts[i % len(texts)]}" for i in range(size))
                for kind, size in (("i", n_inputs), ("o", n_outputs), ("c", n_classes))
            )
        )
    net = builder.build(
        rng.integers(0, 2 * n_nodes, size=n_outputs),
        head=head,
        encoder=legal if encoder else None,
        names=names,
        digest=f"digest{seed}",
    )
    sites = Sites((SiteLayer("conv 1", 2, 3, 2, 2), SiteLayer('d"2', 1, 4)))
    origin = rng.integers(-1, len(sites), size=net.n_gates)
    return net.with_(origin=origin.astype(np.int32), sites=sites)


@pytest.fixture(scope="session")
def random_netlist() -> Callable[..., Netlist]:
    """The factory `make_netlist(seed, *, n_inputs=..., n_gates=..., n_classes=..., ...)`."""
    return make_netlist


@pytest.fixture
def golden() -> Golden:
    """Three golden vectors of two classes, one without a label, one tied."""
    x = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    scores = np.array([[1, 2], [3, 0], [4, 4]])
    return Golden(x, np.array([1, -1, 1]), scores, np.array([1, 0, 0]), "abc", ("n", "y"), {"n": 1})
