"""board: clocks, baud rates, constraints, and a whole board from compile to simulated netlist."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import gate2hw.flow
from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, DoesNotFitError, InputError, ToolFailedError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.reporting import report
from gate2hw.flow.tops import boarding
from gate2hw.flow.tops.boarding import board, identity, wiring_of, write_board
from gate2hw.flow.tops.boardsim import simulate_board
from gate2hw.rtl import Manifest
from gate2hw.tools import simulators
from gate2hw.tools.boards import boards, load_board
from gate2hw.tools.resources import data_dir
from gate2hw.tools.targets import load_target


@pytest.fixture
def manifest(compiled: Path) -> Manifest:
    return Manifest.load(compiled / "rtl" / "manifest.json")


def test_the_boards_clock_needs_no_pll_and_another_one_does(manifest):
    plain = wiring_of(manifest, load_board("icebreaker"))
    assert plain.clock_mhz == 12.0
    assert "no_pll" in plain.words
    assert plain.parameters["CLOCKS_PER_BIT"] == "104"
    assert plain.parameters["GAP_CLOCKS"] == "600000"
    # a gap is never shorter than what a byte's own stop bit may look like
    slow = wiring_of(manifest, load_board("icebreaker"), baud=20).parameters
    assert (slow["CLOCKS_PER_BIT"], slow["GAP_CLOCKS"]) == ("600000", "1200000")
    assert wiring_of(manifest, load_board("icebreaker"), gap_ms=0).parameters["GAP_CLOCKS"] == "208"
    fast = wiring_of(manifest, load_board("icebreaker"), clock_mhz=30.0)
    assert {"ice40_pll", "pll40_pad"} < set(fast.words)
    assert fast.clock_mhz == pytest.approx(30.0)
    assert fast.parameters["PLL_DIVF"] == "7'd79"
    assert fast.parameters["CLOCKS_PER_BIT"] == "260"
    ecp5 = wiring_of(manifest, load_board("ulx3s-85f"), clock_mhz=60.0)
    assert {"ecp5_pll", "tied_high"} < set(ecp5.words)
    names = ("PLL_CLKI_DIV", "PLL_CLKFB_DIV", "PLL_CLKOP_DIV")
    assert [ecp5.parameters[name] for name in names] == ["5", "12", "10"]


def test_the_key_of_a_board_does_not_depend_on_the_process(manifest):
    """Sets of texts are listed in another order in each process: the step would never be done."""
    wiring = wiring_of(manifest, load_board("ulx3s-85f"), clock_mhz=60.0)
    assert wiring.words == ("ecp5_pll", "tied_high", "uart")
    assert not any(isinstance(value, set | frozenset) for value in vars(wiring).values())


def test_the_model_tells_its_digest(manifest):
    wiring = wiring_of(manifest, load_board("icebreaker"))
    digest = bytes.fromhex(manifest.model_digest)[:8]
    assert identity(manifest) == digest
    assert int(wiring.parameters["MODEL"].removeprefix("64'h"), 16).to_bytes(8, "little") == digest


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"baud": 4_000_000}, "too fast for 12 MHz; at most 3000000"),
        ({"baud": 2_600_000}, "too far from a whole number; 2400000 would fit"),
        ({"baud": 1_522_843}, "is 7.88 clocks of 12 MHz a bit, .* 1500000 would fit"),
        ({"baud": 0}, "a baud rate must be above 0, not 0"),
        ({"interface": "i2c"}, "no interface 'i2c'"),
        ({"interface": "spi", "baud": 9600}, "SPI has no baud rate"),
        ({"clock_mhz": 500.0}, "outside the PLL's 16 to 275 MHz"),
    ],
)
def test_what_the_board_cannot_do_is_refused(manifest, options, complaint):
    with pytest.raises(InputError, match=complaint):
        wiring_of(manifest, load_board("icebreaker"), **options)


def test_a_frame_longer_than_a_packet_is_refused(manifest):
    long = dataclasses.replace(manifest, frame_bytes=65536)
    with pytest.raises(InputError, match="up to 65535 bytes, a frame of this model has 65536"):
        wiring_of(long, load_board("icebreaker"))


def _ports(text: str) -> dict[str, int]:
    """Ports of the board's top level and their widths."""
    lights = int(re.search(r"LIGHTS = (\d+)", text)[1])
    head = text[text.index("\n) (\n") : text.index(");")]
    found = re.findall(r"(?:in|out)put +wire (\[LIGHTS-1:0\] )?(\w+)", head)
    return {name: lights if span else 1 for span, name in found}


