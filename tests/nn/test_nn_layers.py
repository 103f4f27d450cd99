"""Each layer against a plain loop, in both modes; complete state dicts; clear refusals."""

import itertools

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import GroupSum, LogicConv2d, LogicDense, OrPool2d, Thermometer
from gate2hw.nn.encoding import choose_thresholds
from gate2hw.nn.layers import group_bounds


def _randomise(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 3, generator=generator)


def _bits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed))


def test_thermometer_matches_the_definition() -> None:
    thresholds = np.array([[0, 5], [3, 9]])
    layer = Thermometer(thresholds, (2, 2, 3), 10)
    x = np.random.default_rng(0).integers(0, 11, (4, 2, 2, 3))
    wanted = (x[:, :, None] > thresholds[None, :, :, None, None]).reshape(4, -1)
    for mode, dtype in ((True, torch.float32), (False, torch.int8)):
        bits = layer.train(mode)(torch.from_numpy(x))
        assert bits.dtype == dtype
        assert np.array_equal(bits.numpy().T.astype(bool), wanted)
    assert layer.output_shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3), r"shape \(2, 3\), expected \(N, 4\)"),
        (torch.tensor([[0, 1, 2, -1]]), "value -1; allowed are 0..10"),
        (torch.tensor([[0, 1, 2, 11]]), "value 11; allowed are 0..10"),
        (torch.tensor([[0, 1, 2, 0.5]]), "0.5, which is no integer"),
        (torch.tensor([[0, 1, 2, float("nan")]]), "nan, which is no integer"),
    ],
)
def test_thermometer_refuses_bad_input(x: torch.Tensor, message: str) -> None:
    layer = Thermometer([[1, 5]] * 4, (4,), 10)
    for mode in (True, False):
        with pytest.raises(InputError, match=message):
            layer.train(mode)(x)


def test_thermometer_quantises_with_scale_and_offset() -> None:
    layer = Thermometer([[1], [1]], (2,), 255, scale=[10, 1], offset=[-1, 0])
    assert layer.quantise(np.array([[0.0, 3.0], [99.0, -5.0]])).tolist() == [[10, 3], [255, 0]]
    assert {"thresholds", "scale", "offset"} <= layer.state_dict().keys()


@pytest.mark.parametrize("kind", ["uniform", "quantile"])
def test_thresholds_rise_strictly_even_on_constant_data(kind) -> None:
    rng = np.random.default_rng(0)
    for x in (np.zeros((20, 2)), np.full((20, 2), 9), rng.integers(0, 10, (20, 2))):
        thresholds = choose_thresholds(x, 4, 9, kind)
        assert thresholds.shape == (2, 4)
        assert (np.diff(thresholds, axis=1) > 0).all()
        assert thresholds.min() >= 0
        assert thresholds.max() < 9
    assert choose_thresholds(np.arange(17)[:, None], 3, 16).tolist() == [[4, 8, 12]]
    with pytest.raises(InputError, match="10 thresholds asked for"):
        choose_thresholds(np.zeros((3, 1)), 10, 9, kind)


def _conv_by_hand(layer: LogicConv2d, x: np.ndarray) -> np.ndarray:
    """(C, H, W, N) bits to (K, rows, columns, N), one gate at a time."""
    (ph, pw), (sh, sw) = layer.padding, layer.stride
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    tables = [
        level.tables().numpy().reshape(layer.kernels, -1)
        for level in layer.gates  # type: ignore[union-attr]
    ]
    out = np.empty((*layer.output_shape, x.shape[-1]), int)
    for k, r, c in itertools.product(*map(range, layer.output_shape)):
        signals = [
            x[channel, r * sh + dr, c * sw + dc] for channel, dr, dc in layer.leaves[k].tolist()
        ]
        for table in tables:
            pairs = zip(signals[0::2], signals[1::2], table[k], strict=True)
            signals = [(int(tt) >> (2 * a + b)) & 1 for a, b, tt in pairs]
        out[k, r, c] = signals[0]
    return out


@pytest.mark.parametrize("parametrisation", ["softmax16", "inputwise"])
@pytest.mark.parametrize(
    "options",
    [
        {"field": 3, "depth": 1},
        {"field": 3, "depth": 3, "padding": 1, "stride": 2},
        {"field": (1, 2), "depth": 2, "padding": (1, 0), "stride": (2, 1), "channels_per_tree": 3},
    ],
)
def test_conv_is_a_tree_of_gates_at_each_position(parametrisation, options) -> None:
    layer = LogicConv2d((3, 5, 6), 4, parametrisation=parametrisation, **options)
    _randomise(layer)
    x = _bits(3, 5, 6, 20)
    wanted = _conv_by_hand(layer, x.numpy()).reshape(-1, 20)
    assert np.array_equal(layer.eval()(x.reshape(-1, 20)).numpy(), wanted)
    with torch.no_grad():  # saturated, the relaxed network is the discrete one
        for gates in layer.gates:
            gates.set_tables(gates.tables())  # type: ignore[union-attr]
            gates.weight.mul_(1e3)  # type: ignore[union-attr]
    relaxed = layer.train()(x.reshape(-1, 20).float())
    assert np.abs(relaxed.detach().numpy() - wanted).max() < 1e-5


