# amaranth: UnusedElaboratable=no
"""The stream shell: stalls, back-to-back frames, wrong lengths, resets, every bus width."""

from __future__ import annotations

import numpy as np
import pytest
from rtl_nets import StreamRun, core_model, random_net, to_beats, to_bytes

from gate2hw.errors import InputError
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.rtl.layout import FrameLayout, ResultLayout
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.top import Top


def make_top(net, options, fault=None):
    return Top(net, options, core=core_model(net, options, fault))


def frames_of(net, options, x):
    """Every sample as its list of (beat, tlast)."""
    frames = []
    for sample in x:
        beats = to_beats(to_bytes(sample, net.encoder.bytes_per_feature), options.bus_bytes)
        frames.append([(beat, int(k == len(beats) - 1)) for k, beat in enumerate(beats)])
    return frames


def expected_frames(net, options, x):
    """Result frames as DESIGN.md, part 3, says, computed with numpy and bytes only."""
    frames = []
    all_scores = scores(net, x)
    low, high = net.head.score_bounds().min(), net.head.score_bounds().max()
    signed = low < 0
    n_bytes = next(
        n
        for n in (1, 2, 3, 4)
        if (-(1 << 8 * n - 1) <= low and high < 1 << 8 * n - 1 if signed else high < 1 << 8 * n)
    )
    for index, row in zip(classes(all_scores).tolist(), all_scores.tolist(), strict=True):
        data = list(index.to_bytes(1 if net.n_classes <= 256 else 2, "little"))
        if options.output == "scores":
            for score in row:
                data += score.to_bytes(n_bytes, "little", signed=bool(signed))
        frames.append(to_beats(data, options.bus_bytes, junk=0))
    return frames


def flat(frames):
    return [beat for frame in frames for beat in frame]


SHAPES = {
    "bytes": {"n_features": 7, "thresholds": (50, 128)},
    "words": {"n_features": 5, "thresholds": (100, 255, 256, 700), "max_value": 1023},
    "one": {"n_features": 1, "thresholds": (3, 9, 100)},
    "eight": {"n_features": 8, "thresholds": (0,), "bias": (-2, 2), "weights": (-30, 40)},
}