@pytest.mark.parametrize("interface", ["uart", "spi"])
@pytest.mark.parametrize("found", boards(), ids=lambda found: found.name)
def test_every_port_of_every_board_has_its_pin(manifest, tmp_path, found, interface):
    wiring = wiring_of(manifest, found, interface=interface)
    text = write_board(manifest, wiring, tmp_path)[-1].read_text()
    ports = {
        f"{name}[{bit}]" if width > 1 else name
        for name, width in _ports(text).items()
        for bit in range(width)
    }
    target = load_target(found.target)
    lines = boarding._constraints(tmp_path, wiring, target).read_text().splitlines()
    if target.family == "ice40":
        placed = {line.split()[-2]: line.split()[-1] for line in lines if "set_io" in line}
        pulled = {line.split()[-2] for line in lines if "-pullup yes" in line}
        assert lines[-1] == f"set_frequency clk_in {found.clock_mhz:g}"
    else:
        placed = dict(re.findall(r'LOCATE COMP "(.+?)" SITE "(.+?)";', "\n".join(lines)))
        kinds = dict(re.findall(r'IOBUF PORT "(.+?)" IO_TYPE=(\w+).*;', "\n".join(lines)))
        assert kinds == dict.fromkeys(placed, "LVCMOS33")
        pulled = set(re.findall(r'PORT "(\w+)" .* PULLMODE=UP;', "\n".join(lines)))
        assert lines[-1] == f'FREQUENCY PORT "clk_in" {found.clock_mhz:g} MHZ;'
    # the lines of a host that is not there must not look like one
    assert pulled == {"uart": {"uart_rx"}, "spi": {"spi_cs_n"}}[interface]
    assert placed == found.pins(interface)
    assert set(placed) == ports


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("icebreaker", {}),
        ("colorlight-i5", {"interface": "spi"}),
    ],
)
def test_the_verilog_of_a_board_is_clean(manifest, compiled, tmp_path, name, options):
    reason = simulators.available("verilator")
    if reason is not None:
        pytest.skip(reason)
    around = write_board(manifest, wiring_of(manifest, load_board(name), **options), tmp_path)
    sources = [*(compiled / "rtl" / file for file in manifest.files), *around]
    waivers = data_dir("rtl_templates") / "verilator.vlt"
    assert simulators.lint(sources, top="tiny_board", timeout_s=60, waiver_path=waivers) == []


@pytest.mark.parametrize(
    "line",
    [
        "Warning: unmatched constraint 'led[9]' (on line 3)",
        "Warning: IO 'uart_rx' is unconstrained in LPF and will be automatically placed",
    ],
)
def test_a_pin_that_is_not_where_the_board_has_it_is_an_error(tmp_path, line):
    log = tmp_path / "log"
    log.write_text("Info: constrained 'clk_in' to bel 'X12/Y31/io1'\n")
    boarding._check_placed(log)
    log.write_text(f"Info: packing\n{line}\n")
    with pytest.raises(ToolFailedError, match="did not place a pin"):
        boarding._check_placed(log)


