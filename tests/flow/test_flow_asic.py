"""synth and verify for standard cells: figures, planted faults, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate2hw
from gate2hw import flow
from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError, ToolFailedError
from gate2hw.flow.asic.asic_checks import prepare, prove_mapped_gates
from gate2hw.flow.asic.mapped import LANES, load_mapped
from gate2hw.flow.asic.power import Activity, energies
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff.checks import load_chain
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden, save_golden, save_network
from gate2hw.tools import opensta, registry, simulators
from gate2hw.tools.liberty import read_liberty

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "tiny.lib"
OSU = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")


def golden_of(network: LogicNetwork) -> Golden:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (100, *network.thermometer.input_shape)).astype(np.uint8)
    scores = evaluate(network, x)
    classes = scores.argmax(axis=1)
    return Golden(x, classes, scores, classes, network.digest)


@pytest.fixture(scope="module")
def made(
    random_network: Callable[..., LogicNetwork], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A build folder with a golden file, mapped to the made-up library."""
    home = tmp_path_factory.mktemp("asic")
    network = random_network(5, input_shape=(5,), dense=(40, 24))
    model = home / "model.safetensors"
    save_network(model, network)
    save_golden(home / "golden.npz", golden_of(network))
    gate2hw.compile(model, home / "build", output="scores")
    flow.synth_asic(home / "build", liberty=TINY, clock_mhz=100.0, sta="none")
    return home / "build"


@pytest.fixture
def build(made: Path, tmp_path: Path) -> Path:
    out = tmp_path / "build"
    shutil.copytree(made, out)
    return out


def results(build: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build / "asic" / "results.json").read_text())
    return found


def test_figures(made: Path) -> None:
    found = results(made)
    blocks = found["area_by_block"]
    assert {"gates", "popcount", "argmax", "encoder", "stream"} <= set(blocks)
    assert found["area_um2"] == pytest.approx(sum(b["area_um2"] for b in blocks.values()))
    assert found["cells"] == sum(found["cells_by_type"].values())
    assert found["ffs"] == found["cells_by_type"]["DFF"]
    assert found["full_adder_cells"] > 0
    assert found["timing"] is None
    assert found["clock_met"] is None
    assert "none" in found["timing_reason"]
    power = found["power"]
    assert power["n_images"] >= 100
    assert power["dynamic_mw"] == pytest.approx(
        sum(
            row[f"{kind}_mw"]
            for row in power["blocks"].values()
            for kind in ("switching", "internal", "clock")
        )
    )
    assert set(power["blocks"]) >= {"gates", "popcount", "encoder"}
    # every flip-flop pays 1 + 3 + 16 fJ a cycle, at 100 MHz
    clock = sum(row["clock_mw"] for row in power["blocks"].values())
    assert clock == pytest.approx(found["ffs"] * 20e-15 * 100e6 * 1e3)


def test_files(made: Path) -> None:
    out = made / "asic"
    sdc = (out / "lgn_top.sdc").read_text()
    # without it, a library in ps turns 10 ns into 10 ps
    assert sdc.index("set_units -time ns") < sdc.index("create_clock -name clk -period 10.0000")
    assert "set_input_delay 2.0000" in sdc
    config = json.loads((out / "librelane" / "config.json").read_text())
    assert "not tested" in config["//"]
    for name in [*config["VERILOG_FILES"], config["PNR_SDC_FILE"]]:
        assert (out / "librelane" / name.removeprefix("dir::")).is_file()
    assert "Not tested" in (out / "librelane" / "README.md").read_text()


def test_done_again_only_where_something_changed(build: Path, tmp_path: Path) -> None:
    before = (build / "build.json").read_bytes()
    flow.synth_asic(build, liberty=TINY, clock_mhz=100.0, sta="none")
    assert (build / "build.json").read_bytes() == before
    shutil.copy(TINY, tmp_path / "other.lib")
    (tmp_path / "other.lib").write_text(TINY.read_text().replace("area : 9;", "area : 10;"))
    found = flow.synth_asic(build, liberty=tmp_path / "other.lib", clock_mhz=100.0, sta="none")
    old = json.loads(before)["steps"]["synth.asic"]["result"]
    assert found["area_um2"] == old["area_um2"] + old["full_adder_cells"]


def test_the_mapped_gates_are_proved_and_a_swapped_cell_is_not(build: Path) -> None:
    chain = load_chain(BuildFolder.existing(build))
    check = prepare(chain, "icarus", 10)
    work = build / "asic" / "proof"
    proved = prove_mapped_gates(chain, check.cloud, TINY, check.bench.manifest, work)
    assert proved["result"] == "equivalent"
    text = check.cloud.read_text()
    swapped = re.sub(r"\bNAND2 (_\d+_)", r"NOR2 \1", text, count=1)
    assert swapped != text
    check.cloud.write_text(swapped)
    with pytest.raises(CheckFailedError, match=r"differs from netlist\.npz: replayed on both"):
        prove_mapped_gates(chain, check.cloud, TINY, check.bench.manifest, work)


