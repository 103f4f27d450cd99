"""export --format ip and tinytapeout: files that refer to each other rightly, and hardware that
answers as the core does."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from gate2hw.cli import main
from gate2hw.errors import InputError, ToolMissingError
from gate2hw.flow.tops.ipxact import NAMESPACE
from gate2hw.flow.tops.packaging import package
from gate2hw.rtl import Manifest
from gate2hw.tools import simulators
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool

ROOT = Path(__file__).parents[2]
NS = {"i": NAMESPACE}
SIDES = {"input": "in", "output": "out"}


def verilog_ports(text: str, parameters: dict[str, int]) -> dict[str, tuple[str, int]]:
    """Name to (direction, bits) of the ports in the head of the only module of `text`."""
    head = text[re.search(r"^module ", text, re.MULTILINE).start() :].partition(");")[0]
    ports = {}
    pattern = r"(input|output)\s+wire\s+(?:\[([\w-]+):0\]\s+)?(\w+)"
    for direction, span, name in re.findall(pattern, head):
        bits = int(eval(span, {}, parameters)) + 1 if span else 1
        ports[name] = (SIDES[direction], bits)
    return ports


@pytest.fixture(scope="module")
def ip(compiled, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ip")
    result = package(compiled, out, format="ip")
    assert sorted(result["files"]) == sorted(str(p) for p in out.rglob("*") if p.is_file())
    return out


def test_component_names_the_ports_and_files_that_there_are(ip):
    root = ElementTree.parse(ip / "component.xml").getroot()
    assert root.tag == f"{{{NAMESPACE}}}component"
    top = root.findtext("i:model/i:instantiations/i:componentInstantiation/i:moduleName", "", NS)
    files = [e.findtext("i:name", "", NS) for e in root.findall("i:fileSets/i:fileSet/i:file", NS)]
    assert all((ip / name).is_file() for name in files)
    assert files[-1] == f"src/{top}.v"
    text = (ip / files[-1]).read_text()
    real = verilog_ports(text, {"TDATA_BITS": int(re.search(r"TDATA_BITS = (\d+)", text)[1])})
    ports = {}
    for port in root.findall("i:model/i:ports/i:port", NS):
        left = port.findtext("i:wire/i:vectors/i:vector/i:left", "0", NS)
        side = port.findtext("i:wire/i:direction", "", NS)
        ports[port.findtext("i:name", "", NS)] = (side, int(left) + 1)
    assert ports == real
    buses = root.findall("i:busInterfaces/i:busInterface", NS)
    assert [bus.findtext("i:name", "", NS) for bus in buses] == ["s_axis", "m_axis"]
    for bus, role in zip(buses, ("slave", "master"), strict=True):
        assert bus.find(f"i:{role}", NS) is not None
        for pair in bus.iter(f"{{{NAMESPACE}}}portMap"):
            logical = pair.findtext("i:logicalPort/i:name", "", NS)
            physical = pair.findtext("i:physicalPort/i:name", "", NS)
            assert physical in real
            is_out = (role == "master") != (logical == "TREADY")
            assert real[physical][0] == ("out" if is_out else "in")


def test_templates_and_vhdl_have_the_same_ports(ip):
    text = (ip / "src" / "tiny_axis.v").read_text()
    real = verilog_ports(text, {"TDATA_BITS": 8})
    used = re.findall(r"\.(\w+)\(\1\)", (ip / "tiny_axis.veo").read_text())
    assert used == list(real)
    vhdl = (ip / "src" / "tiny_axis_vhdl.vhd").read_text()
    declared = re.findall(
        r"(\w+) +: (in|out) +std_logic(?:_vector\((\d+) downto 0\))?(?=;|\n)", vhdl
    )
    # the entity and the component in it
    assert len(declared) == 2 * len(real)
    for name, side, left in declared:
        assert real[name] == (side, int(left or 0) + 1)
    assert re.findall(r"(\w+) => (\w+)", vhdl) == [(name, name) for name in real]
    assert re.findall(r"(\w+) => \1", (ip / "tiny_axis.vho").read_text()) == list(real)


def test_vhdl_is_read_by_ghdl(ip):
    program = shutil.which("ghdl")
    if program is None:
        pytest.skip("ghdl is not installed")
    run_tool(
        [program, "-s", "--std=93", ip / "src" / "tiny_axis_vhdl.vhd"],
        tool="ghdl",
        cwd=ip,
        timeout_s=60,
    )


def test_the_vivado_script_says_that_it_is_untested_and_reads_what_there_is(ip):
    script = (ip / "vivado_ooc.tcl").read_text()
    assert "UNTESTED" in script.splitlines()[1]
    read = re.findall(r"read_verilog \[file join \$here (\S+)\]", script)
    assert sorted(read) == sorted(f"src/{p.name}" for p in (ip / "src").glob("*.v"))
    assert "-top tiny_axis " in script


def test_tiny_tapeout_lists_its_sources_and_pins(compiled, tmp_path):
    result = package(compiled, tmp_path, format="tinytapeout")
    info = (tmp_path / "info.yaml").read_text()
    named = re.findall(r'^    - "(.+)"$', info, re.MULTILINE)
    assert sorted(named) == sorted(p.name for p in (tmp_path / "src").iterdir())
    assert result["top"] == "tt_um_tiny"
    assert '  top_module: "tt_um_tiny"' in info
    pins = re.findall(r"^  (u\w+\[\d\]):", info, re.MULTILINE)
    assert pins == [f"{bus}[{bit}]" for bus in ("ui", "uo", "uio") for bit in range(8)]
    assert re.search(r'tiles: "[1-8]x[12]"', info)
    assert (tmp_path / "docs" / "info.md").read_text().startswith("## How it works")
    text = (tmp_path / "src" / "tt_um_tiny.v").read_text()
    assert set(verilog_ports(text, {})) == {
        *("ui_in", "uo_out", "uio_in", "uio_out", "uio_oe", "ena", "clk", "rst_n")
    }


def test_tiny_tapeout_takes_streams_of_one_byte(small_model, tmp_path, capsys):
    build = str(tmp_path / "wide")
    assert main(["compile", str(small_model), "-o", build, "--bus-bytes", "4", "--quiet"]) == 0
    out = str(tmp_path / "tt")
    assert main(["export", build, "--format", "tinytapeout", "-o", out]) == 2
    assert "compile with --bus-bytes 1" in capsys.readouterr().err
    assert main(["export", build, "--format", "ip", "-o", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top"] == "lgn_axis"
    assert "TDATA_BITS = 32" in (Path(out) / "src" / "lgn_axis.v").read_text()


@pytest.mark.parametrize("name", ["_net", "my__net", "net_"])
def test_a_name_that_vhdl_has_not_gets_no_vhdl(small_model, tmp_path, name, capsys):
    build, out = str(tmp_path / "build"), tmp_path / "ip"
    assert main(["compile", str(small_model), "-o", build, "--name", name, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["export", build, "--format", "ip", "-o", str(out)]) == 0
    assert f"no VHDL: {name}_axis is no name there" in "".join(capsys.readouterr())
    suffixes = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert suffixes == {".v", ".veo", ".xml", ".tcl"}


def test_what_cannot_be_packaged_is_refused(compiled, build, tmp_path):
    with pytest.raises(InputError, match="package 'zip' is unknown"):
        package(compiled, tmp_path, format="zip")
    assert main(["export", str(compiled), "--format", "ip", "-o", "x", "--single"]) == 2
    (build / "rtl" / "tiny_top.v").write_text("module tiny_top; endmodule\n")
    with pytest.raises(InputError, match="changed since it was emitted"):
        package(build, tmp_path)


ADAPTERS = {
    "ip": """
    tiny_axis dut (
        .aclk(clk), .aresetn(!rst),
        .s_axis_tdata(s_axis_tdata), .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready), .s_axis_tlast(s_axis_tlast),
        .m_axis_tdata(m_axis_tdata), .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready), .m_axis_tlast(m_axis_tlast),
        .frame_error(frame_error)
    );
