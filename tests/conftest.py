"""Fixtures that the tests of all rooms share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gate2hw.ir.layers import GroupSum, Layer, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.network import LogicNetwork, chain


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets that `GATE2HW_DATA` names; skips the test where there is none."""
    name = os.environ.get("GATE2HW_DATA", "")
    if not name or not Path(name).is_dir():
        pytest.skip("GATE2HW_DATA names no folder of data sets")
    return Path(name)


def _tables(rng: np.random.Generator, shape: tuple[int, ...], arity: int) -> np.ndarray:
    """Random tables of `arity` inputs: uint64 with 2**arity random bits each."""
    words = rng.integers(0, 2**64, size=shape, dtype=np.uint64)
    return words >> np.uint64(64 - (1 << arity))


def _thermometer(
    rng: np.random.Generator, shape: tuple[int, ...], n_thresholds: int, max_value: int
) -> Thermometer:
    rows = [
        np.sort(rng.choice(max_value, size=n_thresholds, replace=False)) for _ in range(shape[0])
    ]
    return Thermometer(shape, np.array(rows, np.int32), max_value)


def _conv(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    kernels: int,
    field: tuple[int, int],
    depth: int,
    arity: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> LogicConv:
    leaves = rng.integers(0, [shape[0], *field], size=(kernels, arity**depth, 3))
    tables = tuple(
        _tables(rng, (kernels, arity ** (depth - 1 - level)), arity) for level in range(depth)
    )
    return LogicConv(shape, leaves, tables, field, stride, padding, arity)


def _dense(
    rng: np.random.Generator, shape: tuple[int, ...], neurons: int, arity: int
) -> LogicDense:
    wiring = rng.integers(0, int(np.prod(shape)), size=(neurons, arity))
    return LogicDense(shape, wiring, _tables(rng, (neurons,), arity))


def make_network(
    seed: int = 0,
    *,
    input_shape: tuple[int, ...] = (1, 6, 6),
    thresholds: int = 2,
    max_value: int = 255,
    kernels: int = 4,
    field: tuple[int, int] = (3, 3),
    depth: int = 2,
    arity: int = 2,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    pool: tuple[int, int] | None = (2, 2),
    pool_stride: tuple[int, int] | None = None,
    pool_padding: tuple[int, int] = (0, 0),
    dense: tuple[int, ...] = (40,),
    dense_arity: int = 2,
    n_classes: int = 3,
    class_names: tuple[str, ...] = (),
) -> LogicNetwork:
    """A random LogicNetwork: thermometer, convolution, pool, dense layers, GroupSum.

    A tabular `input_shape` ``(F,)`` has no convolution and no pool, ``kernels=0`` leaves the
    convolution out, ``pool=None`` the pool. Classes are contiguous and of unequal size.
    """
    rng = np.random.default_rng(seed)
    encoder = _thermometer(rng, input_shape, thresholds, max_value)
    layers: list[tuple[str, Layer]] = [("thermometer", encoder)]
    if len(input_shape) == 3 and kernels:
        conv = _conv(
            rng,
            encoder.output_shape,
            kernels=kernels,
            field=field,
            depth=depth,
            arity=arity,
            stride=stride,
            padding=padding,
        )
        layers.append(("conv1", conv))
    if len(input_shape) == 3 and pool is not None:
        shape = layers[-1][1].output_shape
        layers.append(("pool1", OrPool(shape, pool, pool_stride or pool, pool_padding)))
    for number, neurons in enumerate(dense, start=1):
        shape = layers[-1][1].output_shape
        layers.append((f"dense{number}", _dense(rng, shape, neurons, dense_arity)))
    shape = layers[-1][1].output_shape
    size = int(np.prod(shape))
    cuts = np.sort(rng.choice(np.arange(1, size), size=n_classes - 1, replace=False))
    layers.append(("sum", GroupSum(shape, np.concatenate([[0], cuts, [size]]), tau=4.0)))
    return chain(layers, class_names=class_names, dataset="random")


@pytest.fixture(scope="session")
def random_network() -> Callable[..., LogicNetwork]:
    """The factory `make_network(seed, *, input_shape=..., kernels=..., dense=..., ...)`."""
    return make_network
