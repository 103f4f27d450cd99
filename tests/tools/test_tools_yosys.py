"""Synthesis and Verilog read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError, ToolTimeoutError
from gate2hw.tools import yosys

PIPELINE = """\
module gates(input wire clk, input wire ce, input wire [11:0] x, output wire [3:0] y);
  wire n1 = ~x[3] & x[11];
  wire n2 = x[0] ^ x[10];
  reg r1, r2, r3;
  always @(posedge clk) if (ce) begin
    r1 <= n1;
    r2 <= n2;
    r3 <= r1 & r2;
  end
  assign y[0] = r1;
  assign y[1] = ~r2;
  assign y[2] = r3;
  assign y[3] = 1'b1;
endmodule
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def evaluate(text: str, inputs: list[int]) -> list[int]:
    """Values of the outputs of a combinational ascii AIGER file."""
    lines = text.splitlines()
    n_inputs, n_latches, n_outputs, n_ands = (int(word) for word in lines[0].split()[2:6])
    assert n_latches == 0
    assert n_inputs == len(inputs)
    value = {0: 0}
    value |= {int(lines[1 + i]) // 2: bit for i, bit in enumerate(inputs)}

    def of(literal: int) -> int:
        return value[literal // 2] ^ (literal & 1)

    first = 1 + n_inputs + n_outputs
    for line in lines[first : first + n_ands]:
        out, a, b = (int(word) for word in line.split())
        value[out // 2] = of(a) & of(b)
    return [of(int(line)) for line in lines[1 + n_inputs : first]]


def synthesise(source: Path, family: str, out: Path, **options: object) -> yosys.SynthResult:
    return yosys.synthesise(
        [source],
        top="acc",
        family=family,  # type: ignore[arg-type]
        json_path=out / "acc.json",
        verilog_path=out / "acc_synth.v",
        **{"timeout_s": 120.0, **options},  # type: ignore[arg-type]
    )


def test_pipeline_becomes_its_function_with_ports_in_order(tmp_path: Path) -> None:
    source, out = write(tmp_path / "gates.v", PIPELINE), tmp_path / "gates.aag"
    yosys.gates_to_aiger([source], top="gates", out_path=out, timeout_s=60, registers_as_wires=True)
    text = out.read_text()
    symbols = dict(line.split() for line in text.splitlines() if line[:1] in "io")
    assert [symbols[f"i{k}"] for k in range(12)] == [f"x[{k}]" for k in range(12)]
    assert [symbols[f"o{k}"] for k in range(4)] == [f"y[{k}]" for k in range(4)]
    for x in (0, 1, 1 << 3, 1 << 10, 1 << 11, 1 << 11 | 1, 1 << 11 | 1 << 10 | 1, 0xFFF, 0x801):
        bits = [x >> k & 1 for k in range(12)]
        n1, n2 = (1 - bits[3]) & bits[11], bits[0] ^ bits[10]
        assert evaluate(text, bits) == [n1, 1 - n2, n1 & n2, 1]
    assert not list(tmp_path.glob(".yosys*"))


def test_registers_are_refused_where_they_must_not_be(tmp_path: Path) -> None:
    source, out = write(tmp_path / "gates.v", PIPELINE), tmp_path / "gates.aig"
    with pytest.raises(ToolFailedError, match="gates still has registers"):
        yosys.gates_to_aiger([source], top="gates", out_path=out, timeout_s=60)
    assert not out.exists()


def test_latch_is_refused_even_with_registers_as_wires(tmp_path: Path) -> None:
    text = "module m(input wire e, input wire x, output reg y); always @* if (e) y = x; endmodule"
    source = write(tmp_path / "m.v", text)
    with pytest.raises(ToolFailedError, match="still has registers or latches"):
        yosys.gates_to_aiger(
            [source], top="m", out_path=tmp_path / "m.aig", timeout_s=60, registers_as_wires=True
        )


def test_wire_without_driver_is_refused(tmp_path: Path) -> None:
    text = "module m(input wire x, output wire y); wire z; assign y = x & z; endmodule"
    source = write(tmp_path / "m.v", text)
    with pytest.raises(ToolFailedError, match="check -assert"):
        yosys.gates_to_aiger([source], top="m", out_path=tmp_path / "m.aig", timeout_s=60)


def test_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    source = write(tmp_path / "bad.v", "module bad(input x;\nendmodule\n")
    with pytest.raises(ToolFailedError, match=r"bad\.v:1: ERROR: syntax error"):
        yosys.gates_to_aiger([source], top="bad", out_path=tmp_path / "o.aig", timeout_s=60)


def test_missing_and_double_sources(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such Verilog file"):
        yosys.gates_to_aiger(
            [tmp_path / "no.v"], top="a", out_path=tmp_path / "o.aig", timeout_s=60
        )
    (tmp_path / "other").mkdir()
    sources = [write(tmp_path / "a.v", ""), write(tmp_path / "other" / "a.v", "")]
    with pytest.raises(InputError, match=r"two Verilog sources are called a\.v"):
        yosys.gates_to_aiger(sources, top="a", out_path=tmp_path / "o.aig", timeout_s=60)


@pytest.mark.parametrize(("family", "n_carries"), [("ice40", 2), ("ecp5", 0)])
def test_synthesis_counts_cells(
    accumulator: Path, tmp_path: Path, family: str, n_carries: int
) -> None:
    result = synthesise(accumulator, family, tmp_path / "out dir")
    assert result.ffs == 12
    assert result.luts >= 8
    assert result.carries == n_carries
    assert sum(result.cells.values()) >= result.luts + result.ffs + result.carries
    netlist = json.loads((tmp_path / "out dir" / "acc.json").read_text())
    cells = netlist["modules"]["acc"]["cells"].values()
    assert len(cells) == sum(result.cells.values())
    text = (tmp_path / "out dir" / "acc_synth.v").read_text()
    assert "module acc" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "out dir" / "acc_yosys.log").is_file()


def test_options_reach_the_synthesis_command(accumulator: Path, tmp_path: Path) -> None:
    result = synthesise(accumulator, "ice40", tmp_path, options=["-nocarry"])
    assert result.carries == 0


def test_yosys_that_dies_hangs_or_writes_nothing(
    accumulator: Path, tmp_path: Path, fake_tool: Callable[[str, str], Path]
) -> None:
    fake_tool("yosys", "echo 'ERROR: out of ideas'; exit 1")
    with pytest.raises(ToolFailedError, match="out of ideas"):
        synthesise(accumulator, "ice40", tmp_path)
    fake_tool("yosys", "sleep 60")
    with pytest.raises(ToolTimeoutError, match=r"yosys did not end within 0\.3 s"):
        synthesise(accumulator, "ice40", tmp_path, timeout_s=0.3)
    fake_tool("yosys", "exit 0")
    with pytest.raises(ToolFailedError, match=r"netlist\.json is missing"):
        synthesise(accumulator, "ice40", tmp_path)
    fake_tool("yosys", "echo '{' > stat.json; echo x > netlist.json; echo x > netlist.v")
    with pytest.raises(ToolFailedError, match="statistics that cannot be read"):
        synthesise(accumulator, "ice40", tmp_path)
    assert not (tmp_path / "acc.json").exists()
    assert not list(tmp_path.glob(".yosys*"))


def test_missing_yosys(accumulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE2HW_YOSYS", str(tmp_path / "none"))
    with pytest.raises(ToolMissingError, match="GATE2HW_YOSYS"):
        synthesise(accumulator, "ice40", tmp_path)


def test_cell_models() -> None:
    assert [path.name for path in yosys.cells_sim_path("ecp5")] == ["cells_sim.v"]
