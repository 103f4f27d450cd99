"""The handshakes of a top, proved for all time; every planted fault gives a counter-example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gate2hw.errors import CheckFailedError, ToolFailedError
from gate2hw.flow.signoff import formal
from gate2hw.flow.signoff.formal import PROPERTIES, prove_streams
from gate2hw.rtl import Manifest
from gate2hw.tools.formal import Property
from gate2hw.tools.vcd import read_vcd

SHIM = """
module lgn_top (
    input wire clk, input wire rst,
    input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    input wire s_axis_tlast,
    output wire [7:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready,
    output wire m_axis_tlast, output wire frame_error);
    wire s_ready, m_valid, m_last, error;
    wire [7:0] m_data;
    wire gone = m_axis_tvalid && m_axis_tready && m_axis_tlast;
    reg still, odd, after_reset;
    reg [1:0] age;
    reg [3:0] count;
    always @(posedge clk) begin
        after_reset <= rst;
        still <= !rst && m_axis_tvalid && !m_axis_tready;
        odd <= !rst && (odd ^ (m_valid && m_ready_real));
        age <= rst || !m_valid || m_ready_real ? 0 : age == 3 ? 3 : age + 1;
        count <= rst ? 0 : count + 1;
    end
    wire m_ready_real = {m_ready};
    lgn_top_real real_top (
        .clk(clk), .rst(rst), .s_axis_tdata(s_axis_tdata), .s_axis_tvalid({s_valid}),
        .s_axis_tready(s_ready), .s_axis_tlast(s_axis_tlast), .m_axis_tdata(m_data),
        .m_axis_tvalid(m_valid), .m_axis_tready(m_ready_real), .m_axis_tlast(m_last),
        .frame_error(error));
    assign s_axis_tready = {ready};
    assign m_axis_tdata = {data};
    assign m_axis_tvalid = {valid};
    assign m_axis_tlast = {last};
    assign frame_error = {error};
endmodule
"""
HEALTHY = {
    "s_valid": "s_axis_tvalid",
    "m_ready": "m_axis_tready",
    "ready": "s_ready",
    "data": "m_data",
    "valid": "m_valid",
    "last": "m_last",
    "error": "error",
}
FAULTS = {
    "bad_valid_fell": {"valid": "m_valid & ~still", "m_ready": "m_axis_tready & ~still"},
    "bad_payload_moved": {"data": "m_data ^ {7'b0, still}"},
    "bad_reset": {"error": "error | after_reset"},
    "bad_frame_error": {"error": "1'b0"},
    "bad_result_length": {"last": "~m_last"},
    # every result twice
    "bad_result_invented": {"m_ready": "m_axis_tready & again"},
    # every second result is swallowed
    "bad_frame_lost": {"valid": "m_valid & ~odd", "m_ready": "m_axis_tready | odd"},
    "bad_no_result": {"valid": "m_valid & (age == 3)", "m_ready": "m_axis_tready & (age == 3)"},
    "bad_input_shut": {"ready": "s_ready & ~count[3]", "s_valid": "s_axis_tvalid & ~count[3]"},
}
AGAIN = "    reg again;\n    always @(posedge clk) again <= !rst && (again ^ gone);\n"


def shimmed(text: str, **faults: str) -> str:
    renamed = re.sub(r"\bmodule lgn_top(?=[ (])", "module lgn_top_real", text)
    assert renamed != text
    glue = SHIM.replace("    reg [1:0] age;\n", AGAIN + "    reg [1:0] age;\n")
    for name, value in {**HEALTHY, **faults}.items():
        glue = glue.replace("{" + name + "}", value)
    return renamed + glue


def prove(design, work_dir, kind="stream"):
    parts = ("top",) if kind == "data" else ("gates", "core", "top")
    return prove_streams(
        [design.rtl / f"lgn_{part}.v" for part in parts],
        Manifest.load(design.rtl / "manifest.json"),
        design.rtl / "manifest.json",
        work_dir,
        kind=kind,
        netlist=design.folder / "netlist_raw.npz",
    )


@pytest.fixture(scope="module")
def small(nets, make_design):
    """Two beats a frame, one a result."""
    return make_design(nets.net(n_features=2, n_gates=30, n_classes=2, group=3), output="class")


def test_a_healthy_top_keeps_every_rule(small, tmp_path):
    found = prove(small, tmp_path)
    names = [entry["name"] for entry in found["properties"]]
    assert len([name for name in names if name.startswith("bad_")]) == 9
    assert all(entry["cycle"] for entry in found["properties"] if entry["name"].startswith("can_"))
    assert not list(tmp_path.glob("*.vcd"))


@pytest.mark.slow
def test_the_shim_itself_is_harmless(small, tmp_path):
    design = small.copy(tmp_path)
    design.edit("top", shimmed)
    prove(design, tmp_path / "proof")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "bad_frame_lost" else pytest.mark.slow)
        for name in FAULTS
    ],
)
def test_each_rule_can_be_broken(small, tmp_path, name):
    design = small.copy(tmp_path)
    design.edit("top", lambda text: shimmed(text, **FAULTS[name]))
    with pytest.raises(CheckFailedError) as caught:
        prove(design, tmp_path / "proof")
    told = str(caught.value)
    assert PROPERTIES[name] in told
    lines = told.splitlines()
    # a table of the streams, its last line the cycle that breaks the rule
    assert lines[1].split()[:6] == ["cycle", "rst", "s_valid", "s_ready", "s_last", "s_data"]
    assert lines[1].split()[-1] == caught.value.details["property"]
    assert lines[-1].split()[-1] == "1"
    assert int(lines[-1].split()[0].strip(".")) == caught.value.details["cycle"]
    assert read_vcd(Path(caught.value.details["trace"])).find("frame_error")


SHAPES = [
    ({"n_features": 1, "n_classes": 2}, {"output": "class", "bus_bytes": 1}),
    ({"n_features": 3, "max_value": 1000}, {"output": "class", "bus_bytes": 1}),
    ({"n_features": 5, "n_classes": 3}, {"output": "scores", "bus_bytes": 4}),
    ({"n_features": 9, "n_classes": 3, "negative": True}, {"output": "scores", "bus_bytes": 1}),
    ({"n_features": 3, "n_classes": 2}, {"register_gates": False, "register_scores": False}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "options"), SHAPES)
def test_tops_of_many_shapes(nets, make_design, tmp_path, shape, options):
    prove(make_design(nets.net(n_gates=40, **shape), **options), tmp_path)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(("shape", "options"), SHAPES)
def test_every_bit_reaches_its_place_in_many_shapes(nets, make_design, tmp_path, shape, options):
    prove(make_design(nets.net(n_gates=40, **shape), **options), tmp_path, kind="data")


@pytest.mark.slow
def test_every_bit_reaches_the_result_of_its_frame(small, tmp_path):
    found = prove(small, tmp_path, kind="data")
    assert {entry["name"] for entry in found["properties"]} == {
        "bad_wrong_bit",
        "can_give_1",
        "can_give_0",
        "can_follow_another",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        # stored under the wrong number, compared with the wrong threshold, held too short
        (r"(\w+_is_1_reg <= )(.*);", r"\1~(\2);"),
        (r"(assign above_\w+ = \S+) > ", r"\1 >= "),
        (r"(chosen = advance \? (.*) : )held;", r"\1\2;"),
    ],
    ids=["slot", "threshold", "held"],
)
def test_a_bit_that_goes_astray_is_found(nets, make_design, tmp_path, fault):
    pattern, change = fault
    design = make_design(nets.net(n_features=3, n_gates=30, n_classes=2), output="class").copy(
        tmp_path
    )

    design.edit("top", lambda text: re.sub(pattern, change, text, count=1))
    with pytest.raises(CheckFailedError, match=re.escape(PROPERTIES["bad_wrong_bit"])):
        prove(design, tmp_path / "proof", kind="data")


def test_what_is_undecided_is_told_as_such(small, tmp_path, monkeypatch):
    found = [Property("bad_reset", "undecided"), Property("bad_frame_lost", "never")]
    monkeypatch.setattr(formal, "check_properties", lambda *_, **__: found)
    told = prove(small, tmp_path)
    assert told["result"] == "undecided"
    assert told["not_proved"] == ["bad_reset"]


def test_what_cannot_happen_or_is_unknown_is_no_proof():
    with pytest.raises(CheckFailedError, match="cannot happen, so the proof says too little"):
        formal._judge([Property("can_stall", "never")])
    with pytest.raises(ToolFailedError, match="bad_weather that nobody knows"):
        formal._judge([Property("bad_weather", "never")])
