"""Place and route: figures from nextpnr's own report, and every way to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import (
    DoesNotFitError,
    InputError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
)
from gate2hw.tools import nextpnr, yosys
from gate2hw.tools.registry import version
from gate2hw.tools.targets import Target, load_target

REPORT = {
    "fmax": {
        "clk": {"achieved": 50.125, "constraint": 40.0},
        "slow": {"achieved": 39.0, "constraint": 40.0},
    },
    "utilization": {"ICESTORM_LC": {"used": 20, "available": 7680}},
    "critical_paths": [],
}


def route(target: Target, json_path: Path, out_dir: Path, **options: object) -> nextpnr.PnrResult:
    return nextpnr.place_and_route(
        family=target.family,
        device_args=target.device_args,
        json_path=json_path,
        out_dir=out_dir,
        **{"clock_mhz": 20.0, "seed": 1, "timeout_s": 300.0, **options},  # type: ignore[arg-type]
    )


def mapped(source: Path, target: Target, out_dir: Path, top: str = "acc") -> Path:
    path = out_dir / f"{top}.json"
    yosys.synthesise(
        [source],
        top=top,
        family=target.family,
        json_path=path,
        verilog_path=out_dir / f"{top}_synth.v",
        timeout_s=120,
    )
    return path


@pytest.fixture
def fake_route(fake_tool: Callable[[str, str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A nextpnr-ice40 that writes `report` and a text, and an icepack that copies it."""

    def make(report: object = REPORT, after: str = "") -> Path:
        (tmp_path / "report").write_text(report if isinstance(report, str) else json.dumps(report))
        (tmp_path / "netlist.json").write_text("{}")
        copy = f'cp "{tmp_path}/report" report.json; echo .device > netlist.asc'
        fake_tool("nextpnr-ice40", f"{copy}\n{after}")
        fake_tool("icepack", 'cp "$1" "$2"')
        return tmp_path / "netlist.json"

    return make


@pytest.mark.parametrize(
    ("name", "pins", "cells", "suffix"),
    [
        ("ice40-hx8k", ("SB_IO", 14), "ICESTORM_LC", "bin"),
        ("ice40-up5k", ("SB_IO", 14), "ICESTORM_LC", "bin"),
        ("ecp5-25k", ("TRELLIS_IO", 14), "TRELLIS_COMB", "bit"),
        pytest.param("ecp5-85k", ("TRELLIS_IO", 14), "TRELLIS_COMB", "bit", marks=pytest.mark.slow),
    ],
)
def test_routes_a_small_design(
    accumulator: Path, tmp_path: Path, name: str, pins: tuple[str, int], cells: str, suffix: str
) -> None:
    target, out = load_target(name), tmp_path / "the out"
    result = route(target, mapped(accumulator, target, out), out)
    assert result.fmax_mhz > 50
    assert result.clock_met
    assert result.clock_mhz == 20
    used, available = result.utilisation[cells]
    assert 12 <= used <= 40
    assert available == target.luts
    # nextpnr counts the pads of the die for ECP5, the package has fewer pins
    assert result.utilisation[pins[0]][0] == pins[1]
    assert result.utilisation[pins[0]][1] >= target.ios
    delay_ns = sum(step["delay_ns"] for step in result.critical_path)
    assert delay_ns == pytest.approx(1e3 / result.fmax_mhz, rel=0.02)
    assert result.bitstream_path == out / f"acc.{suffix}"
    assert result.bitstream_path.stat().st_size > 10_000
    assert not list(out.glob(".nextpnr*"))


def test_missed_clock_is_told_not_raised(accumulator: Path, tmp_path: Path) -> None:
    target = load_target("ice40-up5k")
    result = route(target, mapped(accumulator, target, tmp_path), tmp_path, clock_mhz=900.0)
    assert not result.clock_met
    assert result.fmax_mhz < 900


def test_constraint_file_places_pins(accumulator: Path, tmp_path: Path) -> None:
    target = load_target("ice40-hx8k")
    pcf = tmp_path / "pins.pcf"
    pcf.write_text("set_io --warn-no-port clk J3\nset_io --warn-no-port rst A1\n")
    route(target, mapped(accumulator, target, tmp_path), tmp_path, constraint_path=pcf)
    assert "constrained 'clk' to bel" in (tmp_path / "acc_nextpnr.log").read_text()


def test_too_many_pins_for_the_package(tmp_path: Path) -> None:
    source = tmp_path / "wide.v"
    source.write_text(
        "module wide(input wire clk, input wire [59:0] d, output reg [19:0] q);\n"
        "always @(posedge clk) q <= d[19:0] ^ d[39:20] ^ d[59:40];\nendmodule\n"
    )
    target = load_target("ice40-up5k")
    said = "needs 81 SB_IO, there are 39: 42 too many"
    if " 0.8." in (version("nextpnr-ice40") or ""):
        # this oldest one tells which pin it cannot place, later ones count before they place
        said = "Unable to find a placement"
    with pytest.raises(DoesNotFitError, match=said):
        route(target, mapped(source, target, tmp_path, "wide"), tmp_path)
    assert not list(tmp_path.glob("*.bin"))


