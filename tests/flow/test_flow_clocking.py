"""The search for registers, with place and route played by a formula."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.errors import InputError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.clock import clocking
from gate2hw.flow.clock.routing import Request
from gate2hw.flow.clock.stages import Stages
from gate2hw.ir.lutnetlist import from_netlist, save_lutnetlist
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.store import save_netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl import Manifest, RtlOptions, emit_rtl

TARGET = "ice40-hx8k"
N_LEVELS = 8
AROUND = 3.0


def netlist() -> Netlist:
    """A chain of gates, and four classes."""
    lines = ["netlist inputs=6", *(f"{6 + n} = XOR {5 + n} {n % 5 + 1}" for n in range(1, 9))]
    lines += [f"class bias=0: {14 - c} {c + 1} {c + 2} {c + 8} {c + 9}" for c in range(4)]
    encoder = Encoder(np.repeat([0, 1], 3), np.tile([10, 20, 30], 2), (2,), 255)
    return parse_netlist("\n".join(lines)).with_(encoder=encoder)


@cache
def _emitted(options: RtlOptions) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        emit_rtl(netlist(), Path(name), options, version="0")
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def emitted(options: RtlOptions, out: Path) -> Manifest:
    """`emit_rtl`, each choice of options once."""
    out.mkdir(parents=True, exist_ok=True)
    for name, content in _emitted(options).items():
        (out / name).write_bytes(content)
    return Manifest.load(out / "manifest.json")


class Device:
    """Place and route as a formula: nanoseconds of a path by its levels, worse by the seed."""

    def __init__(self) -> None:
        self.runs: list[Request] = []
        self.gate_ns, self.count_ns, self.outside_ns = 1.0, 1.0, 2.0
        self.seed_ns = {1: 0.0}
        self.most_cycles = 1000
        self.most_ranks = 1000
        self.stop_at: int | None = None

    def period_ns(self, stages: Stages, seed: int) -> tuple[float, str]:
        gates = self.gate_ns * -(-N_LEVELS // (stages.gates + 1))
        counts = self.count_ns * -(-5 // (stages.popcount + 1))
        paths = {"gates": gates, "popcount": counts, "encoder": self.outside_ns, "select": 1.0}
        block = max(paths, key=lambda name: paths[name])
        return AROUND + paths[block] + self.seed_ns.get(seed, 0.5), block

    def route(self, folder, out: Path, target, request: Request, progress) -> Any:
        if self.stop_at == len(self.runs):
            raise KeyboardInterrupt
        self.runs.append(request)
        progress(1, 4, f"{target.name}: synthesis")
        net = netlist()
        generic = Manifest.load(folder.path / "rtl" / "manifest.json")
        options = generic.options(**request.stages.options(net))
        manifest = emitted(options, out / "rtl")
        files = [out / "rtl" / name for name in [*manifest.files, "manifest.json"]]
        (out / "constraints.pcf").write_text(f"set_frequency clk {request.clock_mhz:g}\n")
        is_wide = request.stages.gates + request.stages.popcount > self.most_ranks
        if is_wide or request.stages.cycles(4) > self.most_cycles:
            return files, {"fits": False, "reason": "needs 9 LUTs", **request.asked()}
        period, block = self.period_ns(request.stages, request.seed)
        bits = out / "top.bin"
        bits.write_text(str(request))
        (out / "top_nextpnr.log").write_text("log")
        result = {
            "fits": True,
            "fmax_mhz": 1e3 / period,
            "clock_met": 1e3 / period >= request.clock_mhz,
            "luts": 10,
            "ffs": 20,
            "logic_cells": 25,
            "latency_cycles": manifest.top_latency_cycles,
            "latency_ns": 1.0,
            "images_per_s": 1,
            "critical": {"block": block, "blocks": {block: period}, "places": ["a", "b"]},
            "critical_path": [],
            "bitstream": bits.relative_to(folder.path).as_posix(),
            **request.asked(),
        }
        return [*files, bits], result


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(clocking, "route", device.route)
    return device


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    net = netlist()
    emitted(RtlOptions(), tmp_path / "rtl")
    save_netlist(tmp_path / "netlist.npz", net)
    save_lutnetlist(tmp_path / "luts4.npz", from_netlist(net))
    BuildFolder(tmp_path).put("compile", "key", [], {"options": {}}, 0.0)
    return tmp_path


def test_registers_are_added_until_the_clock_is_met(folder: Path, device: Device) -> None:
    said: list[str] = []
    result = gate2hw.synth(
        folder, TARGET, clock_mhz=150, progress=lambda done, total, text: said.append(text)
    )
    assert result["clock_met"]
    assert result["fmax_mhz"] >= 150
    tries = result["tries"]
    assert len(tries) == len(device.runs) <= 10
    assert [entry["clock_mhz"] for entry in tries] == [150.0] * len(tries)
    # 3 + 3 ns is the first that meets it: three gates in a row, no fewer ranks
    assert Stages(**tries[-1]["stages"]).gates == 2
    assert all(entry["fmax_mhz"] < 150 for entry in tries[:-1])
    assert any("try 1 (gates=" in line and "MHz, slowest in" in line for line in said)
    manifest = Manifest.load(folder / TARGET / "rtl" / "manifest.json")
    assert len(manifest.gate_registers) == 2
    assert result["latency_cycles"] == manifest.top_latency_cycles
    assert str(device.runs[-1]) == (folder / TARGET / "top.bin").read_text()
    assert result["bitstream"] == f"{TARGET}/top.bin"
    assert (folder / TARGET / "constraints.pcf").read_text() == "set_frequency clk 150\n"
    assert not (folder / TARGET / "tries").exists()
    record = BuildFolder(folder).steps()[f"synth.{TARGET}"]
    assert BuildFolder(folder).files_unchanged(record)
    assert not any("tries" in name for name in record["files"])


def test_what_each_try_gave_is_shown_where_lines_are_thinned_out(
    folder: Path, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    device.gate_ns = 2.0
    main(["synth", str(folder), "--target", TARGET, "--clock-mhz", "160", "--tries", "4"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "slowest in" in line]
    assert sum(f" on {TARGET}: " in line for line in lines) == len(device.runs) > 2


def test_a_second_call_runs_nothing(folder: Path, device: Device) -> None:
    first = gate2hw.synth(folder, TARGET, clock_mhz=150)
    n_runs = len(device.runs)
    assert gate2hw.synth(folder, TARGET, clock_mhz=150) == first
    assert len(device.runs) == n_runs


def test_an_interrupted_search_goes_on_where_it_stopped(folder: Path, device: Device) -> None:
    device.gate_ns, device.stop_at = 2.0, 2
    with pytest.raises(KeyboardInterrupt):
        gate2hw.synth(folder, TARGET, clock_mhz=160)
    assert len(device.runs) == 2
    device.stop_at = None
    result = gate2hw.synth(folder, TARGET, clock_mhz=160)
    assert len(device.runs) == len(result["tries"]) > 2
    other = Device()
    other.gate_ns = 2.0
    stages = [other.period_ns(Stages(**entry["stages"]), 1)[0] for entry in result["tries"]]
    assert [1e3 / entry["fmax_mhz"] for entry in result["tries"]] == pytest.approx(stages)


def test_a_clock_out_of_reach_is_said_and_the_fastest_kept(
    folder: Path, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["synth", str(folder), "--target", TARGET, "--clock-mhz", "400", "--tries", "6"])
    assert code == 1
    assert len(device.runs) <= 6
    result = BuildFolder(folder).result(f"synth.{TARGET}")
    assert result is not None
    assert not result["clock_met"]
    best = max(entry["fmax_mhz"] for entry in result["tries"])
    assert result["fmax_mhz"] == best
    text = " ".join(capsys.readouterr().err.split())
    assert f"reaches {best:.1f} MHz, 400 MHz was asked for; the slowest path, in " in text
    assert "a -> b" in text


def test_a_path_outside_of_the_core_is_left_to_other_placements(
    folder: Path, device: Device
) -> None:
    device.gate_ns = device.count_ns = 0.5
    device.outside_ns, device.seed_ns = 5.0, {1: 1.0, 2: 0.9, 3: 0.2}
    result = gate2hw.synth(folder, TARGET, clock_mhz=120)
    assert result["clock_met"]
    assert result["seed"] == 3
    assert [entry["seed"] for entry in result["tries"]] == [1, 2, 3]
    assert len({entry["name"] for entry in result["tries"]}) == 1
    assert result["asked"]["seed"] == 1


def test_far_from_the_clock_few_placements_are_tried(folder: Path, device: Device) -> None:
    device.outside_ns = 20.0
    result = gate2hw.synth(folder, TARGET, clock_mhz=120)
    assert not result["clock_met"]
    assert [entry["seed"] for entry in result["tries"]] == [1, 2, 3]


def test_the_fastest_within_a_latency(folder: Path, device: Device) -> None:
    generic = Manifest.load(folder / "rtl" / "manifest.json")
    least = generic.top_latency_cycles - generic.core_latency_cycles
    clocks = []
    for n_cycles in (least, generic.top_latency_cycles, generic.top_latency_cycles + 3):
        result = gate2hw.synth(folder, TARGET, latency_cycles=n_cycles)
        assert all(entry["latency_cycles"] <= n_cycles for entry in result["tries"])
        assert result["clock_met"]
        assert result["clock_mhz"] == result["fmax_mhz"]
        assert result["fmax_mhz"] == max(entry["fmax_mhz"] for entry in result["tries"])
        clocks.append(result["fmax_mhz"])
    assert clocks[0] <= clocks[1] < clocks[2]
    with pytest.raises(InputError, match=f"receiver and sender alone take {least}"):
        gate2hw.synth(folder, TARGET, latency_cycles=least - 1)


def test_where_registers_do_not_fit_fewer_are_taken(folder: Path, device: Device) -> None:
    device.most_cycles = 0
    result = gate2hw.synth(folder, TARGET, clock_mhz=150)
    assert not result["fits"]
    assert result["reason"] == "needs 9 LUTs"
    # the registers of the generic RTL are the fewest that are tried
    assert [request.stages for request in device.runs][1:] == [Stages()]
    assert [entry["fits"] for entry in result["tries"]] == [False, False]
    plain = Stages.of(Manifest.load(folder / "rtl" / "manifest.json")).cycles(4)
    for most in (plain, plain + 1):
        device.most_cycles = most
        result = gate2hw.synth(folder, TARGET, clock_mhz=150 + most)
        assert result["fits"]
        assert not result["clock_met"]
        fitting = [entry for entry in result["tries"] if entry["fits"]]
        assert 0 < len(fitting) < len(result["tries"]) <= 10
        assert result["fmax_mhz"] == max(entry["fmax_mhz"] for entry in fitting)


def test_between_too_many_registers_and_the_fewest_others_are_tried(
    folder: Path, device: Device
) -> None:
    """More ranks in both places do not fit; in one of them they do, and are faster than none."""
    device.most_ranks = 1
    result = gate2hw.synth(folder, TARGET, clock_mhz=160)
    tries = [Stages(**entry["stages"]) for entry in result["tries"]]
    refused = [one for one, entry in zip(tries, result["tries"], strict=True) if not entry["fits"]]
    assert refused
    # nothing that has all the registers of a try that did not fit
    for number, one in enumerate(tries):
        assert not any(one.has_all_of(before) for before in refused if before in tries[:number])
    fastest = 1e3 / min(device.period_ns(one, 1)[0] for one in (Stages(1, 0), Stages(0, 1)))
    assert result["fmax_mhz"] == pytest.approx(fastest)
    assert fastest > 1e3 / device.period_ns(Stages(), 1)[0]


@pytest.mark.parametrize(("tries", "choices"), [(1, 1), (2, 2), (3, 2)])
def test_few_tries_still_choose_registers(
    folder: Path, device: Device, tries: int, choices: int
) -> None:
    device.gate_ns = 2.0
    result = gate2hw.synth(folder, TARGET, clock_mhz=160, tries=tries)
    assert len(result["tries"]) == tries
    assert len({entry["name"] for entry in result["tries"]}) == choices


@pytest.mark.parametrize("clock_mhz", [0, -5.0, float("nan"), float("inf")])
def test_no_such_clock(folder: Path, device: Device, clock_mhz: float) -> None:
    with pytest.raises(InputError, match="give a positive number"):
        gate2hw.synth(folder, TARGET, clock_mhz=clock_mhz)
    assert not device.runs


def test_what_cannot_be_asked_for_together(folder: Path, device: Device) -> None:
    with pytest.raises(InputError, match="cannot be given as well"):
        gate2hw.synth(folder, TARGET, latency_cycles=9, stages="gates=1")
    with pytest.raises(InputError, match="tries is 0; give 1 or more"):
        gate2hw.synth(folder, TARGET, clock_mhz=100, tries=0)
    assert not device.runs
