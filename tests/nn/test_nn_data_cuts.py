"""Cuts of a column of numbers: as equal parts as its values allow, from training rows alone."""

from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn.data import load_dataset, quantile_cuts
from gate2hw.nn.recipe import DataSpec


def _parts(values: np.ndarray, cuts: tuple[float, ...]) -> list[int]:
    return np.bincount((values[:, None] > np.array(cuts)).sum(1), minlength=len(cuts) + 1).tolist()


def test_different_values_are_cut_into_equal_parts() -> None:
    values = np.random.default_rng(0).permutation(100).astype(float)
    cuts = quantile_cuts(values, 4)
    assert _parts(values, cuts) == [20] * 5
    assert quantile_cuts(values, 1) == (49.0,)


def test_a_heavy_value_leaves_the_other_cuts_to_the_rest() -> None:
    values = np.array([0.0] * 900 + list(range(1, 101)))
    cuts = quantile_cuts(values, 5)
    assert cuts[0] == 0
    assert _parts(values, cuts) == [900] + [20] * 5
    middle = np.array([1.0] * 5 + [2.0] * 90 + [3.0] * 5)
    assert quantile_cuts(middle, 1) in ((1.0,), (2.0,))


def test_few_values_are_all_told_apart() -> None:
    values = np.array([3.0, 1.0, 2.0, 2.0])
    assert quantile_cuts(values, 7) == (1.0, 2.0)
    assert quantile_cuts(values[:1], 7) == (3.0,)


@pytest.mark.parametrize("n_cuts", [1, 2, 3, 7, 20])
def test_cuts_rise_and_divide(n_cuts: int) -> None:
    rng = np.random.default_rng(n_cuts)
    for _ in range(50):
        values = rng.integers(0, rng.integers(1, 30), rng.integers(1, 60)).astype(float)
        cuts = quantile_cuts(values, n_cuts)
        assert 1 <= len(cuts) <= n_cuts
        assert (np.diff(cuts) > 0).all()
        if len(set(values)) > 1:
            assert min(_parts(values, cuts)) > 0


def test_cuts_know_nothing_of_the_test_samples(tmp_path: Path) -> None:
    lines = ["v,c"] + [f"{i},{i % 2}" for i in range(100)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    spec = DataSpec(source="own.csv", target="c", cuts=3)
    data = load_dataset(spec, folders=[tmp_path])
    held_out = len(data.x_test) + len(data.x_validation)
    number = DataSpec(source="own.csv", target="c")
    rows = load_dataset(number, folders=[tmp_path])
    others = set(rows.x_test[:, 0]) | set(rows.x_validation[:, 0])
    assert held_out == len(others)
    changed = [f"{i + 1000 * (i in others)},{i % 2}" for i in range(100)]
    path.write_text("\n".join(["v,c", *changed]))
    again = load_dataset(spec, folders=[tmp_path])
    assert again.columns == data.columns
    assert (again.x_test == 1).all()


def test_cuts_are_for_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"digits: data\.cuts is for tables"):
        load_dataset(DataSpec(cuts=3))