def test_no_room_without_counts_gives_nextpnrs_reason(
    tmp_path: Path, fake_route: Callable[..., Path], fake_tool: Callable[[str, str], Path]
) -> None:
    path = fake_route()
    fake_tool("nextpnr-ice40", "echo 'ERROR: failed to place cell x of type Y'; exit 1")
    with pytest.raises(DoesNotFitError, match="failed to place cell x"):
        route(load_target("ice40-hx8k"), path, tmp_path)


def test_phases_are_told_and_logged(tmp_path: Path, fake_route: Callable[..., Path]) -> None:
    lines = "echo 'Info: Packing LUT-FFs..' >&2; echo 'Info: Routing 12 arcs.' >&2"
    told: list[str] = []
    path = fake_route(after=lines)
    route(load_target("ice40-hx8k"), path, tmp_path, on_phase=told.append)
    assert told == ["packing", "router, 12 connections"]
    assert "Packing LUT-FFs" in (tmp_path / "netlist_nextpnr.log").read_text()


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        (
            "Info: Creating initial analytic placement for 2330 cells, random placement "
            "wirelen = 78434.",
            "placer",
        ),
        (
            "Info:     at iteration #16, type ALL: wirelen solved = 8436, spread = 11466, "
            "legal = 12012; time = 0.06s",
            "placer, iteration 16",
        ),
        (
            "Info:   at iteration #23: temp = 0.000000, timing cost = 672, wirelen = 9734 ",
            "placer, refinement 23",
        ),
        (
            "Info:       3000 |      563       2436 |  316   684 |      6404|       1.02       "
            "3.32|",
            "router, 6404 connections left",
        ),
        (
            "Info:     iter=3 wires=27213 overused=612 overuse=640 archfail=NA",
            "router, iteration 3, 612 wires shared",
        ),
        ("Info: Max frequency for clock 'clk': 90.80 MHz (PASS at 12.00 MHz)", None),
        ("Info:    IterCnt |  w/ripup   wo/ripup |  w/r  wo/r |      arcs| batch(sec)", None),
        ("Info: [ 72320,  72805) |+", None),
    ],
)
def test_what_a_line_of_the_log_tells(line: str, phase: str | None) -> None:
    assert nextpnr.phase_of(line) == phase


def test_the_clock_that_is_shown_decides(tmp_path: Path, fake_route: Callable[..., Path]) -> None:
    path = fake_route({**REPORT, "fmax": {"clk": {"achieved": 39.9998, "constraint": 40.0}}})
    result = route(load_target("ice40-hx8k"), path, tmp_path, clock_mhz=40.0)
    assert (result.fmax_mhz, result.clock_met) == (39.999, False)


def test_slowest_clock_counts(tmp_path: Path, fake_route: Callable[..., Path]) -> None:
    result = route(load_target("ice40-hx8k"), fake_route(), tmp_path, clock_mhz=40.0)
    assert (result.fmax_mhz, result.clock_met) == (39.0, False)
    assert result.utilisation == {"ICESTORM_LC": (20, 7680)}


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("{", "report that is not JSON"),
        ("[]", "report without fmax"),
        ({"fmax": {}, "utilization": {}}, "reports no clock"),
        ("", r"report\.json is empty"),
    ],
)
def test_bad_reports(
    tmp_path: Path, fake_route: Callable[..., Path], report: object, message: str
) -> None:
    with pytest.raises(ToolFailedError, match=message):
        route(load_target("ice40-hx8k"), fake_route(report), tmp_path)


def test_nextpnr_that_dies_hangs_or_writes_nothing(
    tmp_path: Path, fake_route: Callable[..., Path], fake_tool: Callable[[str, str], Path]
) -> None:
    target, path = load_target("ice40-hx8k"), fake_route(after="echo 'ERROR: bad JSON'; exit 1")
    with pytest.raises(ToolFailedError, match=r"nextpnr-ice40 failed with exit status 1.*bad JSON"):
        route(target, path, tmp_path)
    with pytest.raises(ToolTimeoutError, match="nextpnr-ice40 did not end within"):
        route(target, fake_route(after="sleep 60"), tmp_path, timeout_s=0.3)
    fake_tool("nextpnr-ice40", "exit 0")
    with pytest.raises(ToolFailedError, match=r"netlist\.asc is missing"):
        route(target, path, tmp_path)
    fake_route()
    fake_tool("icepack", "exit 0")
    with pytest.raises(ToolFailedError, match=r"icepack .*netlist\.bin is missing"):
        route(target, path, tmp_path)
    assert not list(tmp_path.glob("netlist.[ab]*"))


def test_missing_packer_is_told_before_routing(
    tmp_path: Path, fake_route: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_route(after="sleep 60")
    monkeypatch.setenv("GATE2HW_ICEPACK", str(tmp_path / "none"))
    with pytest.raises(ToolMissingError, match="GATE2HW_ICEPACK"):
        route(load_target("ice40-hx8k"), path, tmp_path)


def test_bad_arguments(tmp_path: Path) -> None:
    target = load_target("ice40-hx8k")
    with pytest.raises(InputError, match="no such file"):
        route(target, tmp_path / "none.json", tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="clock_mhz must be above 0"):
        route(target, tmp_path / "a.json", tmp_path, clock_mhz=0.0)
