"""reset.v: on from configuration until the clock is good, and again whenever it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate2hw.tools import registry
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import available

BENCH = """
`timescale 1ns / 1ps
module bench;
    reg clk, good;
    wire rst;
    integer i;
    gate2hw_reset dut (.clk(clk), .good(good), .rst(rst));
    initial begin
        clk = 0;
        for (i = 0; i < 160; i = i + 1) begin
            // good after 10 clocks, lost for a clock at 60, flickering from 100 to 119
            good = i >= 10 && i != 60 && !(i >= 100 && i < 120 && i % 5 != 0);
            #5 $write("%b", rst);
            clk = 1;
            #5 clk = 0;
        end
        $finish;
    end
endmodule
"""


def _resets(work: Path, text: str) -> str:
    """What `rst` is before each rising edge."""
    reason = available("icarus")
    if reason is not None:
        pytest.skip(reason)
    (work / "bench.v").write_text(BENCH)
    (work / "reset.v").write_text(text)
    program = Path(registry.find("iverilog")[0])
    run_tool(
        [program, "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v", "reset.v"],
        tool="iverilog",
        cwd=work,
        timeout_s=60,
        expect=["bench.vvp"],
    )
    return run_tool(
        [program.with_name("vvp"), "-n", "bench.vvp"], tool="vvp", cwd=work, timeout_s=60
    ).stdout.strip()


def _is_right(resets: str) -> bool:
    # two flip-flops, one more for the counter, then 15 clocks
    on = [(0, 10 + 2 + 15), (60 + 3, 60 + 3 + 15), (101 + 3, 120 + 2 + 15)]
    wanted = "".join("1" if any(a <= i < b for a, b in on) else "0" for i in range(160))
    return resets == wanted


def test_reset_lasts_until_the_clock_is_good_and_comes_back_when_it_is_lost(tmp_path):
    text = (data_dir("rtl_templates") / "reset.v").read_text()
    assert _is_right(_resets(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("else count <= 4'd0;", "else count <= count;"),
        ("if (good_line[1] == 1'b1)", "if (good)"),
        ("count <= rst ? count + 1'b1 : count;", "count <= count + 1'b1;"),
        ("initial count = 4'd0;", "initial count = 4'd15;"),
    ],
)
def test_a_reset_that_is_wrong_is_seen(tmp_path, old, new):
    text = (data_dir("rtl_templates") / "reset.v").read_text()
    assert text.count(old) == 1
    assert not _is_right(_resets(tmp_path, text.replace(old, new)))