""",
    "tinytapeout": """
    wire [7:0] uio_out, uio_oe;
    assign {frame_error, m_axis_tlast, m_axis_tvalid, s_axis_tready} = uio_out[6:3] & uio_oe[6:3];
    tt_um_tiny dut (
        .ui_in(s_axis_tdata), .uo_out(m_axis_tdata),
        .uio_in({5'd0, m_axis_tready, s_axis_tlast, s_axis_tvalid} & ~uio_oe),
        .uio_out(uio_out), .uio_oe(uio_oe), .ena(1'b1), .clk(clk), .rst_n(!rst)
    );
""",
}
FAULTS = {
    "ip": (".rst(!aresetn)", ".rst(aresetn)"),
    "tinytapeout": ("8'b0111_1000", "8'b0111_1001"),
}


def _simulate(build: Path, out: Path, work: Path, format: str) -> bool:
    """Whether the top bench passes on the packaged Verilog, seen through an adapter."""
    manifest = json.loads((build / "rtl" / "manifest.json").read_text())
    manifest["modules"]["top"] = "tiny_adapter"
    (work / "manifest.json").write_text(json.dumps(manifest))
    wrapper = work / "tiny_top_bench.v"
    run_tool(
        [sys.executable, "-m", "sim.wrapper", work / "manifest.json", "top", wrapper],
        tool="sim.wrapper",
        cwd=ROOT,
        timeout_s=60,
    )
    plain = wrapper.read_text().replace("tiny_top_bench", "tiny_adapter")
    adapter = work / "tiny_adapter.v"
    head = plain[: plain.index("    tiny_adapter dut (")]
    adapter.write_text(head + ADAPTERS[format] + "endmodule\n")
    job = {
        "manifest": "manifest.json",
        "netlist_raw": str(build / "netlist_raw.npz"),
        "golden": str(build / "golden.npz"),
        "result": "result.json",
        "n_golden": 12,
        "n_random": 8,
        "n_ties": 4,
        "n_corners": 4,
        "frames": {"stalls": 6, "blocked": 4, "reset": 3, "malformed": 6},
    }
    (work / "job.json").write_text(json.dumps(job))
    outcome = simulators.run_bench(
        simulator="icarus",
        sources=[*sorted((out / "src").glob("*.v")), adapter, wrapper],
        toplevel=wrapper.stem,
        test_module="sim.bench_top",
        test_dir=data_dir("sim").parent,
        build_dir=work / "sim",
        env={"GATE2HW_JOB": str(work / "job.json")},
        timeout_s=300,
    )
    result = json.loads((work / "result.json").read_text())
    assert outcome.passed == result["passed"]
    return outcome.passed


@pytest.mark.parametrize("format", sorted(ADAPTERS))
@pytest.mark.slow
def test_packaged_hardware_answers_as_the_model_and_a_fault_does_not(compiled, tmp_path, format):
    reason = simulators.available("icarus")
    if reason is not None:
        pytest.skip(reason)
    out = tmp_path / "out"
    package(compiled, out, format=format)
    works = [tmp_path / name for name in ("good", "bad")]
    for work in works:
        work.mkdir()
    assert _simulate(compiled, out, works[0], format)
    path = next(p for p in (out / "src").glob("*.v") if FAULTS[format][0] in p.read_text())
    path.write_text(path.read_text().replace(*FAULTS[format]))
    assert not _simulate(compiled, out, works[1], format)


@pytest.mark.parametrize("format", sorted(ADAPTERS))
def test_packaged_verilog_is_clean(compiled, tmp_path, format):
    top = package(compiled, tmp_path, format=format)["top"]
    waivers = data_dir("rtl_templates") / "verilator.vlt"
    sources = sorted((tmp_path / "src").glob("*.v"))
    try:
        found = simulators.lint(sources, top=top, timeout_s=60, waiver_path=waivers)
    except ToolMissingError as error:
        pytest.skip(str(error))
    assert found == []


def test_the_same_build_gives_the_same_bytes(compiled, ip, tmp_path):
    package(compiled, tmp_path)
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (ip / path.relative_to(tmp_path)).read_bytes()
    assert Manifest.load(compiled / "rtl" / "manifest.json").name == "tiny"
