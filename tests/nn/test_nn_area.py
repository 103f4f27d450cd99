"""The expected area: exact on decided networks, differentiable, and what training makes of it."""

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.ir.gates import TABLE, TT_A, TT_B
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn import area
from gate2hw.nn.area import area_term, expected_area, is_settled, ramp
from gate2hw.nn.discretize import to_network
from gate2hw.nn.gates import PARAMETRISATIONS, GateWeights
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d, Thermometer
from gate2hw.nn.model import LogicModel
from gate2hw.nn.options import AreaSpec
from gate2hw.nn.recipe import parse_recipe
from gate2hw.nn.topk import LearnedWiring
from gate2hw.nn.trainer import train
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold

CONSTANTS = (0, 15)
AND, XOR, NOT_A = 8, 6, 3


@pytest.fixture
def certain(monkeypatch):
    """Probabilities of use are hardly cut, so that decided networks come out as whole numbers."""
    monkeypatch.setattr(area, "_CERTAIN", 1 - 1e-5)


def decide(gates: GateWeights, tables) -> None:
    """Make each gate its table, almost surely."""
    gates.residual = 1 - 1e-7
    gates.set_tables(torch.as_tensor(np.asarray(tables, np.uint8)))


def dense_model(widths, n_inputs=12, n_classes=2, parametrisation="inputwise"):
    """Dense layers on an 1 x 1 image of as many channels as inputs, of one threshold each."""
    layers = [Thermometer(np.full((n_inputs, 1), 3, np.int64), (n_inputs, 1, 1), 7)]
    shape = layers[0].output_shape
    for number, width in enumerate(widths):
        rng = np.random.default_rng(number)
        layers.append(LogicDense(shape, width, parametrisation=parametrisation, rng=rng))
        shape = layers[-1].output_shape
    return LogicModel([*layers, GroupSum(widths[-1], n_classes)])


def rewire(layer, pairs) -> None:
    layer.wiring.copy_(torch.tensor(pairs, dtype=torch.int32))
    layer._rewire()


def numbers(model):
    with torch.no_grad():
        found = expected_area(model)
    return [round(float(value), 2) for value in (found.gates, found.cones, found.bits)]


def test_kinds_are_what_the_tables_depend_on():
    for (tt, _, _), (constant, on_a, on_b) in zip(TABLE, area.KINDS, strict=True):
        f = {(a, b): tt >> (2 * a + b) & 1 for a in (0, 1) for b in (0, 1)}
        assert constant == (tt in CONSTANTS)
        assert on_a == any(f[0, b] != f[1, b] for b in (0, 1))
        assert on_b == any(f[a, 0] != f[a, 1] for a in (0, 1))


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_kinds_are_sums_of_the_probabilities(parametrisation):
    gates = GateWeights(50, parametrisation)
    torch.manual_seed(1)
    with torch.no_grad():
        gates.weight.normal_(0, 2)
    gates.temperature = 0.7
    (found,) = area._kinds([gates])
    wanted = gates.probabilities() @ torch.tensor(area.KINDS, dtype=torch.float32)
    for column, of in enumerate((found.constant, found.a, found.b)):
        torch.testing.assert_close(of, wanted[:, column], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.both, found.a + found.b + found.constant - 1)


def test_wires_inverters_constants_and_unread_gates_are_free(certain):
    model = dense_model([4, 2], n_inputs=4)
    rewire(model.dense1, [[0, 1], [1, 2], [2, 3], [3, 0]])
    rewire(model.dense2, [[0, 1], [2, 3]])
    decide(model.dense1.gates, [AND, AND, AND, AND])
    decide(model.dense2.gates, [XOR, AND])
    assert numbers(model) == [6, 2, 2]  # four inside the cones of two outputs
    decide(model.dense2.gates, [TT_A, NOT_A])
    assert numbers(model) == [2, 2, 2]  # gates 1 and 3 are read by nobody, 0 and 2 are counted
    decide(model.dense2.gates, [0, 15])
    assert numbers(model) == [0, 0, 0]
    decide(model.dense2.gates, [TT_B, XOR])
    decide(model.dense1.gates, [AND, NOT_A, AND, TT_B])
    assert numbers(model) == [2, 1, 2]  # one counted wire, one XOR of an AND and a wire


