"""Streaming designs proved frame by frame and stage by stage; every planted fault is found."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError
from gate2hw.flow.signoff.formal import prove_streams
from gate2hw.flow.stream.stage_harness import (
    FEED,
    STAGE_RULES,
    feed_harness,
    scans_of,
    stage_harness,
)
from gate2hw.flow.stream.stage_proofs import prove_stage, prove_stages
from gate2hw.flow.stream.streaming import stream_spec
from gate2hw.ir.layers import GroupSum, OrPool
from gate2hw.ir.network import chain
from gate2hw.rtl import Manifest
from gate2hw.rtl.stream_input import Feed
from gate2hw.rtl.stream_timing import VERDICTS
from sim.harness import STREAMED_FRAMES

sys.path.insert(0, str(Path(__file__).parents[1] / "rtl"))
from stream_nets import conv, dense, emitted, thermometer


def named(layers):
    shape = layers[-1].output_shape
    sums = GroupSum(shape, np.linspace(0, int(np.prod(shape)), 4).astype(np.int64))
    return chain([(f"l{number}", layer) for number, layer in enumerate([*layers, sums])])


def padded(size=(4, 4), *, tail=True):
    """A padded window, a pool, and what follows the map."""
    rng = np.random.default_rng(3)
    first = thermometer(rng, (1, *size), 1)
    one = conv(rng, first.output_shape, (3, 3), padding=(1, 1), kernels=6)
    layers = [first, one, OrPool(one.output_shape, (2, 2), (2, 2))]
    if tail:
        layers.append(dense(rng, layers[-1].output_shape, 12))
    return named(layers)


def bare():
    """The smallest design: one window, no padding, sums over the map."""
    rng = np.random.default_rng(3)
    first = thermometer(rng, (1, 3, 3), 1)
    return named([first, conv(rng, first.output_shape, (3, 3), kernels=6)])


class Design:
    """Verilog of a streaming design and its plan."""

    def __init__(self, network, out, *, lanes=1, bus_bytes=1):
        self.out = out
        self.manifest, _ = emitted(network, out, output="class", lanes=lanes, bus_bytes=bus_bytes)
        how = {"level": 2, "care": "thermometer", "output": "class", "lanes": lanes}
        self.spec = stream_spec(network, **how).spec

    @property
    def sources(self):
        return [self.out / name for name in self.manifest.files]

    def edit(self, module, pattern, replacement):
        """Change one module of the top."""
        path = self.out / "lgn_top.v"
        text = path.read_text(encoding="utf-8")
        start = re.search(rf"^module {module}\b", text, re.MULTILINE).start()
        end = text.index("endmodule", start)
        changed, count = re.subn(pattern, replacement, text[start:end], count=1)
        assert count, pattern
        path.write_text(text[:start] + changed + text[end:], encoding="utf-8")

    def prove_stage(self, stage, work_dir):
        around = {scan.name: stage_harness(scan, self.manifest) for scan in scans_of(self.spec)}
        feed = Feed.of(self.spec.input, self.manifest.bus_bytes, self.spec.lanes)
        around[FEED] = feed_harness(feed, self.manifest)
        return prove_stage(stage, around[stage], self.sources, self.manifest, work_dir)

    def prove(self, kind, work_dir):
        path = self.out / "manifest.json"
        return prove_streams(self.sources, Manifest.load(path), path, work_dir, kind=kind)


@pytest.fixture(scope="module")
def emitted_once(tmp_path_factory):
    return Design(padded(), tmp_path_factory.mktemp("stages"))


@pytest.fixture
def design(emitted_once, tmp_path):
    """A copy to plant faults in."""
    copy = Design.__new__(Design)
    copy.__dict__ = {**vars(emitted_once), "out": tmp_path / "rtl"}
    shutil.copytree(emitted_once.out, copy.out)
    return copy


def test_the_judge_knows_how_many_frames_may_wait():
    assert STREAMED_FRAMES == VERDICTS


def test_each_stage_keeps_its_rules(design, tmp_path):
    for scan in scans_of(design.spec):
        entries, doubts = design.prove_stage(scan.name, tmp_path)
        assert not doubts
        assert {entry["name"] for entry in entries} == {f"{r} of {scan.name}" for r in STAGE_RULES}
    entries, doubts = design.prove_stage(FEED, tmp_path)
    assert not doubts
    assert "bad_late of pixels" in {entry["name"] for entry in entries}


FULL = {"marks": pytest.mark.full}
FAULTS = [
    # a window that takes nothing, takes zeros for pixels, forgets a row of zeros, gives too much
    ("conv_1", r"assign in_ready = [^;]*;", "assign in_ready = 1'h0;"),
    ("conv_1", r"assign in_ready = [^;]*;", "assign in_ready = out_ready;"),
    pytest.param("conv_1", r"assign at_bottom = [^;]*;", "assign at_bottom = row == 3'h3;", **FULL),
    pytest.param("conv_1", r"assign emit = [^;]*;", "assign emit = 1'h1;", **FULL),
    # a pool that gives after every row, one that gives nothing
    ("pool_2", r"assign gives = [^;]*;", "assign gives = column_ends;"),
    pytest.param("pool_2", r"assign out_valid = [^;]*;", "assign out_valid = 1'h0;", **FULL),
    # pixels that forget a beat's last group, or take a beat too early
    ("pixels", r"assign done = [^;]*;", "assign done = full;"),
    pytest.param("pixels", r"assign free = [^;]*;", "assign free = 1'h1;", **FULL),
    # a collector that overruns, and one that ends a frame early
    ("head", r"assign in_ready = [^;]*;", "assign in_ready = 1'h1;"),
    pytest.param("head", r"assign is_last = [^;]*;", "assign is_last = number == 2'h2;", **FULL),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "pattern", "replacement"), FAULTS)
def test_a_fault_in_a_stage_is_found(design, tmp_path, stage, pattern, replacement):
    design.edit(f"lgn_top_{stage}", pattern, replacement)
    with pytest.raises(CheckFailedError, match=f"not so: .* of {stage}") as caught:
        design.prove_stage(stage, tmp_path)
    assert Path(caught.value.details["trace"]).is_file()


@pytest.mark.slow
def test_frames_and_stages_of_a_healthy_design(design, tmp_path):
    found = prove_stages(design.spec, design.out, tmp_path)
    assert found["result"] == "proved"
    names = [entry["name"] for entry in found["properties"]]
    assert "bad_frame_lost" in names
    assert "bad_no_result" not in names
    assert {"bad_late of conv_1", "bad_late of pool_2", "bad_late of head"} <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "pattern", "replacement"),
    [
        ("lgn_top_verdicts", r"assign room = [^;]*;", "assign room = 1'h1;"),
        ("lgn_top_verdicts", r"assign good = [^;]*;", "assign good = 1'h1;"),
        pytest.param("lgn_top_pixels", r"assign good = [^;]*;", "assign good = tlast;", **FULL),
        pytest.param("lgn_top", r"assign pop = [^;]*;", "assign pop = advance;", **FULL),
    ],
    ids=["queue overrun", "bad frames pass", "short frames pass", "core not ready"],
)
def test_a_fault_of_the_frames_is_found(design, tmp_path, module, pattern, replacement):
    design.edit(module, pattern, replacement)
    with pytest.raises(CheckFailedError, match="not so: "):
        design.prove("stream", tmp_path)


@pytest.mark.slow
@pytest.mark.full
def test_a_small_design_as_a_whole(tmp_path):
    found = Design(bare(), tmp_path / "rtl").prove("whole", tmp_path)
    assert found["result"] == "proved"
    assert {"bad_no_result", "bad_input_shut"} <= {entry["name"] for entry in found["properties"]}


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(
    ("rule", "module", "pattern", "replacement"),
    [
        ("bad_input_shut", "lgn_top_verdicts", r"assign room = [^;]*;", "assign room = 1'h0;"),
        ("bad_no_result", "lgn_top_verdicts", r"assign good = [^;]*;", "assign good = 1'h0;"),
    ],
)
def test_a_standstill_of_the_whole_is_found(tmp_path, rule, module, pattern, replacement):
    design = Design(bare(), tmp_path / "rtl")
    design.edit(module, pattern, replacement)
    with pytest.raises(CheckFailedError, match="not so: "):
        design.prove("whole", tmp_path)
    assert (tmp_path / f"{rule}.vcd").is_file()


def colours():
    """Two colours of two bytes a value; no tail."""
    rng = np.random.default_rng(3)
    first = thermometer(rng, (2, 3, 4), 2, top=1000)
    return named([first, conv(rng, first.output_shape, (2, 2), kernels=6)])


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(
    ("make", "lanes", "bus_bytes"),
    [
        (lambda: padded((5, 8), tail=False), 2, 2),
        (lambda: padded((5, 8), tail=False), 2, 4),
        (colours, 1, 1),
        (colours, 2, 8),
    ],
)
def test_positions_side_by_side_colours_and_sums_over_the_map(make, lanes, bus_bytes, tmp_path):
    design = Design(make(), tmp_path / "rtl", lanes=lanes, bus_bytes=bus_bytes)
    found = prove_stages(design.spec, design.out, tmp_path)
    assert found["result"] == "proved", found["not_proved"]
    assert "by simulation" in found["method"]
