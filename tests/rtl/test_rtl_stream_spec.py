"""Scan geometry against windows cut from padded maps, pools against plain ORs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.rtl.stream_spec import (
    LanePool,
    PoolSpec,
    WindowGeometry,
    WindowSpec,
    is_lane_pool,
)


def window_spec(size, field, stride, padding):
    """All taps of a field of one channel, each an output."""
    positions = tuple(
        (n + 2 * p - f) // s + 1 for n, f, s, p in zip(size, field, stride, padding, strict=True)
    )
    taps = np.array([(0, *place) for place in np.ndindex(*field)], np.int32)
    net = NetlistBuilder(len(taps)).build(2 * np.arange(1, len(taps) + 1))
    return WindowSpec("w", net, taps, 1, size, positions, field, stride, padding)


def scanned(spec: WindowSpec, lanes: int, frames: list[np.ndarray]) -> list[np.ndarray]:
    """What stands at the taps whenever the geometry says that a group flows out: a slow model of
    the registers and lines that starts with rubbish in them (9)."""
    geo = WindowGeometry.of(spec, lanes)
    history = [9] * (lanes * geo.n_rows * geo.n_groups)
    found = []
    row, group = geo.start
    is_cold = geo.is_cold
    pixels = iter(np.concatenate([_groups(frame, lanes) for frame in frames]))
    n_ticks = geo.n_rows * geo.n_groups
    first = n_ticks - (row * geo.n_groups + group) if is_cold else 0
    for _ in range(first + n_ticks * len(frames)):
        entering = next(pixels) if geo.takes(row, group) else [0] * lanes
        history += list(entering)
        if geo.gives(row, group) and not is_cold:
            for lane in range(geo.out_lanes):
                found.append([_tap(spec, geo, history, k, lane) for k in range(len(spec.taps))])
        group = (group + 1) % geo.n_groups
        row = (row + (group == 0)) % geo.n_rows
        is_cold = is_cold and (row, group) != (0, 0)
    assert next(pixels, None) is None
    columns = -(-spec.positions[1] // geo.out_lanes) * geo.out_lanes
    shape = (len(frames), spec.positions[0], columns, *spec.field)
    return list(np.array(found).reshape(shape)[:, :, : spec.positions[1]])


def _tap(spec, geo, history, number, out_lane):
    _, line, lane, ticks = geo.tap(spec, number, out_lane)
    age = (line * geo.n_groups + ticks) * geo.lanes + geo.lanes - 1 - lane
    return history[len(history) - 1 - age]


def _groups(frame: np.ndarray, lanes: int) -> np.ndarray:
    rows, columns = frame.shape
    padded = np.zeros((rows, -(-columns // lanes) * lanes), int)
    padded[:, :columns] = frame
    return padded.reshape(-1, lanes)


def windows(spec: WindowSpec, frame: np.ndarray) -> np.ndarray:
    (fh, fw), (sh, sw), (ph, pw) = spec.field, spec.stride, spec.padding
    padded = np.pad(frame, ((ph, ph), (pw, pw)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (fh, fw))
    return views[::sh, ::sw][: spec.positions[0], : spec.positions[1]]


CASES = [
    ((4, 4), field, stride, padding)
    for field, stride, padding in itertools.product(
        [(1, 1), (3, 3), (2, 3)], [(1, 1), (2, 2), (1, 2)], [(0, 0), (1, 1), (0, 2), (2, 0)]
    )
] + [
    ((5, 6), (5, 5), (1, 1), (0, 0)),
    ((3, 5), (3, 3), (3, 3), (1, 1)),
    ((1, 1), (3, 3), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("case", CASES)
def test_geometry_shows_every_window(case, lanes):
    spec = window_spec(*case)
    if lanes % spec.stride[1] and spec.stride[1] % lanes:
        with pytest.raises(InputError, match="positions-per-clock"):
            WindowGeometry.of(spec, lanes)
        return
    rng = np.random.default_rng(0)
    frames = [rng.integers(1, 3, spec.input_size) for _ in range(3)]
    for frame, found in zip(frames, scanned(spec, lanes, frames), strict=True):
        assert np.array_equal(found, windows(spec, frame))


def test_model_of_the_scan_sees_a_shifted_row():
    spec = window_spec((4, 4), (3, 3), (1, 1), (1, 1))
    wrong = window_spec((4, 4), (3, 3), (1, 1), (1, 0))
    frame = np.random.default_rng(0).integers(1, 3, (4, 4))
    assert not np.array_equal(scanned(spec, 1, [frame])[0][:, :2], windows(wrong, frame))


def pool_spec(size, window, stride, padding):
    positions = tuple(
        (n + 2 * p - w) // s + 1 for n, w, s, p in zip(size, window, stride, padding, strict=True)
    )
    return PoolSpec("p", (0,), 1, size, positions, window, stride, padding, "p", (0,))


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [
        ((2, 2), (2, 2), (0, 0)),
        ((2, 2), (2, 2), (1, 1)),
        ((3, 2), (4, 3), (2, 1)),
        ((1, 1), (1, 1), (0, 0)),
    ],
)
def test_pool_ends_each_window_once(window, stride, padding):
    size = (7, 9)
    spec = pool_spec(size, window, stride, padding)
    pool = LanePool(spec, 1)
    for axis in (0, 1):
        ends = [place for place in range(size[axis]) if pool.ends(axis, place)]
        expected = [
            min(size[axis] - 1, k * stride[axis] - padding[axis] + window[axis] - 1)
            for k in range(spec.positions[axis])
        ]
        assert ends == expected
        begins = [max(0, k * stride[axis] - padding[axis]) for k in range(spec.positions[axis])]
        assert all(pool.is_first(axis, place) for place in begins)


def test_lane_pool_needs_windows_that_fill_lanes():
    assert is_lane_pool(pool_spec((8, 8), (2, 2), (2, 2), (0, 0)), 4)
    assert not is_lane_pool(pool_spec((8, 8), (2, 2), (2, 2), (1, 1)), 4)
    assert is_lane_pool(pool_spec((8, 8), (2, 2), (2, 2), (1, 1)), 1)
    assert not is_lane_pool(pool_spec((8, 8), (3, 3), (2, 2), (1, 1)), 1)
