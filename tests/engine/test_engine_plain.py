"""The NumPy path gives the bits of the reference."""

from __future__ import annotations

import numpy as np
import pytest
from engine_nets import random_net, random_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.engine import plain
from gate2hw.engine.plain import PlainProgram
from gate2hw.ir import simulate


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_gates=st.integers(0, 150),
    n_outputs=st.integers(0, 40),
    n_classes=st.sampled_from([1, 2, 10, 200]),
    max_value=st.sampled_from([1, 255, 65535]),
    head=st.sampled_from(["plain", "signed", "tied", "large"]),
    n=st.sampled_from([0, 1, 63, 64, 65, 130]),
)
def test_scores_are_those_of_the_reference(
    seed, n_gates, n_outputs, n_classes, max_value, head, n
) -> None:
    net = random_net(
        seed,
        n_gates=n_gates,
        n_outputs=n_outputs,
        n_classes=n_classes,
        max_value=max_value,
        head=head,
    )
    x = random_samples(net, n, seed)
    assert net.encoder is not None
    scores = PlainProgram(net).scores(x.reshape(n, net.encoder.n_features))
    np.testing.assert_array_equal(scores, simulate.scores(net, x))


@pytest.mark.parametrize("tt", range(16))
def test_each_function_is_its_table(tt) -> None:
    a, b = np.array([0b0011], np.uint64), np.array([0b0101], np.uint64)
    found = int(plain._function(tt, a, b)[0])
    for place, (x, y) in enumerate(((1, 1), (1, 0), (0, 1), (0, 0))):
        assert found >> place & 1 == tt >> (2 * x + y) & 1


@pytest.mark.parametrize("n_words", [0, 1, 2, 5, 64, 65, 130])
def test_narrow_blocks_give_the_same_words(monkeypatch, n_words) -> None:
    net = random_net(8, n_classes=0)
    words = simulate.random_words(net, n_words, np.random.default_rng(1))
    wanted = simulate.simulate(net, words)
    np.testing.assert_array_equal(PlainProgram(net).simulate(words), wanted)
    monkeypatch.setattr(plain, "_VALUES", 3 * net.n_nodes)
    np.testing.assert_array_equal(PlainProgram(net).simulate(words), wanted)
    monkeypatch.setattr(plain, "_VALUES", 1)
    np.testing.assert_array_equal(PlainProgram(net).simulate(words), wanted)


def test_its_ops_are_the_gates() -> None:
    assert PlainProgram(random_net(2, n_gates=77)).n_ops == 77
