"""The boards in a report: their rows, the page, the terminal, and the shape that they must have."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gate2hw.errors import InputError
from gate2hw.report import check_report, html, summary, write_report
from gate2hw.report.boards import board_rows

RUNS = [
    {
        "stage": stage or "rtl",
        "simulator": "verilator",
        "n_packets": 50,
        "mismatches": 0,
        "skipped": dict.fromkeys(("bad_packets", "noise"), "a gap of 9 clocks") if stage else {},
    }
    for stage in ("", "netlist")
]


@pytest.fixture
def boards(report: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The boards of `report`: one that was simulated, one that was not, one that is too small."""
    for name in ("_model_plots", "_netlist_plots", "_target_plots"):
        monkeypatch.setattr(html, name, lambda _: [])
    fitted = {
        "fits": True,
        "target": "ice40-hx8k",
        "interface": "uart",
        "baud": 115200,
        "clock_mhz": 48.0,
        "pll": True,
        "fmax_mhz": 52.75,
        "clock_met": True,
        "luts": 2976,
        "ffs": 1477,
        "utilisation": {
            "SB_IO": {"used": 12, "available": 206},
            "ICESTORM_LC": {"used": 3213, "available": 7680},
        },
        "bitstream": "board-ice40-hx8k-breakout/digits_board.bin",
        "simulations": RUNS,
    }
    spi = {**fitted, "interface": "spi", "baud": None, "pll": False, "clock_met": False}
    spi |= {"simulations": None, "simulations_reason": "not run: gate2hw board x --simulate"}
    found = {
        "ice40-hx8k-breakout": fitted,
        "ulx3s-85f": spi,
        "icebreaker": {"fits": False, "reason": "needs 6,212 LUTs, there are 5,280"},
    }
    report["boards"] = found
    return found


def page_of(report: dict[str, Any], folder: Path) -> str:
    page = write_report(report, folder)[1].read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<h2>Boards") :]).split())


def terminal_of(report: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in summary(report):
        console.print(part)
    stream: Any = console.file
    return str(stream.getvalue())


def test_page_and_terminal_tell_clock_size_bitstream_and_simulation(boards, report, tmp_path):
    page, terminal = page_of(report, tmp_path), terminal_of(report)
    for text in (
        "UART, 115,200 baud",
        "48.0 by PLL ✓\u00a0met",
        "52.8",
        "2,976",
        "Verilog: 50 packets, 0 wrong; netlist after synthesis: 50 packets, 0 wrong "
        "(bad packets, noise left out: a gap of 9 clocks)",
        "board-ice40-hx8k-breakout/digits_board.bin : ICESTORM_LC 3,213 of 7,680 (42 %), SB_IO",
        "48.0 by oscillator ✗\u00a0MISSED",
        "not run: gate2hw board x --simulate",
        "✗ not built: needs 6,212 LUTs, there are 5,280",
        "No physical board was used.",
    ):
        assert " ".join(text.split()) in page, text
    for text in (
        "ice40-hx8k-breakout: UART, 115,200 baud, 48.0 by PLL (✓\u00a0met), routed at 52.8 MHz",
        "from its pins: Verilog: 50 packets, 0 wrong",
        "ulx3s-85f: SPI",
        "icebreaker is not built: needs 6,212 LUTs",
    ):
        assert text in terminal, text


def test_a_wrong_answer_is_called_failed(boards, report, tmp_path):
    failed = {"result": "failed", "message": "netlist: 3 of 9 answers differ; <b>late</b>"}
    boards["ice40-hx8k-breakout"]["simulations"] = failed
    assert [row.is_right for row in board_rows(report)] == [False, False, True]
    assert "✗ FAILED: netlist: 3 of 9 answers differ; &lt;b&gt;late" in page_of(report, tmp_path)
    assert "FAILED: netlist: 3 of 9" in terminal_of(report)
    boards["ice40-hx8k-breakout"]["simulations"] = [{**RUNS[0], "mismatches": 1}]
    assert not board_rows(report)[0].is_right


def test_a_report_without_boards_has_no_section(report, tmp_path):
    assert "<h2>Boards" not in write_report(report, tmp_path)[1].read_text(encoding="utf-8")
    assert board_rows(report) == []


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("fmax_mhz", None, "fmax_mhz: expected a finite number"),
        ("interface", "i2c", "interface: expected one of"),
        ("simulations", None, "simulations: is null without a reason"),
        ("simulations", [{"stage": "rtl"}], "simulator: missing"),
        ("utilisation", {"SB_IO": {"used": 1}}, "available: missing"),
    ],
)
def test_a_wrong_field_is_named(boards, report, key, value, complaint):
    check_report(json.loads(json.dumps(report)))
    boards["ice40-hx8k-breakout"][key] = value
    with pytest.raises(InputError, match=rf"boards\.ice40-hx8k-breakout\..*{complaint}"):
        check_report(json.loads(json.dumps(report)))
