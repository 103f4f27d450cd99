"""Mapping to a made-up library: cells, blocks, full adders, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.tools.asic_yosys import (
    MappedResult,
    Plan,
    expand_cells,
    instance_modules,
    map_to_cells,
)
from gate2hw.tools.liberty import Library, read_liberty

TINY = Path(__file__).parents[1] / "data" / "tiny.lib"
DESIGN = """\
module d_gates (input wire [3:0] x, output wire [2:0] y);
  assign y = {x[0] ^ x[1], x[2] & ~x[3], ~(x[0] | x[2])};
endmodule
module d_count (input wire [2:0] bits, output wire [1:0] n);
  assign n[0] = bits[0] ^ bits[1] ^ bits[2];
  assign n[1] = (bits[0] & bits[1]) | (bits[0] & bits[2]) | (bits[1] & bits[2]);
endmodule
module d_top (input wire clk, input wire rst, input wire [39:0] x, output reg [39:0] many,
              output wire one);
  wire [2:0] y;
  wire [1:0] n;
  d_gates gates (.x(x[3:0]), .y(y));
  d_count count (.bits(y), .n(n));
  reg state;
  always @(posedge clk) begin
    state <= rst ? 1'b0 : n[0] ^ n[1];
    many <= {40{state}} ^ x;
  end
  assign one = 1'b1;
endmodule
"""
BLOCKS = {"gates": ["d_gates"], "popcount": ["d_count"], "top": ["d_top"]}


@pytest.fixture(scope="module")
def tiny() -> Library:
    return read_liberty(TINY)


def mapped(out: Path, library: Library, *, adders: bool = True) -> MappedResult:
    out.mkdir(parents=True, exist_ok=True)
    (out / "design.v").write_text(DESIGN)
    return map_to_cells(
        [out / "design.v"],
        library,
        Plan("d_top", BLOCKS, ["d_count"] if adders else [], clock_ns=5.0),
        verilog_path=out / "netlist.v",
        json_path=out / "netlist.json",
        cloud_path=out / "cloud.v",
        cloud_module="d_gates",
        timeout_s=60,
    )


def test_cells_by_block(tmp_path: Path, tiny: Library) -> None:
    out = tmp_path / "a folder"
    found = mapped(out, tiny)
    assert found.blocks["popcount"].cells == {"ADDER": 1}
    assert found.blocks["popcount"].area_um2 == 9
    assert sum(block.n_cells for block in found.blocks.values()) == found.total.n_cells
    assert found.total.area_um2 == pytest.approx(sum(b.area_um2 for b in found.blocks.values()))
    assert found.total.cells["DFF"] == 41
    # the area is that of our own reading of the library
    assert found.total.area_um2 == pytest.approx(
        sum(tiny.cells[name].area * n for name, n in found.total.cells.items())
    )
    assert found.abc_delay_ns is not None
    assert json.loads(found.raw["gates"])["modules"]
    assert found.total.cells["TIEHI"] == 1
    # 40 gates read the one flip-flop: buffers stand between
    assert found.total.cells.get("BUF", 0) + found.total.cells.get("INV", 0) >= 3


def test_the_netlist_is_what_opensta_reads(tmp_path: Path, tiny: Library) -> None:
    mapped(tmp_path, tiny)
    text = (tmp_path / "netlist.v").read_text()
    assert not re.search(r"assign \{", text)
    assert not re.search(r"^\s*\(\*", text, re.MULTILINE)
    assert str(tmp_path) not in text
    modules = instance_modules(tmp_path / "netlist.v", "d_top")
    assert modules == {"": "d_top", "gates": "d_gates", "count": "d_count"}
    with pytest.raises(ToolFailedError, match="no module other"):
        instance_modules(tmp_path / "netlist.v", "other")


def test_twice_the_same(tmp_path: Path, tiny: Library) -> None:
    for name in ("a", "b"):
        mapped(tmp_path / name, tiny)
    for file in ("netlist.v", "netlist.json", "cloud.v"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_without_full_adder_cells(tmp_path: Path, tiny: Library) -> None:
    found = mapped(tmp_path, tiny, adders=False)
    assert "ADDER" not in found.total.cells
    assert found.blocks["popcount"].n_cells > 2


def test_cells_become_functions_again(tmp_path: Path, tiny: Library) -> None:
    mapped(tmp_path, tiny)
    expand_cells(tmp_path / "cloud.v", TINY, "d_gates", out_path=tmp_path / "plain.v", timeout_s=60)
    text = (tmp_path / "plain.v").read_text()
    assert "module d_gates" in text
    assert not re.search(r"\b(NAND2|XOR2|INV)\b +_", text)


def test_missing_sources(tmp_path: Path, tiny: Library) -> None:
    plan = Plan("d_top", BLOCKS)
    where = {f"{name}_path": tmp_path / name for name in ("verilog", "json", "cloud")}
    for sources, message in (([], "no Verilog sources"), ([tmp_path / "x.v"], "no such Verilog")):
        with pytest.raises(InputError, match=message):
            map_to_cells(sources, tiny, plan, cloud_module="d_gates", timeout_s=9, **where)


def test_a_library_without_flip_flops(tmp_path: Path) -> None:
    text = TINY.read_text()
    start = text.index(" cell (DFF)")
    (tmp_path / "no_ff.lib").write_text(text[:start] + text[text.index(" cell (TIELO)") :])
    with pytest.raises(ToolFailedError, match="yosys"):
        mapped(tmp_path, read_liberty(tmp_path / "no_ff.lib"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'ABC: ** cmd error: aborting'; touch netlist.v",
            "refused by ABC|netlist.v is empty",
        ),
        (
            "for f in netlist.v cloud.v netlist.json; do echo x > $f; done; "
            "echo 'ABC: ** cmd error: aborting'",
            "was refused by ABC",
        ),
        (
            "for f in netlist.v cloud.v netlist.json stat.json block_0.json block_1.json "
            "block_2.json; do echo x > $f; done",
            "statistics that cannot be read",
        ),
        ("exit 3", "failed with exit status 3"),
    ],
)
def test_what_yosys_gets_wrong(
    script: str,
    message: str,
    tmp_path: Path,
    tiny: Library,
    fake_tool: Callable[[str, str], Path],
) -> None:
    fake_tool("yosys", script)
    with pytest.raises(ToolFailedError, match=message):
        mapped(tmp_path, tiny)
    assert not (tmp_path / "netlist.v").exists()
