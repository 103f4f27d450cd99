"""OpenSTA: its reports read, and not believed where it complained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import ToolFailedError, ToolMissingError
from gate2hw.tools import opensta
from gate2hw.tools.liberty import read_liberty

TINY = Path(__file__).parents[1] / "data" / "tiny.lib"
NETLIST = """\
module top (clk, a, y);
  input clk;
  input a;
  output y;
  wire n, q;
  DFF first (.CK(clk), .D(a), .Q(q));
  INV turn (.A(q), .Y(n));
  DFF last (.CK(clk), .D(n), .Q(y));
endmodule
"""
SDC = """\
create_clock -name clk -period 1.0 [get_ports clk]
set_input_delay 0.2 -clock clk [get_ports {a}]
set_output_delay 0.2 -clock clk [all_outputs]
"""
PATH = """\
Startpoint: core/r (rising edge-triggered flip-flop clocked by clk)
Endpoint: core/s (rising edge-triggered flip-flop clocked by clk)

Fanout      Delay       Time   Description
--------------------------------------------------------------------
         0.00000    0.00000   clock clk (rise edge)
         0.00000    0.00000   clock network delay (ideal)
         0.00000    0.00000 ^ core/r/CK (DFF)
         0.25000    0.25000 v core/r/Q (DFF)
    2                         core/gates_reg[7] (net)
         0.15000    0.40000 ^ core/u/Y (INV)
    1                         core/n (net)
         0.00000    0.40000 ^ core/s/D (DFF)
                    0.40000   data arrival time

         1.00000    1.00000   clock clk (rise edge)
                    1.00000 ^ core/s/CK (DFF)
        -0.10000    0.90000   library setup time
--------------------------------------------------------------------
                    {slack}   slack ({met})
"""
OUTPUT_PATH = """\
         0.00000    0.00000 ^ core/s/CK (DFF)
         0.20000    0.20000 v core/s/Q (DFF)
         0.00000    0.20000 v y (out)
                    0.20000   data arrival time

                   -0.30000   slack (VIOLATED)
"""


def report(slack: str = "0.50000", met: str = "MET", *, output: str = OUTPUT_PATH) -> str:
    return (
        f"gate2hw: reg_to_reg\n{PATH.format(slack=slack, met=met)}\n"
        f"gate2hw: in_to_reg\nNo paths found.\ngate2hw: reg_to_out\n{output}\n"
        "gate2hw: in_to_out\nNo paths found.\n"
        "gate2hw: hold\n                    0.07000   slack (MET)\ngate2hw: end of report\n"
    )


def timed(tmp_path: Path, **options: object) -> opensta.TimingResult:
    (tmp_path / "netlist.v").write_text(NETLIST)
    (tmp_path / "top.sdc").write_text(SDC)
    return opensta.time_netlist(
        tmp_path / "netlist.v",
        read_liberty(TINY),
        tmp_path / "top.sdc",
        top="top",
        inputs=("a",),
        clock_ns=1.0,
        io_fraction=0.2,
        out_dir=tmp_path,
        timeout_s=20,
    )


@pytest.fixture
def printing(tmp_path: Path, fake_tool: Callable[[str, str], Path]) -> Callable[[str], None]:
    """Let OpenSTA print a text and end well, as it does whatever happens."""

    def of(text: str) -> None:
        (tmp_path / "said.txt").write_text(text)
        fake_tool("opensta", f"cat '{tmp_path}/said.txt'")

    return of


def test_a_report_is_read(tmp_path: Path, printing: Callable[[str], None]) -> None:
    printing(report())
    found = timed(tmp_path)
    assert found.worst_slack_ns == -0.3
    assert found.worst_hold_slack_ns == 0.07
    first, second = found.paths
    assert (first.group, second.group) == ("reg_to_reg", "reg_to_out")
    assert first.period_ns(1.0) == pytest.approx(0.5)
    # a fifth of the period lies outside of the output
    assert second.period_ns(1.0) == pytest.approx(1.1 / 0.8)
    assert found.fmax_mhz == pytest.approx(1e3 / (1.1 / 0.8))
    assert found.critical_path == second
    assert [(p.pin, p.cell, p.delay_ns, p.net) for p in first.points] == [
        ("core/r/CK", "DFF", 0.0, None),
        ("core/r/Q", "DFF", 0.25, "core/gates_reg[7]"),
        ("core/u/Y", "INV", 0.15, "core/n"),
        ("core/s/D", "DFF", 0.0, None),
    ]
    assert (tmp_path / "opensta.rpt").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Error: opensta.tcl, 3 cannot link\n" + report(), "complained: Error: opensta.tcl"),
        ("netlist.v line 4, syntax error\n" + report(), "complained: netlist.v line 4, syntax"),
        (report().replace("gate2hw: end of report\n", ""), "stopped before the end"),
        (report(output="").replace("slack", ""), "found no path"),
        ("", "stopped before the end"),
    ],
)
def test_a_report_is_not_believed(
    text: str, message: str, tmp_path: Path, printing: Callable[[str], None]
) -> None:
    printing(text)
    with pytest.raises(ToolFailedError, match=message):
        timed(tmp_path)


def test_without_opensta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert "sudo apt-get install opensta" in (opensta.available() or "")
    with pytest.raises(ToolMissingError, match="opensta"):
        timed(tmp_path)


def test_the_real_one(tmp_path: Path) -> None:
    if (reason := opensta.available()) is not None:
        pytest.skip(reason)
    found = timed(tmp_path)
    assert {path.group for path in found.paths} == {"reg_to_reg", "in_to_reg", "reg_to_out"}
    (path,) = (path for path in found.paths if path.group == "reg_to_reg")
    assert [point.pin for point in path.points] == ["first/CK", "first/Q", "turn/Y", "last/D"]
    # two cells of 20 to 30 ps and some load, 15 ps of setup
    assert 1 - 0.09 < path.slack_ns < 1 - 0.055
    (tmp_path / "netlist.v").write_text(NETLIST)
    broken = NETLIST.replace("wire n, q;", "assign {q, n} = 2'b0;")
    (tmp_path / "broken.v").write_text(broken)
    with pytest.raises(ToolFailedError, match="opensta"):
        opensta.time_netlist(
            tmp_path / "broken.v",
            read_liberty(TINY),
            tmp_path / "top.sdc",
            top="other",
            inputs=("a",),
            clock_ns=1.0,
            io_fraction=0.2,
            out_dir=tmp_path,
            timeout_s=20,
        )
