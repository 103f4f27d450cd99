"""The evaluator of LogicNetworks against the one that shares nothing with gate2hw."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir import evaluate as module
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.layers import LogicConv, LogicDense
from gate2hw.ir.network import chain

CASES = {
    "plain": {},
    "depth3": {"depth": 3, "kernels": 2},
    "stride-padding": {"stride": (3, 2), "padding": (2, 1), "input_shape": (1, 7, 5)},
    "arity1": {"arity": 1, "depth": 2, "kernels": 2},
    "arity3": {"arity": 3, "depth": 2, "kernels": 2},
    "channels": {"input_shape": (3, 5, 4), "thresholds": 3},
    "pool-overlap": {"pool": (3, 2), "pool_stride": (1, 2), "pool_padding": (2, 1)},
    "no-pool": {"pool": None},
    "no-dense": {"dense": ()},
    "tabular": {"input_shape": (9,), "thresholds": 3},
    "nothing": {"kernels": 0, "pool": None, "dense": ()},
    **{f"dense-arity{k}": {"dense": (25, 15), "dense_arity": k} for k in (1, 2, 6)},
}


def inputs(network, n, seed):
    thermometer = network.thermometer
    rng = np.random.default_rng(seed)
    return rng.integers(0, thermometer.max_value + 1, (n, *thermometer.input_shape))


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_oracle(case, random_network, evaluate):
    network = random_network(4, **CASES[case])
    x = inputs(network, 70, 0)
    got = module.evaluate(network, x)
    assert got.dtype == np.int64
    for sample in range(0, 70, 4):
        assert got[sample].tolist() == evaluate(network, x[sample])[0]


def test_chunks_change_nothing(random_network, monkeypatch):
    network = random_network(2, padding=(1, 1), kernels=5, dense=(50, 30))
    x = inputs(network, 300, 1)
    expected = evaluate(network, x)
    monkeypatch.setattr(module, "_BLOCK_WORDS", 3)
    np.testing.assert_array_equal(evaluate(network, x), expected)
    np.testing.assert_array_equal(
        np.concatenate([evaluate(network, x[:63]), evaluate(network, x[63:])]), expected
    )
    assert evaluate(network, x[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", ["dense table", "wire", "conv table", "leaf"])
def test_one_wrong_gate_is_seen(kind, random_network):
    """Some single change of each kind changes a score."""
    network = random_network(8, dense=(30,))
    x = inputs(network, 256, 3)
    expected = evaluate(network, x)
    seen = 0
    for place in range(4):
        layers = []
        for name, layer in network.layers():
            if isinstance(layer, LogicDense) and kind == "dense table":
                tables = layer.tables.copy()
                tables[place] ^= np.uint64(15)
                layer = LogicDense(layer.input_shape, layer.wiring, tables)
            elif isinstance(layer, LogicDense) and kind == "wire":
                wiring = layer.wiring.copy()
                wiring[place] = (wiring[place] + 1) % int(np.prod(layer.input_shape))
                layer = LogicDense(layer.input_shape, wiring, layer.tables)
            elif isinstance(layer, LogicConv) and kind in ("conv table", "leaf"):
                leaves, tables = layer.leaves.copy(), [t.copy() for t in layer.tables]
                if kind == "leaf":
                    leaves[place] = (leaves[place] + 1) % [layer.input_shape[0], *layer.field]
                else:
                    tables[-1][place] ^= np.uint64(15)
                layer = LogicConv(layer.input_shape, leaves, tuple(tables), layer.field)
            layers.append((name, layer))
        seen += bool((evaluate(chain(layers), x) != expected).any())
    assert seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :, 1:], "shape"),
        (lambda x: x.astype(float), "float64"),
        (lambda x: x - 300, "outside 0..255"),
        (lambda x: x + 200, "outside 0..255"),
    ],
)
def test_bad_inputs(change, message, random_network):
    network = random_network(0)
    with pytest.raises(IRError, match=message):
        evaluate(network, change(inputs(network, 5, 0)))
