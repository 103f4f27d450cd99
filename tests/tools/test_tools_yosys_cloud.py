"""A module of LUT cells that Yosys links and does not map, and reads back for the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.tools import yosys
from gate2hw.tools.targets import Family
from gate2hw.tools.yosys import Cloud

SHELL = """\
module top(input wire clk, input wire [2:0] a, output wire q, output wire r);
  wire [2:0] y;
  reg [2:0] x;
  always @(posedge clk) x <= a;
  cloud gates (.x(x), .y(y));
  part_0 one (.c(clk), .i(y), .o(q));
  part_1 two (.c(clk), .i(y), .o(r));
endmodule
module part_0(input wire c, input wire [2:0] i, output reg o);
  always @(posedge c) o <= i[0] & i[1] & ~i[2];
endmodule
module part_1(input wire c, input wire [2:0] i, output reg o);
  always @(posedge c) o <= i[0] & i[1] & ~i[2];
endmodule
"""
ICE40 = """\
// as LUTs
module cloud (
  input wire [2:0] x,
  output wire [2:0] y
);
  wire n4;
  SB_LUT4 #(.LUT_INIT(16'h8888)) l4 (.O(n4), .I0(x[0]), .I1(x[1]), .I2(1'b0), .I3(1'b0));
  wire n5;
  SB_LUT4 #(.LUT_INIT(16'h6666)) l5 (.O(n5), .I0(n4), .I1(x[2]), .I2(1'b0), .I3(1'b0));
  wire n6;
  SB_LUT4 #(.LUT_INIT(16'h8888)) l6 (.O(n6), .I0(x[0]), .I1(x[1]), .I2(1'b0), .I3(1'b0));
  assign y[0] = n4;
  assign y[1] = n5;
  assign y[2] = n6;
endmodule
"""


def ecp5(text: str) -> str:
    text = text.replace("SB_LUT4", "LUT4").replace("LUT_INIT", "INIT").replace(".O(", ".Z(")
    for number, letter in enumerate("ABCD"):
        text = text.replace(f".I{number}(", f".{letter}(")
    return text


TEXT: dict[Family, str] = {"ice40": ICE40, "ecp5": ecp5(ICE40)}


def link(folder: Path, family: Family, text: str, *, luts: int = 3) -> yosys.SynthResult:
    (folder / "shell.v").write_text(SHELL)
    (folder / "cloud.v").write_text(text)
    return yosys.synthesise(
        [folder / "shell.v"],
        top="top",
        family=family,
        json_path=folder / "top.json",
        verilog_path=folder / "top.v",
        timeout_s=120.0,
        clouds=[Cloud(folder / "cloud.v", "cloud", luts)],
        blocks={"gates": ["cloud"], "parts": ["part_*"], "rest": ["top"], "none": ["nothing*"]},
    )


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_every_lut_of_the_cloud_is_left(family: Family, tmp_path: Path) -> None:
    result = link(tmp_path, family, TEXT[family])
    # n4 and n6 are equal, and n4 & n6 & ~n5 is one LUT with n5: a mapper would have merged them
    assert result.part("gates") == {"luts": 3, "ffs": 0, "carries": 0}
    assert result.part("parts") == {"luts": 2, "ffs": 2, "carries": 0}
    assert result.part("rest") == {"luts": 0, "ffs": 3, "carries": 0}
    assert result.blocks["none"] == {}
    assert (result.luts, result.ffs) == (5, 5)
    text = (tmp_path / "top.json").read_text()
    assert '"gates.l4"' in text
    assert '"block"' not in text
    assert '"linked"' not in text
    assert "gates.l6" in (tmp_path / "top.v").read_text()


def test_a_lut_that_nothing_reads_is_a_failure(tmp_path: Path) -> None:
    dead = ICE40.replace("assign y[2] = n6", "assign y[2] = n4")
    with pytest.raises(ToolFailedError, match="left 2 of the 3 LUTs of cloud"):
        link(tmp_path, "ice40", dead)
    assert not (tmp_path / "top.json").exists()


def test_a_file_without_the_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not begin with module cloud"):
        link(tmp_path, "ice40", ICE40.replace("module cloud", "module clouds"))
    cloud = Cloud(tmp_path / "cloud.v", "cloud", 3)
    with pytest.raises(InputError, match="no such Verilog file"):
        yosys.synthesise(
            [tmp_path / "shell.v"],
            top="top",
            family="ice40",
            json_path=tmp_path / "top.json",
            verilog_path=tmp_path / "top.v",
            timeout_s=60.0,
            clouds=[replace(cloud, path=tmp_path / "none.v")],
        )


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_cells_are_read_back_as_their_models_say(family: Family, tmp_path: Path) -> None:
    (tmp_path / "cloud.v").write_text(TEXT[family].replace("8888", "2222", 1))
    out = tmp_path / "cloud.aag"
    yosys.gates_to_aiger(
        [tmp_path / "cloud.v"], top="cloud", out_path=out, timeout_s=60.0, cells_of=family
    )
    lines = out.read_text().splitlines()
    n_inputs, n_outputs = int(lines[0].split()[2]), int(lines[0].split()[4])
    ands = [
        list(map(int, line.split()))
        for line in lines[1 + n_inputs + n_outputs :]
        if line[:1].isdigit()
    ]
    for number in range(8):
        bits = [number >> i & 1 for i in range(3)]
        value = {0: 0, 1: 1}
        for line, bit in zip(lines[1:4], bits, strict=True):
            value |= {int(line): bit, int(line) ^ 1: 1 - bit}
        for out_lit, a, b in ands:
            value |= {out_lit: value[a] & value[b], out_lit ^ 1: 1 - (value[a] & value[b])}
        first = bits[0] & (1 - bits[1])
        found = [value[int(line)] for line in lines[4:7]]
        assert found == [first, first ^ bits[2], bits[0] & bits[1]]
