"""The whole chain on the recipe with OR pooling, and the planted faults that each link catches."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.errors import InputError
from gate2hw.ir.store import file_sha256, load_golden, load_netlist, save_golden, save_netlist
from gate2hw.report import check_report
from gate2hw.tools.simulators import available

pytestmark = pytest.mark.slow

SOFTWARE = "torch = netlist before = after passes"
STREAMS = "handshakes of both streams proved"
"""Which do not depend on what the gates compute."""

needs_verilator = pytest.mark.skipif(
    available("verilator") is not None, reason=str(available("verilator"))
)


def results(folder: Path, **options: Any) -> dict[str, str]:
    """Link to result of one verify."""
    checked = gate2hw.verify(folder, n_random=64, **options)
    return {link["name"]: link["result"] for link in checked["links"]}


def plant(folder: Path, name: str, pattern: str, replacement: str) -> None:
    """Change one place of an emitted file, and the checksum that would give it away."""
    path = folder / "rtl" / name
    text, n_changes = re.subn(pattern, replacement, path.read_text(), count=1)
    assert n_changes == 1
    path.write_text(text)
    manifest = folder / "rtl" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][name] = file_sha256(path)
    manifest.write_text(json.dumps(content))


@needs_verilator
def test_from_model_to_checked_bitstream_and_report(build: Path) -> None:
    target = "ice40-up5k"
    placed = gate2hw.synth(build, target)
    assert placed["fits"]
    assert placed["clock_met"]
    assert (build / placed["bitstream"]).stat().st_size > 10_000
    links = results(build, target=target)
    assert set(links.values()) == {"passed"}, links
    assert len(links) == 6
    done = gate2hw.report(build)
    report = json.loads(Path(done["json"]).read_text())
    check_report(report)
    checks = report["checks"]
    assert checks["proof"]["result"] == "equivalent"
    for check in (checks["simulation"]["core"], checks["simulation"]["top"]):
        assert check["mismatches"] == 0
        assert check["n_vectors"] > len(load_golden(build / "golden.npz").x)
    assert checks["post_synthesis"][target]["mismatches"] == 0
    manifest = json.loads((build / "rtl" / "manifest.json").read_text())
    assert report["targets"][target]["latency_cycles"] == manifest["top_latency_cycles"]
    again = gate2hw.verify(build, target=target, n_random=64)
    assert all("checked before" in link["detail"] for link in again["links"])


@pytest.mark.skipif(available("icarus") is not None, reason=str(available("icarus")))
def test_icarus_agrees(build: Path) -> None:
    assert set(results(build, simulator="icarus", proof=False).values()) == {
        "passed",
        "not checked",
    }


@needs_verilator
def test_a_flipped_gate_fails_proof_and_both_benches(build: Path) -> None:
    net = load_netlist(build / "netlist.npz")
    gate = net.first_gate + net.n_gates // 2
    plant(build, "tiny_gates.v", rf"(wire n{gate} = )([^;]*);", r"\1~(\2);")
    links = results(build)
    assert links[SOFTWARE] == "passed"
    failed = {name for name, result in links.items() if result == "FAILED"}
    assert failed == set(links) - {SOFTWARE, STREAMS}
    assert main(["verify", str(build), "--vectors", "64", "--quiet"]) == 1


def test_golden_scores_that_are_off_by_one_fail(build: Path) -> None:
    golden = load_golden(build / "golden.npz")
    scores = golden.scores.copy()
    scores[-1, -1] += 1
    changed = type(golden)(
        golden.x, golden.y, scores, golden.classes, golden.digest, golden.class_names, golden.info
    )
    save_golden(build / "golden.npz", changed)
    checked = gate2hw.verify(build, proof=False, simulator="icarus")
    assert checked["failed"]
    assert checked["links"][0]["result"] == "FAILED"
    assert "1 of" in checked["links"][0]["detail"]


def test_a_swapped_netlist_is_refused(build: Path) -> None:
    net = load_netlist(build / "netlist.npz")
    tt = net.tt.copy()
    tt[0] = 14 if tt[0] == 8 else 8
    save_netlist(build / "netlist.npz", net.with_(tt=tt))
    with pytest.raises(InputError, match="another netlist"):
        gate2hw.verify(build)


def test_too_many_pins_and_a_missed_clock_are_exit_1(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = tmp_path / "wide"
    gate2hw.compile(small_model, wide, bus_bytes=8)
    assert main(["synth", str(wide), "--target", "ice40-up5k", "--quiet"]) == 1
    assert re.search(r"needs \d+ pins, ice40-up5k has 39", capsys.readouterr().err)
    argv = ["synth", str(wide), "--target", "ecp5-25k", "--clock-mhz", "900", "--tries", "1"]
    assert main([*argv, "--quiet"]) == 1
    assert "900 MHz was asked for" in capsys.readouterr().err
    result = gate2hw.synth(wide, "ecp5-25k", clock_mhz=900, tries=1)
    assert result["fits"]
    assert not result["clock_met"]


def test_without_a_compiler_the_simulated_links_are_not_checked(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    code = main(["verify", str(build), "--json"])
    out, err = capsys.readouterr()
    assert code == 2
    assert "g++" in err
    links = {link["name"]: link["result"] for link in json.loads(out)["links"]}
    assert list(links.values()) == ["passed"] * 3 + ["not checked"] * 2
    report = gate2hw.report(build)["report"]
    assert report["checks"]["simulation"]["core"] is None
    assert "g++" in report["checks"]["simulation"]["core_reason"]


def test_same_model_gives_the_same_bytes(small_model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        gate2hw.compile(small_model, tmp_path / name)
    for path in (tmp_path / "a").rglob("*"):
        if (path.is_file() and path.suffix in (".v", ".npz")) or path.name == "manifest.json":
            twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
            assert path.read_bytes() == twin.read_bytes(), path.name


def test_a_torch_module_compiles_without_files(small_model: Path, tmp_path: Path) -> None:
    from gate2hw.ir.store import load_network
    from gate2hw.nn import from_network

    network = load_network(small_model / "model.safetensors")
    step = gate2hw.compile(from_network(network), tmp_path / "m")
    assert step.result["model"]["digest"] == network.digest
    assert "without a golden file" in step.result["golden_reason"]
    links = results(tmp_path / "m", simulator="icarus", proof=False)
    assert links["torch = LogicNetwork"] == "not checked"
    assert links["LogicNetwork = netlist before = after passes"] == "passed"
    assert links["Verilog top simulated"] in ("passed", "not checked")
    shutil.rmtree(tmp_path / "m")
