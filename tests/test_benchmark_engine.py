"""benchmarks/engine.py: a wrong class stops it, a missing peer is a reason, the keys are there."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODEL = FOLDER.parent / "examples" / "models" / "monk-2"
MODULES = ("engine", "engine_nets", "engine_peers", "engine_tables", "common", "models")
MODULES += ("synthetic", "compiled")
FEW = ("--images", "100", "--rounds", "1", "--least", "0.001", "--quick")

# serves what the netlist gives, with one class or score changed where it is told to
FAKE_PEER = """
import json, sys
sys.path.insert(0, {peers!r})
import numpy as np
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_netlist
from server import protocol, serve

out = protocol()
case = json.load(open(sys.argv[2]))
found = scores(load_netlist(case["netlist"]), np.load(case["x"]))
classes = found.argmax(axis=1)
{fault}
about = {{"version": "0", "compile_s": 0.5}}
runs = {{"end to end": (len(found), lambda: None), "kernel": (len(found), lambda: None)}}
serve(out, about, runs, lambda: None, {{"": lambda: (found, classes)}}, case["least_s"])
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with no peer installed; benchmarks/ is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("engine")
    peers = importlib.import_module("engine_peers")
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "peers")
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return module


def run(engine: ModuleType, monkeypatch: pytest.MonkeyPatch, *argv: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["engine.py", *map(str, argv)])
    try:
        return int(engine.main())
    except SystemExit as error:
        return error.code


def install(tmp_path: Path, fault: str = "") -> None:
    """Put the fake peer where difflogic and torchlogix would be."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE_PEER.format(peers=str(FOLDER / "peers"), fault=fault))
    for name in ("difflogic", "torchlogix"):
        python = tmp_path / "peers" / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        python.chmod(0o755)


def test_the_keys_of_one_net(engine, monkeypatch, tmp_path, capsys):
    out = tmp_path / "r.json"
    assert run(engine, monkeypatch, *FEW, "--no-peers", "--net", MODEL, "--json", out) == 0
    assert "skipped: peers: --no-peers" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["ratio_end_to_end_vs_difflogic"] is None
    (row,) = result["rows"]
    assert row["net"] == "monk-2"
    assert row["times"][f"gate2hw: predict {row['kernel']}"]["wall_s"]["median"] > 0
    kernels = row["contestants"]["gate2hw"]["kernels"]
    assert {f"gate2hw {kernel}" for kernel in kernels} <= set(row["compared"])
    assert row["latency"]["gate2hw"]["p99_s"] >= row["latency"]["gate2hw"]["median_s"]


def test_missing_peers_are_null_with_the_reason(engine, monkeypatch, tmp_path):
    out = tmp_path / "r.json"
    assert run(engine, monkeypatch, *FEW, "--net", "dense 240", "--json", out) == 1
    result = json.loads(out.read_text())
    missing = result["rows"][0]["missing"]
    assert "make peers" in missing["difflogic"]["missing"]
    assert result["rows"][0]["ratios"]["difflogic"]["end_to_end"] is None
    assert result["ratio_end_to_end_vs_difflogic"] is None


def test_a_peer_is_measured_in_every_round(engine, monkeypatch, tmp_path):
    install(tmp_path)
    out = tmp_path / "r.json"
    monkeypatch.setattr(engine, "QUICK_DENSE", ("dense 240",))
    argv = (*FEW, "--rounds", "2", "--net", "dense 240", "--json", out)
    assert run(engine, monkeypatch, *argv) == 0
    result = json.loads(out.read_text())
    spread = result["ratio_end_to_end_vs_difflogic_spread"]
    assert 0 < spread["min"] <= result["ratio_end_to_end_vs_difflogic"] <= spread["max"]
    assert result["ratio_end_to_end_vs_torchlogix"] > 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("classes[17] = (classes[17] + 1) % 10", "wrong in 1 of 100 classes, first at (17,)"),
        ("found[99, 9] += 1", "wrong in 1 of 1,000 scores, first at (99, 9)"),
        ("found = found[:, :9]", "gives scores (100, 9), not (100, 10)"),
    ],
)
def test_a_planted_difference_stops_the_run(engine, monkeypatch, tmp_path, fault, said):
    install(tmp_path, fault)
    out = tmp_path / "r.json"
    code = run(engine, monkeypatch, *FEW, "--net", "dense 240", "--json", out)
    assert said in str(code)
    assert not out.exists()


def test_a_peer_that_fails_is_a_reason(engine, monkeypatch, tmp_path):
    install(tmp_path, "raise ValueError('no such layer')")
    out = tmp_path / "r.json"
    run(engine, monkeypatch, *FEW, "--net", "dense 240", "--json", out)
    missing = json.loads(out.read_text())["rows"][0]["missing"]
    assert "no such layer" in missing["torchlogix"]["missing"]


def test_gate_ids_are_tables_reversed(engine, tmp_path):
    nets = engine.prepare.__globals__
    subject = engine.prepare("dense 240", 64, 1)
    nets["write_difflogic"](subject, tmp_path)
    with np.load(tmp_path / "layers.npz") as arrays:
        first = next(layer for name, layer in subject.network.layers() if name == "dense1")
        a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
        ids, tables = arrays["gate_0"].astype(int), first.tables.astype(int)
        difflogic = ids[:, None] >> (3 - (2 * a + b)) & 1
        np.testing.assert_array_equal(difflogic, tables[:, None] >> (2 * a + b) & 1)
        np.testing.assert_array_equal(arrays["a_0"], first.wiring[:, 0])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_a_compiled_library_is_kept_by_content(engine, monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", subprocess.run)
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    compiled = importlib.import_module("compiled")
    source = tmp_path / "one.c"
    argv = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(tmp_path / "one.so"), str(source)]
    kept = []
    for text in ("int f(void) { return 1; }", "int f(void) { return 1; }", "int f(void);"):
        source.write_text(text)
        note = compiled.gcc_kept(tmp_path / "kept", 60.0)
        assert subprocess.run(argv).returncode == 0
        kept.append(note["kept"])
        assert note["compile_s"] >= 0
    assert kept == [False, True, False]
    source.write_text("int f(void) { return")
    compiled.gcc_kept(tmp_path / "kept", 60.0)
    with pytest.raises(compiled.NotCompiledError, match="gcc failed"):
        subprocess.run(argv)
    source.write_text("int g(void) { return 2; }")
    compiled.gcc_kept(tmp_path / "kept", 0.0)
    with pytest.raises(compiled.NotCompiledError, match="did not end within 0 s"):
        subprocess.run(argv)
