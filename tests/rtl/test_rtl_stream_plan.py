# amaranth: UnusedElaboratable=no
"""Timing and sizes by arithmetic: known designs by hand, layouts against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from stream_nets import conv, thermometer

from gate2hw.flow.stream.streaming import composed, stream_spec
from gate2hw.ir.layers import GroupSum, OrPool
from gate2hw.ir.network import chain
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.stream_plan import MapLayout
from gate2hw.rtl.stream_spec import is_memory
from gate2hw.rtl.stream_top import StreamTop


def plan(layers, *, lanes=1, bus_bytes=1, n_classes=2):
    shape = layers[-1].output_shape
    cuts = np.linspace(0, int(np.prod(shape)), n_classes + 1).astype(np.int64)
    named = [(f"l{n}", layer) for n, layer in enumerate([*layers, GroupSum(shape, cuts)])]
    network = chain(named)
    spec = stream_spec(network, level=1, care="none", output="scores", lanes=lanes).spec
    top = StreamTop(spec, composed(network, spec), RtlOptions(output="scores", bus_bytes=bus_bytes))
    return top.plan


def mnist_like(rng, padding):
    first = thermometer(rng, (1, 28, 28), 1)
    here = conv(rng, first.output_shape, (3, 3), padding=padding)
    return [first, here, OrPool(here.output_shape, (2, 2), (2, 2))]


def test_without_padding_an_image_takes_a_clock_a_pixel():
    rng = np.random.default_rng(0)
    assert plan(mnist_like(rng, (0, 0))).interval_cycles == 28 * 28


def test_padding_takes_a_row_and_a_column_more():
    rng = np.random.default_rng(0)
    found = plan(mnist_like(rng, (1, 1)))
    assert found.stages[0].ticks == 29 * 29
    assert found.interval_cycles == 29 * 29
    # after the last pixel the scan has the column and the row of zeros to go
    assert plan(mnist_like(rng, (0, 0))).latency_cycles + 1 + 29 == found.latency_cycles


def test_positions_a_clock_divide_the_interval():
    rng = np.random.default_rng(0)
    assert plan(mnist_like(rng, (0, 0)), lanes=2, bus_bytes=2).interval_cycles == 28 * 14
    # of 26 columns the last two stand in a group of their own, a clock behind the row's last pixel
    assert plan(mnist_like(rng, (0, 0)), lanes=4, bus_bytes=4).interval_cycles == 28 * (7 + 1)


def test_colours_wait_in_memory():
    rng = np.random.default_rng(0)
    first = thermometer(rng, (3, 8, 8), 2)
    here = conv(rng, first.output_shape, (3, 3), depth=5, kernels=8)
    found = plan([first, here])
    assert found.interval_cycles == 3 * 64
    assert found.input_bits == 2 * 64 * 2


def test_long_results_hold_up_short_frames():
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 2, 3), 1)
    here = conv(rng, first.output_shape, (1, 2), kernels=9)
    assert plan([first, here], n_classes=20).interval_cycles == 21


def test_an_interval_is_that_of_full_buffers():
    # results leave a clock slower than frames come: it takes many frames until this shows
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 4, 5), 1)
    here = conv(rng, first.output_shape, (1, 2), kernels=30)
    assert plan([first, here], n_classes=20).interval_cycles == 21


def test_pixels_that_no_window_reads_do_not_stand_in_the_way():
    # the map is whole before the frame is, whose last pixels bring its verdict
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 8, 4), 1)
    here = conv(rng, first.output_shape, (1, 3), (2, 2))
    assert plan([first, here]).interval_cycles == 32


def test_windows_in_the_padding_do_not_come_before_their_frame():
    # such windows need no pixel; given out early they would stand before the frame's own verdict
    rng = np.random.default_rng(0)
    first = thermometer(rng, (1, 4, 7), 1)
    one = conv(rng, first.output_shape, (1, 1), (3, 1), (1, 0))
    two = conv(rng, one.output_shape, (2, 1), (2, 1), (1, 2))
    assert plan([first, one, two]).interval_cycles >= 28


def test_memory_bits_are_those_of_large_delays():
    rng = np.random.default_rng(0)
    found = plan(mnist_like(rng, (0, 0)))
    for stage in found.stages:
        width, length = stage.delay_width, stage.delay_length
        assert stage.memory_bits == (width * length if is_memory(width, length) else 0)
    assert found.memory_bits == sum(stage.memory_bits for stage in found.stages)


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_layout_finds_every_bit_of_the_map(lanes):
    shape, channels = (4, 3, 6), (0, 2, 3)
    layout = MapLayout(shape, channels, lanes)
    bits = np.random.default_rng(lanes).integers(0, 2, shape)
    flowing = np.zeros((layout.n_groups, lanes * len(channels)), int)
    for row in range(shape[1]):
        for column in range(shape[2]):
            group, lane = divmod(column, lanes)
            start = lane * len(channels)
            number = row * layout.row_groups + group
            flowing[number, start : start + len(channels)] = bits[list(channels), row, column]
    for bit in range(bits.size):
        if bit // 18 in channels:
            wire, group = layout.place(bit)
            assert flowing[group, wire] == bits.ravel()[bit]
    kept = bits.copy()
    kept[1] = 0
    for start, stop in [(0, 72), (0, 25), (25, 50), (7, 8), (18, 36)]:
        total = 0
        for wire, (first, last, lane) in layout.terms(start, stop):
            valid = [
                g
                for g in range(first, last + 1)
                if (g % layout.row_groups) * lanes + lane < shape[2]
            ]
            total += int(flowing[valid, wire].sum())
        assert total == int(kept.ravel()[start:stop].sum())