def test_conv_gradients_are_right() -> None:
    layer = LogicConv2d((2, 3, 3), 3, field=2, depth=2, padding=1).double()
    _randomise(layer)
    x = torch.rand(18, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_pool_is_max_and_only_the_first_winner_gets_gradient() -> None:
    layer = OrPool2d((1, 2, 4), 2)
    x = torch.tensor([0.1, 0.9, 0.4, 0.4, 0.2, 0.3, 0.4, 0.1]).reshape(8, 1).requires_grad_()
    out = layer(x)
    assert out.flatten().tolist() == pytest.approx([0.9, 0.4])
    out.sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 0, 0, 0, 0, 0]


def test_pool_with_padding_and_stride_is_or_of_the_window() -> None:
    layer = OrPool2d((2, 5, 4), 3, stride=(2, 1), padding=1).eval()
    x = (torch.rand(2, 5, 4, 30, generator=torch.Generator().manual_seed(0)) < 0.1).to(torch.int8)
    padded = np.pad(x.numpy(), ((0, 0), (1, 1), (1, 1), (0, 0)))
    wanted = np.stack(
        [[padded[:, r : r + 3, c : c + 3].max((1, 2)) for c in range(4)] for r in range(0, 5, 2)]
    )
    got = layer(x.reshape(-1, 30)).reshape(2, 3, 4, 30)
    assert got.dtype == torch.int8
    assert np.array_equal(got.numpy(), wanted.transpose(2, 0, 1, 3))


@pytest.mark.parametrize("parametrisation", ["softmax16", "inputwise"])
def test_dense_is_its_truth_tables(parametrisation) -> None:
    layer = LogicDense(12, 30, parametrisation=parametrisation)
    _randomise(layer)
    x = _bits(12, 50)
    a, b = x[layer.wiring[:, 0].long()], x[layer.wiring[:, 1].long()]
    wanted = (layer.gates.tables()[:, None].int() >> (2 * a + b)) & 1
    assert torch.equal(layer.eval()(x).int(), wanted.int())


def test_groups_are_contiguous_and_as_equal_as_possible() -> None:
    assert group_bounds(10, 4) == [0, 3, 6, 8, 10]
    with pytest.raises(InputError, match="class 3 has no outputs"):
        group_bounds(3, 5)
    layer = GroupSum(10, 4, tau=2.0)
    x = _bits(10, 6)
    wanted = np.add.reduceat(x.numpy(), [0, 3, 6, 8], axis=0).T
    hard, soft = layer.eval()(x.to(torch.int8)), layer.train()(x.float())
    assert hard.dtype == torch.int64
    assert np.array_equal(hard.numpy(), wanted)
    assert np.array_equal(soft.numpy(), wanted / 2)


def test_state_dict_carries_the_wiring() -> None:
    def layers(seed: int) -> torch.nn.Sequential:
        rng = np.random.default_rng(seed)
        conv = LogicConv2d((3, 4, 4), 5, field=2, rng=rng)
        return torch.nn.Sequential(conv, LogicDense(conv.output_shape, 20, rng=rng))

    first, second = layers(1), layers(2)
    _randomise(first)
    x = _bits(48, 10)
    wanted = first.eval()(x)
    assert not torch.equal(second.eval()(x), wanted)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x), wanted)
    assert "in0" not in "".join(first.state_dict())


def test_wrong_shapes_and_wiring_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(5, 2\), expected \(12, batch\)"):
        LogicDense(12, 3)(torch.zeros(5, 2))
    with pytest.raises(InputError, match="does not fit"):
        LogicConv2d((1, 2, 2), 3, field=3)
    with pytest.raises(InputError, match=r"reads \(channels, rows, columns\)"):
        OrPool2d((8,))
    with pytest.raises(InputError, match="outside the input of 4"):
        LogicDense(4, 1, wiring=[[0, 4]])


@pytest.mark.parametrize("window", [16, 17])
def test_a_pool_of_more_places_than_a_byte_counts_is_done_on_its_own(window) -> None:
    layer = LogicConv2d((1, 18, 18), 2, field=2, depth=1)
    pool = OrPool2d(layer.output_shape, window)
    assert layer.training
    x = torch.rand(18 * 18, 3, requires_grad=True)
    results = []
    for out in (layer(x, pool), pool(layer(x))):
        (grad,) = torch.autograd.grad(out.sum(), x)
        results.append((out, grad))
    assert all(torch.allclose(a, b) for a, b in zip(*results, strict=True))
