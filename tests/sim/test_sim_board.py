"""The board bench passes good tops of every line and width, and a planted fault fails it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate2hw.flow.tops.boarding import facts_of, wiring_of, write_board
from gate2hw.rtl import Manifest
from gate2hw.tools.boards import load_board
from gate2hw.tools.resources import data_dir
from gate2hw.tools.simulators import run_bench
from sim.board_link import read_board
from sim.board_wrapper import board_wrapper_verilog
from sim.packets import crc_of, find_packet, request

ROOT = Path(__file__).parents[2]
GAP_MS = 0.02


def full(*values: Any) -> Any:
    """Values of a parametrised test that `make test-full` runs alone."""
    return pytest.param(*values, marks=pytest.mark.full)


@dataclass
class BoardRun:
    """What the board bench left behind."""

    passed: bool
    result: dict[str, Any]
    log: str


def run_board(
    design,
    work: Path,
    simulator: str,
    *,
    board: str = "icebreaker",
    fault: tuple[str, str, str] | None = None,
    models: tuple[str, ...] = (),
    counts: dict[str, int] | None = None,
    frames: dict[str, int] | None = None,
    **options: Any,
) -> BoardRun:
    """Put `design` on a board and run the bench; `fault` is (part, text, its replacement)."""
    manifest = Manifest.load(design.rtl / "manifest.json")
    wiring = wiring_of(manifest, load_board(board), gap_ms=GAP_MS, **options)
    around = write_board(manifest, wiring, work / "rtl")
    if fault is not None:
        part, old, new = fault
        path = work / "rtl" / f"lgn_{part}.v"
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {part}"
        path.write_text(text.replace(old, new))
    facts = work / "board.json"
    facts.write_text(json.dumps(facts_of(wiring, manifest, {})))
    wrapper = work / "lgn_board_bench.v"
    wrapper.write_text(board_wrapper_verilog(read_board(facts)))
    result = work / "result.json"
    few = {"n_golden": 4, "n_random": 2, "n_ties": 2, "n_corners": 2}
    job = {
        "manifest": str(design.rtl / "manifest.json"),
        "netlist_raw": str(design.folder / "netlist_raw.npz"),
        "golden": str(design.folder / "golden.npz"),
        "result": str(result),
        "frames": frames or {"malformed": 4, "stalls": 2},
        **(counts or few),
    }
    job_path = work / "job.json"
    job_path.write_text(json.dumps(job))
    outcome = run_bench(
        simulator=simulator,
        sources=[
            *(design.rtl / name for name in manifest.files),
            *around,
            *(data_dir("rtl_templates") / "models" / name for name in models),
            wrapper,
        ],
        toplevel=wrapper.stem,
        test_module="sim.bench_board",
        test_dir=ROOT,
        build_dir=work / "build",
        timeout_s=200,
        env={"GATE2HW_JOB": str(job_path), "GATE2HW_BOARD": str(facts)},
    )
    content = json.loads(result.read_text())
    return BoardRun(outcome.passed, content, outcome.log_path.read_text())


def check(run: BoardRun) -> dict[str, Any]:
    assert run.passed, run.log[-3000:]
    assert run.result["complete"]
    assert run.result["passed"]
    assert run.result["mismatches"] == 0
    return run.result


def test_the_judge_knows_the_crc():
    assert crc_of(b"123456789") == (0x29B1).to_bytes(2, "little")
    good = request(b"ab")
    assert good[:4] == b"\xa5\x5a\x02\x00"
    answer = b"\xa5\x5a" + b"\0\x01\0\x07" + crc_of(b"\0\x01\0\x07")
    packet = find_packet(b"noise" + answer)
    assert packet is not None
    assert (packet.status, packet.payload, packet.fault) == (0, b"\x07", "")
    assert find_packet(answer[:-1]) is None
    assert find_packet(answer[:-1] + b"!").fault
    # the CRC of a good answer goes on from that of the request, that of a fault does not
    body = b"\0\x01\0\x07"
    answer = b"\xa5\x5a" + body + crc_of(body, good[-2:])
    assert not find_packet(answer, good).fault
    assert find_packet(answer, request(b"ac")).fault
    fault = b"\xa5\x5a\x02\0\0" + crc_of(b"\x02\0\0")
    assert not find_packet(fault, good).fault


def test_uart_board(small_design, tmp_path, icarus):
    run = run_board(small_design, tmp_path, icarus, baud=1_500_000)
    result = check(run)
    assert result["tests"]["bad_packets"]["n_malformed"] == 7
    assert not any("skipped" in test for test in result["tests"].values())


def test_spi_board(small_design, tmp_path, icarus):
    result = check(run_board(small_design, tmp_path, icarus, interface="spi"))
    assert "skipped" in result["tests"]["baud_skew"]
    assert result["tests"]["bad_packets"]["n_vectors"] == 5


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"n_features": 5, "n_classes": 2}, {"output": "scores", "bus_bytes": 4}),
        full({"n_features": 3, "max_value": 1000, "negative": True}, {"output": "scores"}),
        full({"n_features": 6}, {"output": "class", "bus_bytes": 8}),
        full({"n_features": 2}, {"output": "scores", "bus_bytes": 2}),
    ],
)
@pytest.mark.slow
def test_boards_of_many_shapes(nets, make_design, tmp_path, icarus, shape, options):
    design = make_design(nets.net(**shape), **options)
    check(run_board(design, tmp_path, icarus, baud=3_000_000))


@pytest.mark.parametrize(
    ("board", "clock_mhz", "model"),
    [
        ("icebreaker", 30.0, "sb_pll40.v"),
        full("ice40-hx8k-breakout", 48.0, "sb_pll40.v"),
        ("ulx3s-85f", 60.0, "ehxplll.v"),
    ],
)
@pytest.mark.slow
def test_boards_whose_clock_a_pll_makes(small_design, tmp_path, icarus, board, clock_mhz, model):
    run = run_board(
        small_design,
        tmp_path,
        icarus,
        board=board,
        clock_mhz=clock_mhz,
        baud=round(clock_mhz * 1e6 / 8),
        models=(model,),
    )
    check(run)


FAULTS = {
    "crc of requests": ("packet", "16'h1021", "16'h1023"),
    "crc not looked at": ("packet", "number == crc ? GOOD", "1'b1 ? GOOD"),
    "bad frames not dropped": ("packet", "s_axis_tvalid <= open;", "s_axis_tvalid <= 1'b0;"),
    "dropped as a whole frame": (
        "packet",
        "s_axis_tlast <= !no_beats_left;",
        "s_axis_tlast <= 1'b1;",
    ),
    "answers at once": ("packet", "QUIET: if (rx_idle)", "QUIET: if (1'b1)"),
    "no end of a broken packet": ("packet", "(rx_fault || rx_idle))", "(rx_fault && rx_idle))"),
    "length not looked at": ("packet", "number == FRAME_LENGTH[15:0]", "number != 16'd0"),
    "marks may not repeat": ("packet", "(rx_valid && rx_data != MARK_0)", "rx_valid"),
    "wrong lane": ("packet", "8*k +: 8] = rx_data", "8*k +: 8] = ~rx_data"),
    "answers fit any request": ("packet", "if (!has_payload) crc <= 16'hFFFF;", "crc <= 16'hFFFF;"),
    "the digest shifted twice": ("packet", "{8'd0, digest[8*MODEL_BYTES-1:8]}", "digest >> 16"),
    "class light": ("packet", "class_index <= tx_data;", "class_index <= tx_data + 8'd1;"),
    "fault light": ("packet", "fault <= !has_payload;", "fault <= 1'b0;"),
    "bits sampled at their edge": ("uart_rx", "timer <= HALF_LAST[TIMER_BITS-1:0]", "timer <= 0"),
    "a spike starts a byte": ("uart_rx", "if (level) left <= 4'd0;", ""),
    "start bits in a break": ("uart_rx", "if (!level && !broken)", "if (!level)"),
    "no stop bit": ("uart_tx", "shift <= {1'b1, data};", "shift <= {1'b0, data};"),
    "bytes too short": ("uart_tx", "left <= 4'd10;", "left <= 4'd9;"),
}
FAST_FAULTS = ("crc not looked at",)
SLOW_FAULTS = ("a spike starts a byte", "bad frames not dropped", "no end of a broken packet")


def _judge_fault(design, work, simulator, name):
    # eight clocks a bit where the fault is one of sampling, four where that does not matter
    run = run_board(
        design,
        work,
        simulator,
        fault=FAULTS[name],
        baud=1_500_000 if FAULTS[name][0] == "uart_rx" else 3_000_000,
        counts={"n_golden": 1, "n_random": 1, "n_ties": 0, "n_corners": 1},
        frames={"malformed": 4, "stalls": 1},
    )
    assert not run.passed, f"the bench let the fault pass: {name}"
    assert not run.result["passed"]


@pytest.mark.parametrize("name", FAST_FAULTS)
def test_planted_faults_are_caught(small_design, tmp_path, icarus, name):
    _judge_fault(small_design, tmp_path, icarus, name)


@pytest.mark.parametrize(
    "name",
    [*SLOW_FAULTS, *(full(name) for name in FAULTS if name not in (*FAST_FAULTS, *SLOW_FAULTS))],
)
@pytest.mark.slow
def test_every_planted_fault_is_caught(small_design, tmp_path, icarus, name):
    _judge_fault(small_design, tmp_path, icarus, name)


SPI_FAULTS = {
    "miso late": ("spi", "shift_out <= {shift_out[6:0], 1'b0};", "shift_out <= shift_out;"),
    "a byte taken too early": (
        "spi",
        "!idle && rise && count == 3'd0 && loaded",
        "!idle && fall && count == 3'd0 && tx_valid",
    ),
    "bits of a cut byte kept": ("spi", "        if (idle) begin\n", "        if (rst) begin\n"),
}


@pytest.mark.parametrize("name", [full(name) for name in SPI_FAULTS])
@pytest.mark.slow
def test_planted_faults_of_spi_are_caught(small_design, tmp_path, icarus, name):
    run = run_board(small_design, tmp_path, icarus, fault=SPI_FAULTS[name], interface="spi")
    assert not run.passed, f"the bench let the fault pass: {name}"


def test_templates_have_no_name_of_ours_left(small_design, tmp_path):
    manifest = Manifest.load(small_design.rtl / "manifest.json")
    for interface in ("uart", "spi"):
        wiring = wiring_of(manifest, load_board("ulx3s-85f"), interface=interface)
        for path in write_board(manifest, wiring, tmp_path / interface):
            text = path.read_text()
            assert not re.search(r"gate2hw_\w", text)
            assert "//?" not in text
            assert f"module lgn_{path.stem.removeprefix('lgn_')}" in text
