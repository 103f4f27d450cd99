"""Schedules: warm-up, cosine, constant and annealed values at the steps that matter."""

import math

import pytest

from gate2hw.nn.schedule import anneal, rate_factor


def test_cosine_falls_from_one_to_zero() -> None:
    assert [rate_factor(step, 8) for step in (0, 4, 8)] == pytest.approx([1, 0.5, 0])
    assert rate_factor(2, 8) == pytest.approx(0.5 + math.sqrt(0.125))


def test_warm_up_rises_evenly_and_then_hands_over() -> None:
    rates = [rate_factor(step, 10, warmup_steps=4) for step in range(11)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[7] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(0)
    assert [rate_factor(s, 10, warmup_steps=1, kind="constant") for s in (0, 1, 9)] == [0.5, 1, 1]


def test_anneal_goes_in_equal_ratios() -> None:
    assert [anneal(4.0, 1.0, share) for share in (0, 0.5, 1)] == pytest.approx([4, 2, 1])
    assert anneal(4.0, 0.0, 0.7) == 4.0
    assert anneal(4.0, 1.0, 1.5) == 1.0
