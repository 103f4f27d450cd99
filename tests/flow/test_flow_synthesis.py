"""synth with LUT cells of our own: who maps, what is counted, what a stale file does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate2hw
from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.synthesis import cells_of_target
from gate2hw.ir.lutnetlist import from_netlist, save_lutnetlist
from gate2hw.ir.netlist import Encoder, Netlist, SiteLayer, Sites
from gate2hw.ir.store import save_netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl import RtlOptions, emit_rtl
from gate2hw.tools import nextpnr
from gate2hw.tools.targets import load_target

TEXT = """\
netlist inputs=6
7 = AND 1 2
8 = XOR 3 6
9 = A_AND_NOT_B 7 8
10 = OR 7 5
class bias=0: 9 ~10 8
class bias=0: 8 ~8 ~4
"""
TARGET = "ice40-up5k"


def netlist() -> Netlist:
    sites = Sites((SiteLayer("first", 2, 1, 1, 1), SiteLayer("second", 2, 1, 1, 1)))
    encoder = Encoder(np.repeat([0, 1], 3), np.tile([10, 20, 30], 2), (2,), 255)
    return parse_netlist(TEXT).with_(encoder=encoder, sites=sites, origin=np.array([0, 1, 2, 3]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiled build folder; nothing is placed or routed."""
    net = netlist()
    manifest = emit_rtl(net, tmp_path / "rtl", RtlOptions(), version="0")
    save_netlist(tmp_path / "netlist.npz", net)
    save_lutnetlist(tmp_path / "luts4.npz", from_netlist(net))
    BuildFolder(tmp_path).put("compile", "key", [], {"options": {}}, 0.0)

    def place_and_route(**options: Any) -> nextpnr.PnrResult:
        path = options["out_dir"] / "top.bin"
        path.write_bytes(b"bits")
        assert json.loads(options["json_path"].read_text())["modules"][manifest.modules["top"]]
        return nextpnr.PnrResult(50.0, 12.0, True, {}, [], path, 0.0, {})

    monkeypatch.setattr(nextpnr, "place_and_route", place_and_route)
    return tmp_path


def cells_path(folder: Path) -> Path:
    manifest = gate2hw.rtl.Manifest.load(folder / "rtl" / "manifest.json")
    return cells_of_target(BuildFolder(folder), load_target(TARGET), manifest)


def test_our_luts_are_linked_and_counted_by_block(folder: Path) -> None:
    result = gate2hw.synth(folder, TARGET)
    blocks = result["area_by_block"]
    assert result["mapper"] == "gate2hw"
    own = gate2hw.rtl.Manifest.load(folder / TARGET / "rtl" / "manifest.json")
    assert own.storage == "logic"
    # ~10 alone is absorbed; 8 is read both ways, and input 3 only as its complement
    assert blocks["gates"]["luts_by_layer"] == {"first": 2, "second": 2, "complements": 2}
    assert blocks["gates"]["luts"] == 6
    for kind in ("luts", "ffs", "carries"):
        assert sum(block[kind] for block in blocks.values()) == result[kind]
    assert result["area"] == {name: b["luts"] for name, b in blocks.items() if b["luts"]}
    assert {"gates", "encoder", "stream"} <= set(result["area"])
    assert blocks["pipeline"]["ffs"] > 0
    nets = {entry["net"]: entry["n_sinks"] for entry in result["fan_out"]}
    assert nets["advance"] > 10
    assert len(nets) == 5
    assert list(nets.values()) == sorted(nets.values(), reverse=True)
    assert "clk" not in nets
    record = BuildFolder(folder).steps()[f"synth.{TARGET}"]
    assert cells_path(folder).relative_to(folder).as_posix() in record["files"]


def test_yosys_maps_where_it_is_asked_or_there_is_nothing_else(folder: Path) -> None:
    gate2hw.synth(folder, TARGET)
    assert cells_path(folder).is_file()
    result = gate2hw.synth(folder, TARGET, mapper="yosys")
    assert result["mapper"] == "yosys"
    assert "area" not in result
    assert not cells_path(folder).exists()
    (folder / "luts4.npz").unlink()
    assert gate2hw.synth(folder, TARGET)["mapper"] == "yosys"
    with pytest.raises(InputError, match=r"luts4\.npz is missing; compile again"):
        gate2hw.synth(folder, TARGET, mapper="gate2hw")
    with pytest.raises(InputError, match="did you mean 'yosys'"):
        gate2hw.synth(folder, TARGET, mapper="yosis")  # type: ignore[arg-type]


def test_a_missing_netlist_is_named(folder: Path) -> None:
    (folder / "netlist.npz").unlink()
    with pytest.raises(ModelFileError, match=r"netlist\.npz"):
        gate2hw.synth(folder, TARGET)


def test_luts_of_another_netlist_are_refused(folder: Path) -> None:
    first = gate2hw.synth(folder, TARGET)
    luts = from_netlist(netlist())
    init = luts.init.copy()
    init[-1] ^= np.uint64(1)
    save_lutnetlist(folder / "luts4.npz", luts.with_(init=init))
    with pytest.raises(InputError, match="not a mapping of the netlist; compile again"):
        gate2hw.synth(folder, TARGET)
    save_lutnetlist(folder / "luts4.npz", luts)
    assert gate2hw.synth(folder, TARGET)["luts"] == first["luts"]


@pytest.mark.parametrize("stages", ["gates=99", "popcount=65", "popcount=x"])
def test_stages_that_cannot_be_leave_the_last_result(folder: Path, stages: str) -> None:
    gate2hw.synth(folder, TARGET)
    with pytest.raises(InputError):
        gate2hw.synth(folder, TARGET, stages=stages)
    record = BuildFolder(folder).steps()[f"synth.{TARGET}"]
    assert BuildFolder(folder).files_unchanged(record)


def test_the_storage_is_that_of_the_family(folder: Path) -> None:
    """On ECP5 a bit is written by its flip-flop's enable; iCE40 has the form of the generic RTL."""
    gate2hw.synth(folder, "ecp5-25k")
    home = folder / "ecp5-25k"
    assert gate2hw.rtl.Manifest.load(home / "rtl" / "manifest.json").storage == "enable"
    assert "write_0" in (home / "rtl" / "lgn_top.v").read_text()
    assert "write_0" not in (folder / "rtl" / "lgn_top.v").read_text()


def test_the_form_of_the_popcount_can_be_chosen(folder: Path) -> None:
    smallest = gate2hw.synth(folder, TARGET)
    assert smallest["popcount"] == "luts"
    assert list((folder / TARGET).glob("lgn_popcount_*_cells.v"))
    fastest = gate2hw.synth(folder, TARGET, popcount="adder")
    assert (fastest["popcount"], fastest["mapper"]) == ("adder", "gate2hw")
    assert not list((folder / TARGET).glob("lgn_popcount_*_cells.v"))
    assert fastest["area_by_block"]["gates"] == smallest["area_by_block"]["gates"]
    with pytest.raises(InputError, match="need --mapper gate2hw"):
        gate2hw.synth(folder, TARGET, mapper="yosys", popcount="luts")
    with pytest.raises(InputError, match="did you mean 'adder'"):
        gate2hw.synth(folder, TARGET, popcount="ader")