def test_a_changed_netlist_is_not_verified(build: Path) -> None:
    netlist = build / "asic" / "lgn_top_mapped.v"
    netlist.write_text(netlist.read_text() + "\n")
    with pytest.raises(InputError, match="files have changed since synth"):
        flow.verify(build, target="asic", links="target")


def test_models_of_other_cells(build: Path, tmp_path: Path) -> None:
    (tmp_path / "other.v").write_text("module AND9 (output y, input a);\nendmodule\n")
    flow.synth_asic(build, liberty=TINY, cells=tmp_path / "other.v", sta="none")
    with pytest.raises(InputError, match="has no model of"):
        flow.verify(build, target="asic", links="target")


def test_power_notices_a_wrong_netlist(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream through the mapped cells must give the golden classes."""

    def planted(path: Path, library: Any) -> Any:
        text = path.read_text()
        assert '"type": "XOR2"' in text
        path.write_text(text.replace('"type": "NOR2"', '"type": "NAND2"'))
        return load_mapped(path, library)

    monkeypatch.setattr("gate2hw.flow.asic.asic.load_mapped", planted)
    with pytest.raises(CheckFailedError, match="mapped netlist"):
        flow.synth_asic(build, liberty=TINY, clock_mhz=77.0, sta="none")
    assert "synth.asic" not in BuildFolder(build).steps() or (
        BuildFolder(build).steps()["synth.asic"]["result"]["clock_mhz"] != 77.0
    )


def test_without_images_power_is_not_known(
    random_network: Callable[..., LogicNetwork], tmp_path: Path
) -> None:
    gate2hw.compile(random_network(5, input_shape=(5,), dense=(40, 24)), tmp_path)
    found = flow.synth_asic(tmp_path, liberty=TINY, sta="none")
    assert found["power"] is None
    assert "golden" in found["power_reason"]


def test_report_and_command_line(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = flow.report(build)
    asic = found["report"]["asic"]
    assert asic["area_um2"] == results(build)["area_um2"]
    assert found["report"]["targets"] == {}
    page = Path(found["html"]).read_text()
    assert "<h2>Standard cells</h2>" in page
    assert "glitches" in page
    assert any("--target asic --liberty" in line for line in found["report"]["build"]["commands"])
    assert main(["report", str(build)]) == 0
    out = capsys.readouterr().out
    assert "um2" in out
    assert re.search(r"leakage\s+[\d.e-]+\s+mW", out)
    (build / "asic" / "lgn_top_mapped.v").write_text("")
    assert flow.report(build)["report"]["asic"] is None


def test_leakage_that_the_library_does_not_give(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dry.lib").write_text(re.sub("cell_leakage_power.*", "", TINY.read_text()))
    options = ["--target", "asic", "--liberty", str(tmp_path / "dry.lib"), "--sta", "none"]
    assert main(["synth", str(build), *options]) == 0
    assert "leakage not known: the library gives none for" in capsys.readouterr().out
    assert main(["report", str(build)]) == 0
    assert "leakage not known" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --liberty FILE.lib"),
        (["--liberty", "/nowhere/x.lib"], "cannot be read"),
        (["--liberty", str(Path(__file__))], "no Liberty file"),
        (["--liberty", str(TINY), "--popcount", "luts"], "popcount 'luts' is unknown for asic"),
        (["--liberty", str(TINY), "--cells", "/nowhere/x.v"], "no such file of Verilog"),
        (["--liberty", str(TINY), "--latency-cycles", "9"], "--latency-cycles is not for asic"),
        (["--liberty", str(TINY), "--mapper", "yosys"], "--mapper is not for asic"),
    ],
)
def test_refused_on_the_command_line(
    options: list[str], message: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", str(made), "--target", "asic", *options]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def variant(path: Path, **parts: str) -> Path:
    """The made-up library with another flip-flop: parts of its text for others; "" for none."""
    text = TINY.read_text()
    start, end = text.index(" cell (DFF)"), text.index(" cell (TIELO)")
    cell = text[start:end]
    for old, new in parts.items():
        assert CELL_PARTS[old] in cell
        cell = cell.replace(CELL_PARTS[old], new)
    path.write_text(text[:start] + cell + text[end:])
    return path


CELL_PARTS = {
    "area": "area : 8;",
    "next_state": 'next_state : "D";',
    "clock": 'clocked_on : "CK";',
    "pin": "  pin (D) {",
    "all": " cell (DFF) {",
}
SCAN = "  pin (SE, SI) { direction : input; capacitance : 2; }\n"
RESET = "  pin (RN) { direction : input; capacitance : 2; }\n  pin (D) {"


@pytest.mark.parametrize(
    "parts",
    [
        {"area": "area : 8; dont_use : true;"},
        {"next_state": 'next_state : "(SE SI) + (!SE D)";', "pin": SCAN + "  pin (D) {"},
        {"all": " cell (DFF) { bus (B) { }"},
    ],
    ids=["dont_use", "scan", "bus"],
)
def test_flip_flops_that_a_design_cannot_use(
    parts: dict[str, str], made: Path, tmp_path: Path
) -> None:
    library = variant(tmp_path / "odd.lib", **parts)
    with pytest.raises(InputError, match=r"odd\.lib: holds no flip-flop that a design can use"):
        flow.synth_asic(made, liberty=library, sta="none")


def test_flip_flops_with_a_reset_that_is_tied_off(build: Path, tmp_path: Path) -> None:
    """As where a library has no others: Yosys ties the reset off, and power is known."""
    library = variant(tmp_path / "reset.lib", clock='clocked_on : "CK"; clear : "!RN";', pin=RESET)
    text = library.read_text()
    # memories and pads of the same library are in nobody's way
    ram = """ cell (RAM) { area : 999; memory () { type : ram; address_width : 2; word_width : 4; }
  bus (A) { bus_type : four; direction : input; pin (A[3:0]) { capacitance : 1; } } }
 cell (PAD) { area : 9; pin (P) { capacitance : 1; } }
}
"""
    kind = (
        " type (four) { base_type : array; bit_width : 4; bit_from : 3; bit_to : 0; }\n cell (INV)"
    )
    library.write_text(text.rstrip()[:-1].replace(" cell (INV)", kind, 1) + ram)
    found = flow.synth_asic(build, liberty=library, clock_mhz=100.0, sta="none")
    assert found["power"]["n_images"] >= 100
    assert found["ffs"] == results(build)["cells_by_type"]["DFF"]


def test_other_targets_take_no_library(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--target", "ice40-hx8k", "--liberty", str(TINY)]
    assert main(["synth", str(made), *options]) == 2
    assert "goes with --target asic" in capsys.readouterr().err


def test_listed_among_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    assert "asic" in capsys.readouterr().out
    assert any("--liberty" in target["package"] for target in flow.targets())


def test_timing(build: Path) -> None:
    if (reason := opensta.available()) is not None:
        pytest.skip(reason)
    found = flow.synth_asic(build, liberty=TINY, clock_mhz=100.0)
    assert found["clock_met"] is True
    assert set(found["timing"]["slack_ns"]) >= {"reg_to_reg", "in_to_reg", "reg_to_out"}
    points = found["critical_path"]["points"]
    assert {point["block"] for point in points} <= {*found["area_by_block"], "top"}
    fast = flow.synth_asic(build, liberty=TINY, clock_mhz=9000.0)
    assert fast["clock_met"] is False
    assert fast["timing"]["worst_slack_ns"] < 0
    options = ["--target", "asic", "--liberty", str(TINY), "--clock-mhz", "9000"]
    assert main(["synth", str(build), *options, "--quiet"]) == 1


POWER = """\
read_liberty {liberty}
read_verilog {netlist}
link_design lgn_top
read_sdc {sdc}
set_load {load} [all_outputs]
set_power_activity -global -activity 0.1 -duty 0.5
report_power -digits 8
"""


def test_where_opensta_fails_area_is_to_be_had(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ToolFailedError("opensta complained: syntax error")

    monkeypatch.setattr(opensta, "available", lambda: None)
    monkeypatch.setattr(opensta, "time_netlist", fails)
    with pytest.raises(ToolFailedError, match=r"complained: .*; area and power alone: --sta none$"):
        flow.synth_asic(build, liberty=TINY, clock_mhz=66.0)
    assert flow.synth_asic(build, liberty=TINY, clock_mhz=66.0, sta="none")["timing"] is None


@pytest.mark.slow
def test_switching_power_is_that_of_opensta(build: Path, tmp_path: Path) -> None:
    """At one toggle in ten cycles of each net; internal power is another matter, see power.py."""
    if (reason := opensta.available()) is not None:
        pytest.skip(reason)
    if not OSU.is_file():
        pytest.skip(f"{OSU} is not installed: sudo apt-get install qflow-tech-osu018")
    flow.synth_asic(build, liberty=OSU, sta="none", clock_mhz=100)
    library = read_liberty(OSU)
    net = load_mapped(build / "asic" / "lgn_top_mapped.json", library)
    toggles = np.full(net.n_nets, 50 * LANES)
    toggles[:2] = 0
    found = energies(net, library, Activity(toggles, toggles, n_cycles=1000, n_images=1))
    # OpenSTA does not count what ports drive
    ours_pj = sum(row["switching"] for name, row in found.items() if name != "ports")
    buffer = library.buffer()
    assert buffer is not None
    load_pf = 4 * buffer[0].pins[buffer[1]].capacitance_pf
    netlist = build / "asic" / "lgn_top_mapped.v"
    sdc = build / "asic" / "lgn_top.sdc"
    script = POWER.format(liberty=OSU, netlist=netlist, sdc=sdc, load=load_pf)
    (tmp_path / "power.tcl").write_text(script)
    command = [*registry.find("opensta"), "-no_init", "-no_splash", "-exit", "power.tcl"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    total = re.search(r"^Total +\S+ +(\S+)", said, re.MULTILINE)
    assert total is not None, said
    ours_w = ours_pj * 1e-12 / (1000 * LANES * 10e-9)
    # nets that constants keep still do not toggle for OpenSTA: 1.2 % here
    assert float(total[1]) == pytest.approx(ours_w, rel=0.02), said


@pytest.mark.slow
@pytest.mark.parametrize("library", [TINY, OSU], ids=["tiny", "osu018"])
def test_verified_with_the_librarys_models(build: Path, library: Path) -> None:
    """Simulated with the models, user-defined primitives and all; a wrong cell is noticed."""
    if not library.is_file():
        pytest.skip(f"{library} is not installed: sudo apt-get install qflow-tech-osu018")
    if (reason := simulators.available("icarus")) is not None:
        pytest.skip(reason)
    flow.synth_asic(build, liberty=library, sta="none")

    def verify() -> dict[str, Any]:
        return flow.verify(build, target="asic", links="target", n_random=40, proof=False)

    (link,) = verify()["links"]
    # Verilator was asked for, but gets user-defined primitives wrong
    assert (link["result"], link["detail"][:6]) == ("passed", "Icarus")
    netlist = build / "asic" / "lgn_top_mapped.v"
    text = netlist.read_text()
    nor, nand = ("NOR2", "NAND2") if library == TINY else ("NOR2X1", "NAND2X1")
    start = text.index("module lgn_gates")
    end = text.index("endmodule", start)
    swapped = re.sub(rf"\b{nor} _", f"{nand} _", text[start:end])
    assert swapped != text[start:end]
    netlist.write_text(text[:start] + swapped + text[end:])
    folder = BuildFolder(build)
    record = folder.steps()["synth.asic"]
    files = [build / name for name in record["files"]]
    folder.put("synth.asic", record["key"], files, record["result"], 0.0)
    found = verify()
    assert found["failed"], found


@pytest.mark.slow
def test_a_streaming_design(random_network: Callable[..., LogicNetwork], tmp_path: Path) -> None:
    """Kernels, windows and collector in cells give the golden classes, and all area is named."""
    network = random_network(5, dense=(40, 24))
    save_network(tmp_path / "model.safetensors", network)
    save_golden(tmp_path / "golden.npz", golden_of(network))
    gate2hw.compile(
        tmp_path / "model.safetensors", tmp_path / "build", arch="stream", output="scores"
    )
    found = flow.synth_asic(tmp_path / "build", liberty=TINY, sta="none")
    areas = [block["area_um2"] for block in found["area_by_block"].values()]
    assert sum(areas) == pytest.approx(found["area_um2"])
    assert found["power"]["n_images"] > 0
    named = {"encoder", "conv_1", "pools", "collector", "gates", "popcount", "stream", "top"}
    assert named <= set(found["area_by_block"])
    assert "other" not in found["area_by_block"]
    assert set(found["power"]["blocks"]) <= {*found["area_by_block"], "ports"}


@pytest.mark.slow
def test_a_stream_without_dense_layers(
    random_network: Callable[..., LogicNetwork], tmp_path: Path
) -> None:
    """There is no gate cloud to prove, and none is asked for."""
    network = random_network(5, dense=())
    save_network(tmp_path / "model.safetensors", network)
    save_golden(tmp_path / "golden.npz", golden_of(network))
    build = tmp_path / "build"
    gate2hw.compile(tmp_path / "model.safetensors", build, arch="stream")
    found = flow.synth_asic(build, liberty=TINY, sta="none")
    assert found["power"]["n_images"] > 0
    assert "other" not in found["area_by_block"]