def test_a_gate_read_twice_heads_a_cone_through_wires_too(certain):
    model = dense_model([2, 3, 2], n_inputs=4)
    rewire(model.dense1, [[0, 1], [2, 3]])
    rewire(model.dense2, [[0, 1], [0, 1], [1, 0]])
    rewire(model.dense3, [[0, 1], [2, 0]])
    decide(model.dense1.gates, [AND, AND])
    decide(model.dense2.gates, [TT_A, XOR, TT_A])
    decide(model.dense3.gates, [AND, AND])
    # the first AND is read by the XOR and by both outputs (through a wire), the second by the
    # XOR and an output; the XOR by one output only
    assert numbers(model) == [5, 4, 2]


def test_padding_makes_no_gates(certain):
    thermometer = Thermometer(np.full((1, 1), 3, np.int64), (1, 2, 2), 7)
    leaves = np.array([[[0, 0, 0], [0, 1, 1]]], np.int32)
    conv = LogicConv2d((1, 2, 2), 1, field=2, depth=1, padding=1, leaves=leaves)
    model = LogicModel([thermometer, conv, GroupSum(9, 1)])
    decide(conv.gates[0], [AND])
    # the two leaves lie on a diagonal: both are inside at one of nine positions
    assert numbers(model)[:2] == [1, 1]


def test_learned_wiring_counts_as_it_is_chosen_now(certain):
    model = dense_model([2, 1], n_inputs=4, n_classes=1)
    rewire(model.dense1, [[0, 1], [2, 3]])
    rewire(model.dense2, [[0, 1]])
    decide(model.dense1.gates, [AND, TT_A])
    decide(model.dense2.gates, [TT_A])
    select = LearnedWiring([[0, 1], [1, 0]], start=0.9)
    model.dense2.learn_wiring(select)
    model.train()
    assert numbers(model) == [1, 1, 1]
    with torch.no_grad():
        select.weight[0] = torch.tensor([0.0, 5.0])
    assert numbers(model) == [0, 0, 1]


def random_model(seed, parametrisation="inputwise"):
    """Convolution, pool and dense layers of decided gates, none of them constant."""
    rng = np.random.default_rng(seed)
    shape = (2, 8, 8)
    thermometer = Thermometer(np.full((2, 1), 3, np.int64), shape, 7)
    conv = LogicConv2d(shape, 6, field=3, depth=2, parametrisation=parametrisation, rng=rng)
    pool = OrPool2d(conv.output_shape, 2)
    dense1 = LogicDense(pool.output_shape, 70, parametrisation=parametrisation, rng=rng)
    dense2 = LogicDense(70, 40, parametrisation=parametrisation, rng=rng)
    model = LogicModel([thermometer, conv, pool, dense1, dense2, GroupSum(40, 4)])
    for module in model.modules():
        if isinstance(module, GateWeights):
            decide(module, rng.integers(1, 15, module.n_gates))
    return model


@pytest.mark.parametrize("parametrisation", ["inputwise", "softmax16"])
@pytest.mark.parametrize("seed", range(3))
def test_decided_networks_have_the_gates_that_folding_leaves(seed, parametrisation, certain):
    model = random_model(seed, parametrisation)
    net = dce(fold(unroll(to_network(model))))
    with torch.no_grad():
        found = expected_area(model)
    # folding also sees the gates that read a signal twice: a few at most
    assert float(found.gates) == pytest.approx(net.n_gates, rel=0.01)
    assert float(found.bits) == pytest.approx(net.n_outputs)
    first = 1 + net.n_inputs
    reads = np.bincount(np.concatenate([net.in0, net.in1]), minlength=first + net.n_gates)
    reads += np.bincount(net.outputs >> 1, minlength=len(reads)) * 2
    assert float(found.cones) == pytest.approx((reads[first:] > 1).sum(), rel=0.02)


