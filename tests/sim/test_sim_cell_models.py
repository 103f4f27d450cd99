"""Our models of the cells that Yosys gives no behaviour: PLLs by their formula, DP16KD by RTL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gate2hw.flow.tops.boardsim import cell_models
from gate2hw.tools import registry, yosys
from gate2hw.tools.bench_worker import _for_icarus
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import available

MODELS = data_dir("rtl_templates") / "models"

PLL_BENCH = """
`timescale 1ps / 1ps
module bench;
    reg ref_clk;
    wire out, lock;
    integer count;
    integer cycles;
    real lock_at;
    initial begin
        ref_clk = 0;
        count = 0;
        cycles = 0;
        lock_at = 0.0;
        repeat (2 * 4096) #(HALF_PS) ref_clk = !ref_clk;
        $display("LOCK %0d EARLY %0d COUNT %0d", lock, early, count);
        $finish;
    end
    integer early;
    initial early = 0;
    // edges in the first 16 input cycles, and in 4000 later ones
    always @(posedge ref_clk) cycles = cycles + 1;
    always @(posedge out) begin
        if (cycles > 4 && cycles <= 20) early = early + 1;
        if (cycles > 90 && cycles <= 4090) count = count + 1;
    end
    CELL
endmodule
"""
SB_CELL = """
    NAME #(
        .FEEDBACK_PATH("MODE"), .DIVR(4'dDIV0), .DIVF(7'dDIV1), .DIVQ(3'dDIV2), .FILTER_RANGE(3'd1)
    ) pll (.PIN(ref_clk), .PLLOUTGLOBAL(out), .LOCK(lock), .BYPASS(1'b0), .RESETB(1'b1));
"""
EHX_CELL = """
    EHXPLLL #(
        .FEEDBK_PATH("MODE"), .CLKI_DIV(DIV0), .CLKFB_DIV(DIV1), .CLKOP_DIV(DIV2),
        .CLKOP_ENABLE("ENABLED")
    ) pll (.CLKI(ref_clk), .CLKFB(out), .CLKOP(out), .LOCK(lock), .RST(1'b0), .STDBY(1'b0));
"""


def icarus(sources: list[Path], work: Path) -> str:
    """What a self-contained bench prints."""
    reason = available("icarus")
    if reason is not None:
        pytest.skip(reason)
    program = Path(registry.find("iverilog")[0])
    model = work / "bench.vvp"
    flags = ["-g2012", "-DNO_INCLUDES", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-s", "bench"]
    folders = sorted({f"-I{source.parent}" for source in sources})
    run_tool(
        [program, *flags, *folders, "-o", model, *sources],
        tool="iverilog",
        cwd=work,
        timeout_s=60,
        expect=[model],
    )
    vvp = program.with_name("vvp")
    return run_tool([vvp, "-n", model], tool="vvp", cwd=work, timeout_s=120).stdout


def run_pll(
    work: Path, cell: str, *, mhz: float, dividers: tuple[int, int, int], mode: str
) -> dict[str, int]:
    """LOCK at the end, edges EARLY (16 input cycles) and COUNT (4000 input cycles)."""
    text = EHX_CELL if cell == "EHXPLLL" else SB_CELL
    pin = "PACKAGEPIN" if cell == "SB_PLL40_PAD" else "REFERENCECLK"
    text = text.replace("NAME", cell).replace("PIN(", f"{pin}(").replace("MODE", mode)
    for place, divider in enumerate(dividers):
        text = text.replace(f"DIV{place}", str(divider))
    bench = work / "bench.v"
    half = str(round(5e5 / mhz))
    bench.write_text(PLL_BENCH.replace("HALF_PS", half).replace("CELL", text))
    name = "ehxplll.v" if cell == "EHXPLLL" else "sb_pll40.v"
    words = icarus([bench, MODELS / name], work).split()
    return {words[i]: int(words[i + 1]) for i in range(0, 6, 2)}


@pytest.mark.parametrize(
    ("cell", "mhz", "dividers", "ratio"),
    [
        ("SB_PLL40_CORE", 12.0, (0, 63, 4), 64 / 16),
        ("SB_PLL40_PAD", 12.0, (0, 52, 5), 53 / 32),
        ("SB_PLL40_CORE", 100.0, (4, 39, 3), 40 / 8 / 5),
        ("EHXPLLL", 25.0, (5, 12, 10), 12 / 5),
        ("EHXPLLL", 48.0, (4, 5, 10), 5 / 4),
    ],
)
def test_a_locked_pll_multiplies_by_its_dividers(tmp_path, cell, mhz, dividers, ratio):
    mode = "CLKOP" if cell == "EHXPLLL" else "SIMPLE"
    seen = run_pll(tmp_path, cell, mhz=mhz, dividers=dividers, mode=mode)
    assert seen["LOCK"] == 1
    assert seen["COUNT"] == pytest.approx(4000 * ratio, rel=2e-3)
    # before the lock the clock is wrong: nothing may rely on it
    assert 0 < seen["EARLY"] < 0.9 * 16 * ratio


@pytest.mark.parametrize(
    ("cell", "mhz", "dividers", "mode"),
    [
        ("SB_PLL40_CORE", 12.0, (0, 30, 4), "SIMPLE"),  # an oscillator of 372 MHz
        ("SB_PLL40_CORE", 12.0, (1, 100, 4), "SIMPLE"),  # a phase detector of 6 MHz
        ("SB_PLL40_PAD", 12.0, (0, 63, 4), "DELAY"),
        ("EHXPLLL", 25.0, (5, 12, 16), "CLKOP"),  # an oscillator of 960 MHz
        ("EHXPLLL", 25.0, (5, 12, 10), "INT_OP"),
    ],
)
def test_a_pll_set_wrongly_never_locks(tmp_path, cell, mhz, dividers, mode):
    assert run_pll(tmp_path, cell, mhz=mhz, dividers=dividers, mode=mode)["LOCK"] == 0


RAMS = [(9, 36), (10, 18), (11, 9), (12, 4), (13, 2), (14, 1)]


def _sdp(name: str, address: int, bits: int, initial: str = "") -> str:
    return f"""
module {name} (input clk, input we, input re,
    input [{address - 1}:0] wa, input [{address - 1}:0] ra,
    input [{bits - 1}:0] wd, output reg [{bits - 1}:0] rd);
    (* ram_style = "block" *) reg [{bits - 1}:0] mem [0:{2**address - 1}];
    integer i;
    initial for (i = 0; i < {2**address}; i = i + 1) mem[i] = {initial or f"{bits}'d0"};
    always @(posedge clk) begin
        if (we) mem[wa] <= wd;
        if (re) rd <= mem[ra];
    end
endmodule
"""


DUAL = """
module dual (input clk, input [1:0] wea, input [1:0] web, input [9:0] aa, input [9:0] ab,
    input [17:0] da, input [17:0] db, output reg [17:0] qa, output reg [17:0] qb);
    (* ram_style = "block" *) reg [17:0] mem [0:1023];
    integer i;
    initial for (i = 0; i < 1024; i = i + 1) mem[i] = 18'd0;
    always @(posedge clk) begin
        if (wea[0]) mem[aa][8:0] <= da[8:0];
        if (wea[1]) mem[aa][17:9] <= da[17:9];
        if (wea == 2'b00) qa <= mem[aa];
    end
    always @(posedge clk) begin
        if (web[0]) mem[ab][8:0] <= db[8:0];
        if (web[1]) mem[ab][17:9] <= db[17:9];
        if (web == 2'b00) qb <= mem[ab];
    end
endmodule
"""


def _rams() -> str:
    """A top with a RAM of each width, one with contents, and a true dual port with byte enables."""
    modules = [
        _sdp(f"ram{bits}", address, bits, "(7 * i + i / 5) % 512" if bits == 9 else "")
        for address, bits in RAMS
    ]
    ports = ["input clk, input [1:0] we, input [1:0] web, input re, input [13:0] wa"]
    ports += ["input [13:0] ra, input [35:0] wd, output [105:0] out"]
    body, at = [], 0
    for address, bits in RAMS:
        body.append(
            f"ram{bits} r{bits} (clk, we[0], re, wa[{address - 1}:0], ra[{address - 1}:0], "
            f"wd[{bits - 1}:0], out[{at + bits - 1}:{at}]);"
        )
        at += bits
    body.append(
        "dual d (clk, we, web, {1'b0, wa[8:0]}, {1'b1, ra[8:0]}, wd[17:0], wd[35:18], "
        f"out[{at + 17}:{at}], out[{at + 35}:{at + 18}]);"
    )
    assert at + 36 == 106
    return (
        "".join(modules)
        + DUAL
        + f"module rams ({', '.join(ports)});\n"
        + "\n".join(body)
        + "\nendmodule\n"
    )


RAM_BENCH = """
`timescale 1ns / 1ps
module bench;
    reg clk, re;
    reg [1:0] we, web;
    reg [13:0] wa, ra;
    reg [35:0] wd;
    wire [105:0] wanted, found;
    integer i, wrong, seed;
    rams_rtl rtl (clk, we, web, re, wa, ra, wd, wanted);
    rams net (clk, we, web, re, wa, ra, wd, found);
    initial begin
        clk = 0;
        wrong = 0;
        seed = 7;
        re = 1;
        web = 0;
        for (i = 0; i < 2000; i = i + 1) begin
            // a few addresses, so that what was written is read again
            we = $random(seed);
            web = $random(seed);
            re = i < 64 || $random(seed) % 4 != 0;
            if (i < 64) begin we = 0; web = 0; end
            wa = $random(seed) & 14'h303f;
            ra = $random(seed) & 14'h303f;
            wd = {$random(seed), $random(seed)};
            #5 clk = 1;
            #5 clk = 0;
            if (i > 0 && found !== wanted) wrong = wrong + 1;
        end
        $display("WRONG %0d", wrong);
        $finish;
    end
