"""Learned wiring: mixtures by hand, and frozen or discrete the same as ordinary wiring."""

import copy

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import LogicConv2d, LogicDense
from gate2hw.nn.ops import logic_mix
from gate2hw.nn.topk import LearnedWiring
from gate2hw.nn.wiring import balanced_rows, candidate_leaves


def _randomise(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 2, generator=generator)


def _dense(estimator="soft", seed: int = 0) -> LogicDense:
    rows = balanced_rows(9, 6, 14, np.random.default_rng(seed))
    layer = LogicDense(14, 9)
    layer.learn_wiring(LearnedWiring(rows.reshape(18, 3), estimator=estimator))
    _randomise(layer, seed)
    return layer


def _conv(estimator="soft", seed: int = 0) -> LogicConv2d:
    tree = {"n_channels": 3, "field": (3, 2), "channels_per_tree": 2}
    candidates = candidate_leaves(5, 4, 3, rng=np.random.default_rng(seed), **tree)
    layer = LogicConv2d((3, 5, 4), 5, field=(3, 2), depth=2, padding=1, stride=(2, 1))
    layer.learn_wiring(LearnedWiring(candidates.reshape(20, 3, 3), estimator=estimator))
    _randomise(layer, seed)
    return layer


def _bits(n_rows: int, n_samples: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (n_rows, n_samples), generator=generator)


def test_mixtures_by_hand_and_its_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    shares = torch.rand(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    places = torch.randint(0, 7, (6, 4), generator=generator)
    result = logic_mix(x, shares, places)
    for row in range(6):
        wanted = sum(shares[row // 2, k] * x[places[row, k]] for k in range(4))
        torch.testing.assert_close(result[row], wanted)
    assert torch.autograd.gradcheck(lambda a, s: logic_mix(a, s, places), (x, shares))


def test_the_dense_mixture_by_hand() -> None:
    layer = _dense().train()
    assert layer.select is not None
    x = torch.rand(14, 6, generator=torch.Generator().manual_seed(1))
    shares = torch.softmax(layer.select.weight, 1)
    candidates = layer.select.candidates.long()
    c = layer.gates.relaxed()
    result = layer(x)
    for gate in range(9):
        a, b = ((shares[i, :, None] * x[candidates[i]]).sum(0) for i in (2 * gate, 2 * gate + 1))
        wanted = c[gate, 0] + c[gate, 1] * a + c[gate, 2] * b + c[gate, 3] * a * b
        torch.testing.assert_close(result[gate], wanted)


@pytest.mark.parametrize("make", [_dense, _conv])
@pytest.mark.parametrize("seed", [0, 1])
def test_discrete_and_frozen_are_ordinary_wiring(make, seed: int) -> None:
    layer = make(seed=seed)
    layer.eval()
    plain = copy.deepcopy(layer)
    plain.select = None
    x = _bits(14 if make is _dense else 60)
    assert torch.equal(layer(x), plain(x))
    with torch.no_grad():
        layer.select.weight.neg_()
    layer.train()
    layer.eval()
    assert not torch.equal(layer(x), plain(x))  # the choice is followed, not remembered
    with torch.no_grad():
        layer.select.weight.neg_()
    layer.train()
    plain.train()
    real = torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(layer(real), plain(real))
    layer.freeze_wiring(True)
    assert torch.equal(layer(real), plain(real))
    layer(real).sum().backward()
    assert layer.select.weight.grad is None
    layer.freeze_wiring(False)
    layer(real).sum().backward()
    assert layer.select.weight.grad is not None


@pytest.mark.parametrize("make", [_dense, _conv])
def test_straight_through_reads_the_chosen_candidate(make) -> None:
    hard, soft = make("straight-through").train(), make("soft").train()
    plain = make().eval()
    plain.select = None
    plain.train()
    x = torch.rand(14 if make is _dense else 60, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(hard(x), plain(x))
    assert not torch.allclose(soft(x), plain(x))
    hard(x).sum().backward()
    assert hard.select.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("make", [_dense, _conv])
def test_state_dict_is_complete_and_stale_wiring_is_not_believed(make) -> None:
    layer, other = make(seed=0).eval(), make(seed=5).eval()
    state = layer.state_dict()
    name = "wiring" if make is _dense else "leaves"
    state[name] = torch.zeros_like(state[name])
    other.load_state_dict(state)
    x = _bits(14 if make is _dense else 60)
    assert torch.equal(getattr(other, name), getattr(layer, name))
    assert torch.equal(other(x), layer(x))


def test_the_start_is_the_share_of_the_first_candidate() -> None:
    select = LearnedWiring(np.arange(10).reshape(2, 5), start=0.6, temperature=2.0)
    torch.testing.assert_close(select.shares()[:, 0], torch.tensor([0.6, 0.6]))
    torch.testing.assert_close(select.shares()[:, 1:], torch.full((2, 4), 0.1))
    assert select.chosen().tolist() == [0, 5]


def test_bad_learned_wiring_is_refused() -> None:
    with pytest.raises(InputError, match="needs two candidates"):
        LearnedWiring([[1], [2]])
    with pytest.raises(InputError, match="start of learned wiring is 1"):
        LearnedWiring([[1, 2]], start=1)
    with pytest.raises(InputError, match="did you mean 'straight-through'"):
        LearnedWiring([[1, 2]], estimator="straight-thru")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "n_candidates", "fits"),
    [(0.05, 8, False), (0.05, 64, True), (0.333333, 3, True), (0.3, 3, False)],
)
def test_a_start_below_an_equal_share_is_refused(start, n_candidates, fits) -> None:
    candidates = np.arange(n_candidates).reshape(1, -1)
    if fits:
        assert LearnedWiring(candidates, start=start).chosen().numel() == 1
        return
    with pytest.raises(InputError, match="less than an equal share"):
        LearnedWiring(candidates, start=start)


@pytest.mark.parametrize("make", [_dense, _conv])
def test_places_stay_the_same_tensor_until_weights_are_loaded(make) -> None:
    layer = make()
    before = layer.places
    layer.settle()
    layer.eval().train()
    assert layer.places is before
    other = make(seed=1)
    with torch.no_grad():
        other.select.candidates.copy_(other.select.candidates.flip(1))
    layer.load_state_dict(other.state_dict())
    other.place_candidates()
    assert torch.equal(layer.places, other.places)
    assert not torch.equal(layer.places, before)
