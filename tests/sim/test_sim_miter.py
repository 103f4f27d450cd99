"""A miter gives both designs what they are made for, and nothing else; all of that, though."""

from __future__ import annotations

import pytest

from gate2hw.ir.store import load_netlist
from gate2hw.tools.formal import check_properties
from sim.job import read_manifest
from sim.miter import MITER, miter_verilog
from sim.wrapper import ports

BITS = 4


@pytest.fixture(scope="module")
def design(nets, make_design):
    """Features up to 16 with two thresholds each; one byte of three beats' worth is padding."""
    net = nets.net(n_features=5, max_value=16, n_gates=30, n_classes=2, group=3)
    return make_design(net, output="scores", bus_bytes=2)


def fake(manifest, kind, wrong):
    """A design of the ports of `kind` whose fault number n makes the answer wrong where the
    expression wrong[n] is 1."""
    device = ports(manifest, kind)
    declared = [f"{way} wire [{width - 1}:0] {name}" for way, name, width in device]
    hit = " | ".join(f"(fault == {number} && ({text}))" for number, text in wrong.items())
    valid, data = ("m_axis_tvalid", "m_axis_tdata") if kind == "top" else ("out_valid", "scores")
    given = "s_axis_tvalid" if kind == "top" else "in_valid"
    rest = [name for way, name, _ in device if way == "output" and name not in (valid, data)]
    lines = [
        f"module {manifest.modules[kind]} ({', '.join(declared)}, input wire [{BITS - 1}:0] fault);"
    ]
    lines += [f"assign {name} = 0;" for name in rest]
    lines += [f"assign {valid} = {given};", f"assign {data} = {hit};", "endmodule", ""]
    return "\n".join(lines)


def differs(design, tmp_path, kind, wrong):
    """Numbers of the faults that the miter can tell from none."""
    manifest = read_manifest(design.rtl / "manifest.json")
    net = load_netlist(design.folder / "netlist_raw.npz")
    (tmp_path / "fake.v").write_text(fake(manifest, kind, wrong))
    found = set()
    for number in wrong:
        (tmp_path / "miter.v").write_text(miter_verilog(manifest, net, kind, number, BITS))
        sources = [tmp_path / "fake.v", tmp_path / "miter.v"]
        told = check_properties(sources, top=MITER, out_dir=tmp_path, timeout_s=30)
        verdicts = {entry.name: entry.verdict for entry in told}
        assert verdicts["can_answer"] == "reached"
        if verdicts["bad_differs"] == "reached":
            found.add(number)
    return found


def test_features_above_the_greatest_are_not_given(design, tmp_path):
    low, high = "s_axis_tdata[7:0]", "s_axis_tdata[15:8]"
    wrong = {1: f"{low} > 16", 2: f"{low} == 16", 3: f"{low} == 0", 4: f"{high} == 255"}
    # the high byte is behind the frame's end in its last beat, where it may be anything
    assert differs(design, tmp_path, "top", wrong) == {2, 3, 4}


def test_codes_that_no_encoder_makes_are_not_given(design, tmp_path):
    manifest = read_manifest(design.rtl / "manifest.json")
    encoder = load_netlist(design.folder / "netlist_raw.npz").encoder
    used = list(manifest.used_inputs)
    place = {(int(encoder.feature[n]), int(encoder.threshold[n])): i for i, n in enumerate(used)}
    pairs = [
        (place[feature, threshold], place[feature, higher])
        for feature, threshold in place
        for other, higher in place
        if other == feature and higher > threshold
    ]
    assert pairs
    low, high = pairs[0]
    wrong = {
        1: f"bits[{high}] & ~bits[{low}]",
        2: f"~bits[{high}] & bits[{low}]",
        3: f"bits[{high}] & bits[{low}]",
        4: "bits == 0",
    }
    assert differs(design, tmp_path, "core", wrong) == {2, 3, 4}
