"""Wiring drawn again, against layers that draw as difflogic's do, from the global generator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn.replay import draw_again


def random_pairs(n_inputs, n_gates):
    """Two permutations, as plainly as can be."""
    places = [int(p) % n_inputs for p in torch.randperm(2 * n_gates)]
    shuffled = torch.randperm(n_inputs).tolist()
    reads = [shuffled[p] for p in places]
    return reads[:n_gates], reads[n_gates:]


def unique_pairs(n_inputs, n_gates):
    even = [(i, i + 1) for i in range(0, n_inputs - 1, 2)]
    odd = [(i, i + 1) for i in range(1, n_inputs - 1, 2)]
    far = ((i, i + d) for d in itertools.count(2) for i in range(n_inputs - d))
    pairs = [*even, *odd, *itertools.islice(far, max(0, n_gates - n_inputs + 1))][:n_gates]
    chosen = [pairs[p] for p in torch.randperm(n_gates).tolist()]
    return [a for a, _ in chosen], [b for _, b in chosen]


def build(n_inputs, widths, draw):
    """(weights, a, b) of each layer, drawn as a model's layers are when it is made."""
    layers = []
    for n_gates in widths:
        weights = torch.randn(n_gates, 16)
        layers.append((weights.numpy(), *draw(n_inputs, n_gates)))
        n_inputs = n_gates
    return layers


@pytest.mark.parametrize(("name", "draw"), [("random", random_pairs), ("unique", unique_pairs)])
@pytest.mark.parametrize("sizes", [(20, (30, 16, 40)), (7, (5, 10)), (64, (200, 100)), (9, (8,))])
@pytest.mark.parametrize("before", [(), (60,)])
def test_the_same_wiring_and_weights(name, draw, sizes, before):
    n_inputs, widths = sizes
    torch.manual_seed(5)
    for size in before:
        torch.utils.data.random_split(range(size), [size // 3, size - size // 3])
    layers = build(n_inputs, widths, draw)
    state = torch.get_rng_state()
    drawn = draw_again(n_inputs, widths, seed=5, connections=name, before=before)
    assert torch.equal(torch.get_rng_state(), state)
    for number, (weights, a, b) in enumerate(layers):
        np.testing.assert_array_equal(drawn.weights[number], weights)
        assert drawn.wiring[f"a_{number}"].tolist() == list(a)
        assert drawn.wiring[f"b_{number}"].tolist() == list(b)
    other = draw_again(n_inputs, widths, seed=6, connections=name, before=before)
    assert not np.array_equal(other.wiring["a_0"], drawn.wiring["a_0"])


def test_a_model_built_on_a_gpu_draws_its_weights_elsewhere():
    torch.manual_seed(1)
    expected = [random_pairs(20, 30), random_pairs(30, 20)]
    drawn = draw_again(20, (30, 20), seed=1, device="cuda")
    assert drawn.weights == ()
    for number, (a, b) in enumerate(expected):
        assert drawn.wiring[f"a_{number}"].tolist() == a
        assert drawn.wiring[f"b_{number}"].tolist() == b


def test_impossible_sizes_are_refused():
    with pytest.raises(InputError, match="too few to read its 20 inputs"):
        draw_again(20, (9,), seed=0)
    with pytest.raises(InputError, match="no 50 unique pairs"):
        draw_again(6, (50,), seed=0, connections="unique")
