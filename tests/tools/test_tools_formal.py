"""Properties of small clocked Verilog: proved, reached with a waveform, or told as undecided."""

from __future__ import annotations

import pytest

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.tools import formal
from gate2hw.tools.formal import check_properties
from gate2hw.tools.run import ToolRun
from gate2hw.tools.vcd import read_vcd

COUNTER = """
module counter (input wire clk, input wire rst, input wire go, output wire [3:0] value);
    reg [3:0] count;
    always @(posedge clk)
        if (rst) count <= 0;
        else if (go) count <= count == 9 ? 0 : count + 1;
    assign value = count;
endmodule
module top (input wire clk, input wire rst, input wire go,
    output wire bad_ten, output wire can_nine, output wire bad_start);
    reg seen = 0;
    always @(posedge clk) if (rst) seen <= 1;
    wire [3:0] value;
    counter dut (.clk(clk), .rst(rst), .go(go), .value(value));
    assign bad_ten = seen && value > 9;
    assign can_nine = seen && value == 9;
    assign bad_start = value == 12;
endmodule
"""


def check(tmp_path, text=COUNTER, **how):
    source = tmp_path / "design.v"
    source.write_text(text)
    how = {"top": "top", "out_dir": tmp_path / "out", "timeout_s": 60, **how}
    return {entry.name: entry for entry in check_properties([source], **how)}


def test_never_and_reached(tmp_path):
    found = check(tmp_path)
    assert found["bad_ten"].verdict == "never"
    # reset, then nine steps
    assert (found["can_nine"].verdict, found["can_nine"].cycle) == ("reached", 10)
    assert found["can_nine"].trace is None
    # the device's registers start with any value, and the waveform shows it
    assert (found["bad_start"].verdict, found["bad_start"].cycle) == ("reached", 0)
    *_, (_, values) = read_vcd(found["bad_start"].trace).cycles("clk", ["dut.count"])
    assert int(values["dut.count"], 2) == 12


def test_registers_may_start_at_0(tmp_path):
    assert check(tmp_path, starts_at_0=True)["bad_start"].verdict == "never"


def test_free_modules_give_any_value(tmp_path):
    found = check(tmp_path, free=["counter"])
    assert found["bad_ten"].verdict == "reached"
    *_, (_, values) = read_vcd(found["bad_ten"].trace).cycles("clk", ["value"])
    assert int(values["value"], 2) > 9


def test_wires_can_be_joined(tmp_path):
    text = COUNTER.replace("count == 9", "count == last").replace(
        "reg [3:0] count;", "reg [3:0] count; wire [3:0] last;"
    )
    assert check(tmp_path, text)["bad_ten"].verdict == "reached"
    nine = text.replace(
        "wire [3:0] value;\n    counter", "wire [3:0] nine = 9; wire [3:0] value;\n    counter"
    )
    assert check(tmp_path, nine, connect={"dut.last": "nine"})["bad_ten"].verdict == "never"


def test_outputs_must_be_single_bits(tmp_path):
    with pytest.raises(InputError, match=r"wider: value"):
        check(tmp_path, top="counter")


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("", "gave no verdict on 3 properties"),
        ("Properties:  All = 3. Proved = 3. Disproved = 0. Undecided = 0.", "counted other"),
    ],
)
def test_what_abc_does_not_say_is_not_believed(tmp_path, monkeypatch, output, says):
    real = formal.run_tool

    def fake(argv, **how):
        if how["tool"] != "abc":
            return real(argv, **how)
        return ToolRun(tuple(map(str, argv)), output, "", 0.0, 0, None)

    monkeypatch.setattr(formal, "run_tool", fake)
    with pytest.raises(ToolFailedError, match=says):
        check(tmp_path)


def test_too_little_time_is_undecided(tmp_path, monkeypatch):
    monkeypatch.setattr(formal, "_decide", lambda *_: {})
    assert {entry.verdict for entry in check(tmp_path).values()} == {"undecided"}