def test_gradients_are_right():
    torch.manual_seed(0)
    model = dense_model([10, 6, 4], n_inputs=6).double()
    for module in model.modules():
        if isinstance(module, GateWeights):
            torch.nn.init.normal_(module.weight)
    parameters = list(model.parameters())

    def cloud(*_):
        found = expected_area(model)
        return found.gates, found.cones

    assert torch.autograd.gradcheck(cloud, parameters)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_counted_wires_find_their_way_to_constants(parametrisation):
    torch.manual_seed(0)
    model = dense_model([20], parametrisation=parametrisation)
    weight = model.dense1.gates.weight
    with torch.no_grad():
        weight += 0.01 * torch.randn_like(weight)
    assert expected_area(model).bits > 15
    optimizer = torch.optim.SGD([weight], lr=2.0)
    for _ in range(100):
        optimizer.zero_grad()
        expected_area(model).bits.backward()
        optimizer.step()
    assert expected_area(model).bits < 2
    assert set(model.dense1.gates.tables().tolist()) <= set(CONSTANTS)


def test_gradients_stay_finite_at_certainty():
    model = random_model(0)
    for module in model.modules():
        if isinstance(module, GateWeights):
            with torch.no_grad():
                module.weight *= 10
    expected_area(model).luts.backward()
    for parameter in model.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() < 100


def test_luts_are_the_costs_of_the_recipe():
    model = random_model(1)
    with torch.no_grad():
        found = expected_area(model, AreaSpec(luts_per_gate=2, luts_per_cone=3, luts_per_bit=5))
    assert float(found.luts) == pytest.approx(
        2 * float(found.gates) + 3 * float(found.cones) + 5 * float(found.bits), rel=1e-6
    )


def test_only_a_logic_model_has_an_area():
    with pytest.raises(InputError, match="GroupSum"):
        expected_area(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(InputError, match="no layer of them"):
        expected_area(torch.nn.Sequential(torch.nn.Identity(), GroupSum(4, 2)))


def test_the_weight_rises_between_start_and_end():
    shares = [ramp(step, 100, 0.25, 0.75) for step in (0, 25, 50, 75, 100)]
    assert shares == [0, 0, 0.5, 1, 1]
    costs = AreaSpec(weight=0.5, start=0.1, end=0.5)
    model = random_model(2)
    model.requires_grad_(False)
    luts = float(expected_area(model, costs).luts)
    assert area_term(model, costs, 5, 100) is None
    assert area_term(model, AreaSpec(weight=0), 99, 100) is None
    half, full = (float(area_term(model, costs, step, 100)) for step in (30, 60))
    assert half == pytest.approx(0.25 * luts / 1000)
    assert full == pytest.approx(0.5 * luts / 1000)
    assert [is_settled(costs, step, 100) for step in (49, 50)] == [False, True]
    assert is_settled(AreaSpec(), 0, 100)


def recipe(**extra):
    table = {
        "seed": 3,
        "data": {"source": "digits"},
        "layers": [{"type": "dense", "width": 120}, {"type": "dense", "width": 60}],
        "training": {"steps": 150, "evaluate_every": 15},
        **extra,
    }
    return parse_recipe(table)


def test_training_for_area_makes_smaller_networks(tmp_path):
    sizes = []
    for weight in (0.0, 20.0):
        # only networks of full weight are kept, however right the earlier ones were
        result = train(recipe(area={"weight": weight, "end": 0.8}), tmp_path / str(weight))
        network = load_network(result.model_path)
        sizes.append(dce(fold(unroll(network))).n_gates)
        assert weight == 0 or network.info["best_step"] >= 120
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("stop_at", [5, 50])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, stop_at):
    tables = {"area": {"weight": 5.0}, "training": {"steps": 60, "checkpoint_every": 20}}

    def stop(done, total, message):
        if done == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(**tables), tmp_path / "killed", progress=stop)
    train(recipe(**tables), tmp_path / "killed", resume=True)
    train(recipe(**tables), tmp_path / "whole")
    models = [load_network(tmp_path / name / "model.safetensors") for name in ("killed", "whole")]
    assert models[0].digest == models[1].digest


def test_a_ramp_that_ends_before_it_starts_is_refused():
    with pytest.raises(InputError, match=r"area\.start is 0\.5; it must be below area\.end, 0\.5"):
        recipe(area={"start": 0.5, "end": 0.5})