@pytest.mark.parametrize("bus_bytes", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_random_stalls(shape, bus_bytes):
    rng = np.random.default_rng(bus_bytes)
    net = random_net(rng, n_gates=15, **SHAPES[shape])
    output = "scores" if bus_bytes in (2, 8) or shape == "eight" else "class"
    options = RtlOptions(bus_bytes=bus_bytes, output=output)
    x = random_features(net.encoder, 12, rng)
    run = StreamRun(
        make_top(net, options), flat(frames_of(net, options, x)), stall=0.4, seed=bus_bytes
    )
    assert run.frames == expected_frames(net, options, x)
    assert run.n_errors == 0
    assert run.protocol_errors == []


@pytest.mark.parametrize("bus_bytes", [1, 2, 8])
@pytest.mark.parametrize("output", ["class", "scores"])
@pytest.mark.parametrize(
    "registers",
    [
        {},
        {"register_gates": False, "register_scores": False, "register_argmax": False},
        {"gate_registers": (0, 2), "register_class": True},
    ],
    ids=["default", "combinational", "deep"],
)
def test_latency_and_interval_at_full_rate(registers, output, bus_bytes):
    rng = np.random.default_rng(11)
    net = random_net(rng, n_features=6, n_gates=15)
    options = RtlOptions(bus_bytes=bus_bytes, output=output, **registers)
    x = random_features(net.encoder, 9, rng)
    top = make_top(net, options)
    frames = frames_of(net, options, x)
    run = StreamRun(top, flat(frames))
    assert run.frames == expected_frames(net, options, x)
    n_beats = top.frame.frame_beats
    assert run.frame_cycles[0] - run.taken_cycles[n_beats - 1] == top.latency_cycles
    assert top.latency_cycles == top.ports.latency_cycles + 3
    steady = np.diff(run.taken_cycles[n_beats - 1 :: n_beats])[3:]
    assert (steady == top.interval_cycles).all()
    assert top.interval_cycles == max(n_beats, len(run.frames[0]))


def test_wrong_lengths_give_no_result_and_do_not_desynchronise():
    rng = np.random.default_rng(12)
    net = random_net(rng, n_features=6, n_gates=15)
    options = RtlOptions(bus_bytes=2)
    x = random_features(net.encoder, 7, rng)
    good = frames_of(net, options, x)
    short = [(beat, int(k == 1)) for k, (beat, _) in enumerate(good[0][:2])]
    single = [(good[0][0][0], 1)]
    long = [(beat, 0) for beat, _ in good[1]] + [(77, 0), (78, 0), (79, 1)]
    longer_by_one = [(beat, 0) for beat, _ in good[2]] + [(5, 1)]
    sequence = [good[0], short, good[1], long, good[2], single, single, good[3]]
    sequence += [longer_by_one, longer_by_one, good[4], long, short, good[5], good[6]]
    for stall in (0.0, 0.5):
        run = StreamRun(make_top(net, options), flat(sequence), stall=stall)
        assert run.frames == expected_frames(net, options, x)
        assert run.n_errors == 8
        assert run.protocol_errors == []


def test_frames_of_one_beat():
    rng = np.random.default_rng(13)
    net = random_net(rng, n_features=3, n_gates=15)
    options = RtlOptions(bus_bytes=4)
    x = random_features(net.encoder, 20, rng)
    frames = frames_of(net, options, x)
    long = [(1, 0), (2, 0), (3, 1)]
    run = StreamRun(make_top(net, options), flat([*frames[:10], long, *frames[10:]]))
    assert run.frames == expected_frames(net, options, x)
    assert run.n_errors == 1


@pytest.mark.parametrize("beats_before", [1, 3, 6, 7])
def test_reset_in_mid_frame(beats_before):
    """Whatever was under way is forgotten; the next frame starts afresh."""
    rng = np.random.default_rng(14)
    net = random_net(rng, n_features=7, n_gates=15)
    options = RtlOptions()
    x = random_features(net.encoder, 4, rng)
    frames = frames_of(net, options, x)
    beats = flat(frames)[:beats_before] + flat(frames[1:])
    run = StreamRun(make_top(net, options), beats, reset_after=beats_before)
    assert run.frames == expected_frames(net, options, x[1:])
    assert run.n_errors == 0
    assert run.protocol_errors == []


def test_reset_while_swallowing():
    rng = np.random.default_rng(15)
    net = random_net(rng, n_features=4, n_gates=15)
    options = RtlOptions()
    x = random_features(net.encoder, 2, rng)
    too_long = [(9, 0)] * 6
    beats = too_long + flat(frames_of(net, options, x))
    run = StreamRun(make_top(net, options), beats, reset_after=len(too_long))
    assert run.frames == expected_frames(net, options, x)
    assert run.n_errors == 1


def test_planted_fault_is_seen():
    rng = np.random.default_rng(16)
    net = random_net(rng, trivial=False)
    options = RtlOptions(output="scores")
    tt = net.tt.copy()
    tt[int(net.outputs[-1] >> 1) - net.first_gate] ^= 4
    x = random_features(net.encoder, 60, rng)
    top = make_top(net, options, fault=net.with_(tt=tt))
    run = StreamRun(top, flat(frames_of(net, options, x)))
    assert len(run.frames) == 60
    assert run.frames != expected_frames(net, options, x)


def test_only_used_bits_are_stored():
    rng = np.random.default_rng(17)
    net = random_net(rng, n_features=40, thresholds=(20, 90, 200), n_gates=6, per_class=2)
    layout = FrameLayout.of(net, RtlOptions())
    assert len(layout.bits) == len(net.used_inputs()) < 25


def test_layouts():
    rng = np.random.default_rng(18)
    net = random_net(rng, n_features=5, max_value=1000, thresholds=(1, 999), n_classes=300)
    layout = FrameLayout.of(net, RtlOptions(bus_bytes=4))
    assert (layout.frame_bytes, layout.frame_beats, layout.beats_per_slot) == (10, 3, 1)
    narrow = FrameLayout.of(net, RtlOptions(bus_bytes=1))
    assert (narrow.frame_beats, narrow.beats_per_slot) == (10, 2)
    result = ResultLayout.of(net, RtlOptions(output="scores", bus_bytes=4))
    assert (result.class_bytes, result.score_bytes) == (2, 1)
    assert (result.result_bytes, result.result_beats) == (302, 76)
    with pytest.raises(InputError, match="no encoder"):
        FrameLayout.of(net.with_(encoder=None), RtlOptions())
