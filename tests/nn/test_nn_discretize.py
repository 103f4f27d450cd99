"""The first link of the chain: torch in eval mode = LogicNetwork = unrolled netlist."""

import dataclasses

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.ir.unroll import unroll
from gate2hw.nn import (
    GroupSum,
    LogicConv2d,
    LogicDense,
    LogicModel,
    OrPool2d,
    Thermometer,
    from_network,
    to_network,
)
from gate2hw.nn.gates import PARAMETRISATIONS
from gate2hw.nn.topk import LearnedWiring
from gate2hw.nn.wiring import balanced_rows


def _randomise(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 3, generator=generator)


def _conv_model(parametrisation, seed: int = 0) -> LogicModel:
    rng = np.random.default_rng(seed)
    options = {"parametrisation": parametrisation, "rng": rng}
    thermometer = Thermometer([[1, 4, 6], [0, 2, 7]], (2, 6, 5), 9)
    conv1 = LogicConv2d((6, 6, 5), 7, depth=2, padding=1, **options)
    pool = OrPool2d((7, 6, 5), 2, stride=2, padding=(0, 1))
    conv2 = LogicConv2d((7, 3, 3), 4, field=(2, 3), depth=1, stride=(1, 2), padding=1, **options)
    dense1 = LogicDense(conv2.output_shape, 40, **options)
    dense2 = LogicDense(40, 23, **options)
    model = LogicModel([thermometer, conv1, pool, conv2, dense1, dense2, GroupSum(23, 4, 3.0)])
    _randomise(model, seed)
    return model


def _mismatches(model: LogicModel, network: LogicNetwork, n_samples: int = 300) -> int:
    netlist = unroll(network)
    x = random_features(netlist.encoder, n_samples, np.random.default_rng(5))
    torch_scores, netlist_scores = model.scores(x), scores(netlist, x)
    assert np.array_equal(model.predict(x), classes(torch_scores))
    return int((torch_scores != netlist_scores).any(1).sum())


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_torch_equals_the_unrolled_netlist(parametrisation, seed: int) -> None:
    model = _conv_model(parametrisation, seed)
    network = to_network(model, ("a", "b", "c", "d"), "random")
    assert _mismatches(model, network) == 0
    assert len(np.unique(model.scores(np.zeros((1, 2, 6, 5), int)))) > 1


def test_tabular_torch_equals_the_unrolled_netlist() -> None:
    model = LogicModel(
        [
            Thermometer([[10, 200]] * 5, (5,), 255, scale=[2.0] * 5, offset=[0.5] * 5),
            LogicDense(10, 30),
            LogicDense(30, 20),
            GroupSum(20, 3),
        ]
    )
    _randomise(model, 3)
    network = to_network(model)
    assert _mismatches(model, network) == 0
    assert network.thermometer.scale.tolist() == [2.0] * 5


def _with_tables(network: LogicNetwork, name: str, change: int, gate: int = 0) -> LogicNetwork:
    """`network` with `change` exclusive-ored into truth table `gate` of layer `name`."""
    layers = []
    for layer_name, layer in network.layers():
        if layer_name == name:
            conv = hasattr(layer, "leaves")
            tables = [t.copy() for t in layer.tables] if conv else [layer.tables.copy()]
            tables[-1].reshape(-1)[gate] ^= np.uint64(change)
            layer = dataclasses.replace(layer, tables=tuple(tables) if conv else tables[0])
        layers.append((layer_name, layer))
    return chain(layers)


def test_a_planted_fault_in_a_counted_gate_is_seen() -> None:
    model = _conv_model("inputwise")
    network = to_network(model)
    assert _mismatches(model, _with_tables(network, "dense2", 0)) == 0
    assert _mismatches(model, _with_tables(network, "dense2", 15)) == 300
    flips = [_mismatches(model, _with_tables(network, "dense2", 1 << bit)) for bit in range(4)]
    assert sum(flips) == 300  # each sample is at one address of the gate
    assert max(flips) > 0


def test_a_planted_fault_in_a_kernel_is_seen() -> None:
    model = _conv_model("inputwise")
    network = to_network(model)
    faults = [_with_tables(network, "conv1", 1 << bit, k) for k in range(7) for bit in range(4)]
    assert sum(_mismatches(model, fault) > 0 for fault in faults) >= 3


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_a_network_opens_in_torch_again(parametrisation) -> None:
    network = to_network(_conv_model(parametrisation), ("p", "q", "r", "s"), "toy", {"seed": 1})
    model = from_network(network, parametrisation=parametrisation)
    again = to_network(model, network.class_names, network.dataset, network.info)
    assert again.digest == network.digest
    assert [name for name, _ in again.layers()] == [name for name, _ in network.layers()]
    assert not model.training
    assert _mismatches(model, network) == 0


def test_a_plain_sequential_of_our_layers_is_accepted() -> None:
    model = _conv_model("inputwise")
    plain = torch.nn.Sequential(*model)
    assert to_network(plain).digest == to_network(model).digest
    with pytest.raises(InputError, match="Linear is no LogicModel"):
        to_network(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="cannot hold a Linear"):
        to_network(torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_learned_parts_are_exported_as_they_are_now() -> None:
    candidates = balanced_rows(30, 8, 10, np.random.default_rng(0)).reshape(60, 4)
    dense = LogicDense(10, 30)
    dense.learn_wiring(LearnedWiring(candidates))
    thermometer = Thermometer([[10, 200]] * 5, (5,), 255, learned=True)
    model = LogicModel([thermometer, dense, LogicDense(30, 20), GroupSum(20, 3)])
    _randomise(model, 3)
    assert thermometer.raw is not None
    with torch.no_grad():
        thermometer.raw.uniform_(0, 1, generator=torch.Generator().manual_seed(0))
    before = to_network(model.train())
    with torch.no_grad():
        thermometer.raw[2, 0] = 0.5
        dense.select.weight.neg_()
    network = to_network(model)  # still in train mode
    assert network.digest != before.digest
    assert 127 in network.thermometer.thresholds[2]
    assert _mismatches(model, network) == 0


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    model = _conv_model("inputwise")
    with torch.no_grad():
        model.conv1.gates[1].weight[3, 0] = float("nan")
    with pytest.raises(InputError, match=r"layer 'conv1', tree level 1, gate 3: .*not finite"):
        to_network(model)


def test_layers_that_do_not_meet_are_refused() -> None:
    thermometer = Thermometer([[1]] * 4, (4,), 9)
    with pytest.raises(InputError, match="layer 'dense1' reads 5 signals"):
        LogicModel([thermometer, LogicDense(5, 6), GroupSum(6, 2)])
    with pytest.raises(InputError, match="ends with a GroupSum"):
        LogicModel([thermometer, LogicDense(4, 6)])


def test_soft_scores_leave_the_mode_alone() -> None:
    model = _conv_model("inputwise").eval()
    x = np.zeros((2, 2, 6, 5), np.uint16)
    assert model.soft_scores(x).dtype == np.float64
    assert not model.training
    assert model.scores(x[:0]).shape == (0, 4)