def test_the_command_lists_boards_and_refuses_what_is_none(tmp_path, capsys, compiled):
    assert main(["boards", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == sorted(found.name for found in boards())
    assert main(["board", str(compiled), "--board", "icebraker"]) == 2
    assert "did you mean 'icebreaker'" in capsys.readouterr().err
    assert main(["board", str(tmp_path), "--board", "icebreaker"]) == 2
    assert "no build folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="not built for the board"):
        simulate_board(compiled, "icebreaker")


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({}, 0, "load it: iceprog x.bin"),
        ({"clock_met": False}, 1, "reaches 31.3 MHz, its clock is 12 MHz"),
        ({"fits": False, "reason": "needs 9 LUTs, there are 8"}, 1, "does not fit: needs 9"),
    ],
)
def test_the_command_tells_what_came_of_it(monkeypatch, capsys, changes, code, said):
    made = {
        "fits": True,
        "clock_met": True,
        "luts": 2976,
        "ffs": 1477,
        "fmax_mhz": 31.3,
        "clock_mhz": 12.0,
        "baud": 115200,
        "interface": "uart",
        "program": "iceprog x.bin",
        **changes,
    }
    run = {"stage": "rtl", "simulator": "verilator", "n_packets": 20, "mismatches": 0}
    run["skipped"] = {"noise": "a gap of 600000 clocks takes too long to simulate"}
    monkeypatch.setattr(gate2hw.flow, "board", lambda *_, **__: made)
    monkeypatch.setattr(gate2hw.flow, "simulate_board", lambda *_, **__: [run])
    assert main(["board", "dir", "--board", "icebreaker", "--simulate"]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
    if made["fits"]:
        assert "rtl on verilator: 20 packets, 0 answers differ" in told.out
        assert "noise left out: a gap of 600000 clocks" in told.out


def test_what_no_longer_fits_leaves_nothing_of_what_did(build, monkeypatch):
    """A bitstream and a results.json that say "fits" must not outlive the design."""
    out = boarding.board_dir(BuildFolder(build), "icebreaker")
    (out / "rtl").mkdir(parents=True)
    for name in ("tiny_board.bin", "results.json", "tiny_board_synth.v", "rtl/tiny_top.v"):
        (out / name).write_text("stale")

    def synthesise(*_: object, **__: object) -> None:
        raise DoesNotFitError("needs 9 LUTs, there are 8")

    monkeypatch.setattr(boarding.yosys, "synthesise", synthesise)
    result = board(build, "icebreaker")
    assert (result["fits"], result["reason"]) == (False, "needs 9 LUTs, there are 8")
    left = {path.name for path in out.glob("*") if path.is_file()}
    assert not left & {"tiny_board.bin", "results.json", "tiny_board_synth.v"}
    assert (out / "rtl" / "tiny_top.v").read_text() != "stale"
    told = report(build)["report"]["boards"]["icebreaker"]
    assert told == {"fits": False, "reason": "needs 9 LUTs, there are 8"}


def test_the_command_that_loads_a_bitstream_bears_blanks_in_its_path():
    found = load_board("icebreaker")
    assert boarding._program(found, Path("my nets/x.bin")) == "iceprog 'my nets/x.bin'"


def test_the_report_lists_boards_and_what_was_simulated_of_them(build):
    folder = BuildFolder(build)
    name = "icebreaker"
    bitstream = build / "x.bin"
    bitstream.write_text("bits")
    made = {
        "fits": True,
        "target": "ice40-up5k",
        "interface": "uart",
        "baud": 9600,
        "clock_mhz": 30.0,
        "pll": True,
        "fmax_mhz": 31.3,
        "clock_met": True,
        "luts": 2976,
        "ffs": 1477,
        "utilisation": {"SB_IO": {"used": 10, "available": 96}},
        "bitstream": "x.bin",
        "asked": {"clock_mhz": 30.0, "baud": None, "seed": 1_000_000},
    }
    folder.put(f"board.{name}", "key", [bitstream], made, 0.0)

    def told() -> dict:
        content = report(build)["report"]
        commands = [c for c in content["build"]["commands"] if c.startswith("gate2hw board ")]
        return {**content["boards"][name], "command": commands[0]}

    first = told()
    assert first["simulations"] is None
    assert first["simulations_reason"].endswith("--board icebreaker --simulate")
    assert first["command"].endswith(
        "--board icebreaker --interface uart --clock-mhz 30 --seed 1000000"
    )
    run = {"stage": "rtl", "simulator": "icarus", "n_packets": 9, "mismatches": 0, "skipped": {}}
    folder.put(f"simulate.{name}", "k", [], {"board": "key", "simulations": [run]}, 0.0)
    assert told()["simulations"] == [run]
    assert told()["command"].endswith(" --simulate")
    failed = {"board": "key", "simulations": [run], "failed": "netlist: 3 of 9 answers differ"}
    folder.put(f"simulate.{name}", "k", [], failed, 0.0)
    assert told()["simulations"]["message"] == "netlist: 3 of 9 answers differ"
    # a simulation of what was there before says nothing
    folder.put(f"board.{name}", "another key", [bitstream], made, 0.0)
    assert told()["simulations"] is None
    bitstream.write_text("others")
    assert told()["reason"].startswith("stale: files have changed since; run gate2hw board")


@pytest.mark.parametrize(
    ("name", "simulator", "options"),
    [
        ("icebreaker", "verilator", {"baud": 3_000_000}),
        ("ice40-hx8k-breakout", "icarus", {"clock_mhz": 24.0, "baud": 6_000_000}),
        ("icebreaker", "verilator", {"interface": "spi"}),
    ],
)
@pytest.mark.slow
@pytest.mark.full
def test_a_board_from_compile_to_simulated_netlist(build, name, simulator, options):
    """Without and with a PLL, by UART and SPI: Verilog and netlist answer from the pins."""
    reason = simulators.available(simulator)
    if reason is not None:
        pytest.skip(reason)
    result = board(build, name, gap_ms=0.02, **options)
    assert result["fits"]
    assert result["clock_met"]
    assert result["fmax_mhz"] > result["clock_mhz"]
    assert ("ICESTORM_PLL" in result["utilisation"]) == ("clock_mhz" in options)
    line = options.get("interface", "uart")
    assert result["utilisation"]["SB_IO"]["used"] == len(load_board(name).pins(line))
    bitstream = build / result["bitstream"]
    assert bitstream.stat().st_size > 100_000
    stamp = bitstream.stat().st_mtime_ns
    assert board(build, name, gap_ms=0.02, **options) == result
    assert bitstream.stat().st_mtime_ns == stamp
    assert set(BuildFolder(build).steps()) >= {"compile", f"board.{name}"}
    done = simulate_board(build, name)
    assert [(run["stage"], run["simulator"]) for run in done] == [
        ("rtl", simulator),
        ("netlist", simulator),
    ]
    assert all(run["n_packets"] > 8 and run["mismatches"] == 0 for run in done)
    assert all(run["skipped"] == {} for run in done)
    assert report(build)["report"]["boards"][name]["simulations"] == done
    netlist = build / f"board-{name}" / "tiny_board_synth.v"
    text = netlist.read_text()
    netlist.write_text(text.replace("SB_LUT4 #(", "SB_LUT4 #( ", 1))
    with pytest.raises(InputError, match="files have changed"):
        simulate_board(build, name)


def test_a_wrong_netlist_does_not_pass(build, monkeypatch):
    """The flow raises where the bench says no; the bench's own faults are in tests/sim."""
    name = "icebreaker"
    folder = BuildFolder(build)
    manifest = Manifest.load(build / "rtl" / "manifest.json")
    wiring = wiring_of(manifest, load_board(name), baud=3_000_000)
    out = boarding.board_dir(folder, name)
    around = write_board(manifest, wiring, out / "rtl")
    facts = boarding.facts_of(wiring, manifest, {})
    facts |= {"fits": True, "around": [str(p.relative_to(build)) for p in around]}
    (out / "results.json").write_text(json.dumps(facts))
    (out / "tiny_board_synth.v").write_text("")
    manifest.save(out / "rtl" / "manifest.json")
    folder.put(f"board.{name}", "key", around, facts, 0.0)
    seen = []

    def bench(**options):
        seen.append(options)
        work = options["build_dir"].parent
        job = json.loads((work / "job.json").read_text())
        content = {
            "passed": False,
            "complete": True,
            "mismatches": 3,
            "n_compared": 9,
            "violations": ["late"],
        }
        Path(job["result"]).write_text(json.dumps({**content, "tests": {}}))
        return simulators.BenchResult(False, 5, work / "x", 0.1, work / "bench.log")

    monkeypatch.setattr("gate2hw.flow.tops.boardsim.run_bench", bench)
    with pytest.raises(CheckFailedError, match="rtl: 3 of 9 answers differ; late"):
        simulate_board(build, name)
    noted = folder.result(f"simulate.{name}")
    assert noted["board"] == "key"
    assert "3 of 9 answers differ" in noted["failed"]
    # the Verilog is simulated with a gap of 20 bits, and the bench knows
    wrapper = (out / "sim" / "rtl" / "tiny_board_bench.v").read_text()
    assert "tiny_board #(.GAP_CLOCKS(80)) dut (" in wrapper
    told = json.loads(Path(seen[0]["env"]["GATE2HW_BOARD"]).read_text())
    assert told["parameters"]["GAP_CLOCKS"] == "80"
    assert wiring.parameters["GAP_CLOCKS"] == "600000"
    assert seen[0]["simulator"] == "verilator"
    assert seen[0]["toplevel"] == "tiny_board_bench"
