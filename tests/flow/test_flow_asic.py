"""synth and verify for standard cells: figures, planted faults, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gate2hw
from gate2hw import flow
from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.asic.asic_checks import prepare, prove_mapped_gates
from gate2hw.flow.asic.mapped import load_mapped
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff.checks import load_chain
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden, save_golden, save_network
from gate2hw.tools import opensta, simulators

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
    assert "create_clock -name clk -period 10.0000" in sdc
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
    assert "um2" in capsys.readouterr().out
    (build / "asic" / "lgn_top_mapped.v").write_text("")
    assert flow.report(build)["report"]["asic"] is None


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
