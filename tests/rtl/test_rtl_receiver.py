# amaranth: UnusedElaboratable=no
"""How input bits are stored: the same to the clock, and the smaller form on each family."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from rtl_nets import StreamRun, core_model, random_net, to_beats, to_bytes

from gate2hw.flow.clock.routing import STORAGE
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.rtl.layout import FrameLayout, StoredBit
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.receiver import Receiver
from gate2hw.rtl.top import Top
from gate2hw.rtl.verilog import to_verilog
from gate2hw.tools import yosys

STORAGES = ("logic", "enable")
SLOTS = range(64)


def run_of(net, storage, bus_bytes, x, *, stall, fault=None):
    """Frames, some of the wrong length, through the whole top, and all that it shows."""
    options = RtlOptions(bus_bytes=bus_bytes, output="scores", storage=storage)
    beats = []
    for number, sample in enumerate(x):
        frame = to_beats(to_bytes(sample, net.encoder.bytes_per_feature), bus_bytes)
        if number % 4 == 2:
            frame = frame[:-1]
        if number % 4 == 3:
            beats += [(beat, 0) for beat in frame]
        beats += [(beat, int(k == len(frame) - 1)) for k, beat in enumerate(frame)]
    top = Top(net, options, core=core_model(net, options, fault))
    run = StreamRun(top, beats, stall=stall, seed=bus_bytes)
    return run.frames, run.frame_cycles, run.taken_cycles, run.n_errors, run.protocol_errors


@pytest.mark.parametrize("bus_bytes", [1, 2, 8])
@pytest.mark.parametrize("max_value", [255, 1023])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_both_forms_are_equal_to_the_clock(bus_bytes, max_value, stall):
    rng = np.random.default_rng(bus_bytes)
    net = random_net(rng, n_features=9, thresholds=(50, 128, 200), max_value=max_value)
    x = random_features(net.encoder, 12, rng)
    logic, enable = (run_of(net, storage, bus_bytes, x, stall=stall) for storage in STORAGES)
    assert logic == enable
    assert len(logic[0]) == 6
    assert logic[3] == 6
    found = [frame[0] & 0xFF for frame in logic[0]]
    expected = classes(scores(net, x)).tolist()
    assert found == [expected[n] for n in range(12) if n % 4 < 2]


def test_a_bit_that_is_not_stored_is_seen(monkeypatch):
    """The comparison above must see a slot that is never written."""
    rng = np.random.default_rng(3)
    net = random_net(rng, n_features=9, thresholds=(50, 128, 200), trivial=False)
    x = random_features(net.encoder, 12, rng)
    right = run_of(net, "enable", 1, x, stall=0.0)
    monkeypatch.setattr("gate2hw.rtl.receiver._equals", lambda value, number: value == number ^ 1)
    assert run_of(net, "enable", 1, x, stall=0.0) != right


def cells_of(folder, family, storage):
    """(LUTs, flip-flops, cells that hold a LUT, a flip-flop, or both) of a receiver by itself."""
    bits = tuple(StoredBit(0, threshold, slot) for threshold in range(9, 249, 40) for slot in SLOTS)
    receiver = Receiver(FrameLayout(64, 1, 1, 255, bits), storage=storage)
    names = ("tdata", "tvalid", "tready", "tlast", "frame_error", "bits", "full", "advance_next")
    ports = [(name, getattr(receiver, name)) for name in names]
    (folder / "receiver.v").write_text(to_verilog(receiver, "receiver", ports, work_dir=folder))
    found = yosys.synthesise(
        [folder / "receiver.v"],
        top="receiver",
        family=family,
        json_path=folder / "mapped.json",
        verilog_path=folder / "mapped.v",
        timeout_s=120,
    )
    cells = json.loads((folder / "mapped.json").read_text())["modules"]["receiver"]["cells"]
    drivers = {cell["connections"]["O"][0] for cell in cells.values() if cell["type"] == "SB_LUT4"}
    readers: Counter[int] = Counter()
    data = []
    for cell in cells.values():
        for port, wires in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                readers.update(wires)
        if cell["type"].startswith("SB_DFF"):
            data += cell["connections"]["D"]
    shared = sum(wire in drivers and readers[wire] == 1 for wire in data)
    return found.luts, found.ffs, found.luts + found.ffs - shared


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_the_form_of_each_family_is_the_smaller(family, tmp_path):
    """A bit costs a cell of its own in either form; what else it costs is the question."""
    found = {}
    for storage in STORAGES:
        (tmp_path / storage).mkdir()
        found[storage] = cells_of(tmp_path / storage, family, storage)
    logic, enable = (found[storage] for storage in STORAGES)
    assert logic[1] == enable[1] > 6 * len(SLOTS)
    if family == "ecp5":
        assert enable[0] + 4 * len(SLOTS) < logic[0]
    else:
        assert logic[2] < enable[2]
    assert STORAGE[family] == ("enable" if family == "ecp5" else "logic")