endmodule
"""


@pytest.mark.slow
def test_block_rams_of_every_width_answer_as_their_rtl(tmp_path):
    source = tmp_path / "rams.v"
    source.write_text(_rams())
    netlist = tmp_path / "net.v"
    made = yosys.synthesise(
        [source],
        top="rams",
        family="ecp5",
        json_path=tmp_path / "net.json",
        verilog_path=netlist,
        timeout_s=300,
    )
    assert made.cells["DP16KD"] == len(RAMS) + 1
    widths = set(re.findall(r"\.DATA_WIDTH_A\(32'd(\d+)\)", netlist.read_text()))
    assert widths == {"1", "2", "4", "9", "18", "36"}
    rtl = tmp_path / "rtl.v"
    rtl.write_text(re.sub(r"\b(rams|ram\d+|dual)\b", r"\1_rtl", _rams()))
    bench = tmp_path / "bench.v"
    bench.write_text(RAM_BENCH)
    models = cell_models("ecp5", [netlist], tmp_path / "cells")
    sources = _for_icarus([netlist, *models], tmp_path / "readable")
    assert "WRONG 0\n" in icarus([bench, rtl, *sources], tmp_path)
    # and the bench sees a model that is wrong in the use of a byte enable
    spoilt = tmp_path / "dp16kd.v"
    text = (MODELS / "dp16kd.v").read_text()
    enables = "enabled = {{9{at[1]}}, {9{at[0]}}};"
    assert text.count(enables) == 1
    spoilt.write_text(text.replace(enables, "enabled = {{9{1'b1}}, {9{at[0]}}};"))
    sources = [spoilt if path.name == "dp16kd.v" else path for path in sources]
    assert "WRONG 0\n" not in icarus([bench, rtl, *sources], tmp_path)
