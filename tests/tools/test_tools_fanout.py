"""Fan-outs of a netlist as Yosys writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate2hw.errors import ToolFailedError
from gate2hw.tools import yosys
from gate2hw.tools.fanout import FanOut, fan_outs
from gate2hw.tools.targets import Family

WIDE = """\
module wide(input wire clk, input wire ce, input wire [30:0] d, input wire s, output reg [30:0] q);
  wire many = d[0] & s;
  always @(posedge clk) if (ce) q <= d ^ {31{many}};
endmodule
"""


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_the_nets_that_most_pins_read(tmp_path: Path, family: Family) -> None:
    source, json_path = tmp_path / "wide.v", tmp_path / "wide.json"
    source.write_text(WIDE)
    yosys.synthesise(
        [source],
        top="wide",
        family=family,
        json_path=json_path,
        verilog_path=tmp_path / "wide_synth.v",
        timeout_s=120,
    )
    found = fan_outs(json_path, "wide", most=2)
    # all flip-flops are enabled; the clock is not listed
    assert found[0] == FanOut(("ce",), 31)
    assert found[1].n_sinks >= 30
    assert len(found) == 2


def test_written_names_come_before_made_up_ones(tmp_path: Path) -> None:
    cell = {
        "type": "LUT4",
        "port_directions": {"A": "input", "B": "input", "Z": "output"},
        "connections": {"A": [2], "B": ["0"], "Z": [3]},
    }
    names = {
        "x_LUT4_Z": {"hide_name": 0, "bits": [2]},
        "part.word": {"hide_name": 0, "bits": [9, 2]},
        "$auto$1": {"hide_name": 1, "bits": [2]},
    }
    module = {"cells": {"c": cell}, "netnames": names}
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"modules": {"x": module}}))
    assert fan_outs(path, "x") == [FanOut(("part.word[1]", "$auto$1", "x_LUT4_Z"), 1)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"modules": {}}', '{"modules": {"x": {}}}'])
def test_what_yosys_did_not_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ToolFailedError, match="not a netlist that Yosys wrote"):
        fan_outs(path, "x")
