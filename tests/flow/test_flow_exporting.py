"""export: what it finds in a folder, what it refuses, and the digits model run as C."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gate2hw import flow
from gate2hw.cli import main
from gate2hw.errors import CheckFailedError, InputError, ModelFileError
from gate2hw.ir.blif import write_blif
from gate2hw.ir.store import load_golden, load_netlist, save_golden, save_netlist

CC = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1"]
DIGITS = Path(__file__).parents[2] / "examples" / "models" / "digits"

needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler (gcc, cc or clang) is found")


def selftest(files: list[str]) -> subprocess.CompletedProcess[str]:
    assert CC is not None
    header, source, test = (Path(file) for file in files)
    program = header.parent / "selftest"
    subprocess.run([CC, *FLAGS, source, test, "-o", program], check=True, timeout=120)
    return subprocess.run([program], capture_output=True, text=True, timeout=60)


@needs_cc
@pytest.mark.parametrize(("word_bits", "single"), [(64, False), (32, True)])
def test_digits_on_all_golden_rows(tmp_path: Path, word_bits: int, single: bool) -> None:
    assert CC is not None
    result = flow.export(DIGITS, tmp_path, name="digits", word_bits=word_bits, single=single)
    assert result["vectors"] == "golden"
    assert "not compiled" in result["notes"][0]
    assert selftest(result["files"]).returncode == 0
    library_path = tmp_path / "digits.so"
    command = [CC, *FLAGS, "-fPIC", "-shared", tmp_path / "digits.c", "-o", library_path]
    subprocess.run(command, check=True, timeout=120)
    library = ctypes.CDLL(str(library_path))
    golden = load_golden(DIGITS / "golden.npz")
    x, n = np.ascontiguousarray(golden.x, np.uint8), len(golden.x)
    found = np.zeros(golden.scores.shape, np.int32)
    won = np.zeros(n, np.uint8)
    for function, out in (
        (library.digits_scores_batch, found),
        (library.digits_predict_batch, won),
    ):
        function(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(n), ctypes.c_void_p(out.ctypes.data)
        )
    assert np.array_equal(found, golden.scores)
    assert np.array_equal(won, golden.classes)


@needs_cc
def test_a_build_folder_and_its_netlist(compiled: Path, tmp_path: Path) -> None:
    of_folder = flow.export(compiled, tmp_path / "folder")
    assert (of_folder["name"], of_folder["vectors"], of_folder["notes"]) == ("tiny", "golden", [])
    of_file = flow.export(compiled / "netlist.npz", tmp_path / "file")
    for first, second in zip(of_folder["files"], of_file["files"], strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()
    net = load_netlist(compiled / "netlist.npz")
    assert of_folder["sizes"]["gates"] >= net.n_gates
    assert net.digest in Path(of_folder["files"][0]).read_text()
    assert selftest(of_folder["files"]).returncode == 0


def test_quiet_is_without_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["export", str(DIGITS / "model.safetensors"), "--format", "c", "-o", str(tmp_path)]
    for more, is_said in (([], True), (["--quiet"], False)):
        assert main([*argv, *more]) == 0
        assert ("note: not compiled" in capsys.readouterr().err) == is_said


def test_a_build_of_the_class_alone_says_so(build: Path, tmp_path: Path) -> None:
    record = json.loads((build / "build.json").read_text())
    record["steps"]["compile"]["result"]["options"]["output"] = "class"
    (build / "build.json").write_text(json.dumps(record))
    result = flow.export(build, tmp_path / "c")
    assert "class alone" in result["notes"][0]
    assert "class alone" in Path(result["files"][0]).read_text()


def test_without_golden_the_inputs_are_random(compiled: Path, tmp_path: Path) -> None:
    alone = shutil.copy(compiled / "netlist.npz", tmp_path / "alone.npz")
    assert flow.export(alone, tmp_path / "c")["vectors"] == "random"
    # a golden file of another model does not count
    golden = load_golden(DIGITS / "golden.npz")
    save_golden(tmp_path / "golden.npz", golden)
    assert flow.export(alone, tmp_path / "c")["vectors"] == "random"


@needs_cc
def test_a_plain_netlist_of_another_format(compiled: Path, tmp_path: Path) -> None:
    write_blif(load_netlist(compiled / "netlist.npz"), tmp_path / "gates.blif")
    result = flow.export(tmp_path / "gates.blif", tmp_path / "c", word_bits=8)
    assert (result["name"], result["classes"]) == ("lgn", 0)
    assert selftest(result["files"]).returncode == 0


def test_a_wrong_netlist_does_not_pass_the_golden_rows(compiled: Path, tmp_path: Path) -> None:
    net = load_netlist(compiled / "netlist.npz")
    wrong = net.with_(outputs=net.outputs ^ (np.arange(net.n_outputs) < net.head.group_ptr[1]))
    save_netlist(tmp_path / "wrong.npz", wrong)
    shutil.copy(compiled / "golden.npz", tmp_path)
    with pytest.raises(CheckFailedError, match="golden sample"):
        flow.export(tmp_path / "wrong.npz", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_is_refused(build: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such"):
        flow.export(tmp_path / "nowhere", tmp_path / "c")
    with pytest.raises(InputError, match="no model"):
        flow.export(tmp_path, tmp_path / "c")
    with pytest.raises(InputError, match="Allowed: c"):
        flow.export(build, tmp_path / "c", format="rust")
    with pytest.raises(ModelFileError, match="golden"):
        flow.export(build / "golden.npz", tmp_path / "c")
    net = load_netlist(build / "netlist.npz")
    save_netlist(build / "netlist.npz", net.with_(digest="0" * 64))
    with pytest.raises(InputError, match="another model"):
        flow.export(build, tmp_path / "c")


def test_the_command(compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["export", str(compiled), "--format", "c", "-o", str(tmp_path), "--single"]
    assert main([*argv, "--name", "mine"]) == 0
    out = capsys.readouterr().out
    assert "working memory" in out
    assert (tmp_path / "mine_selftest.c").is_file()
    assert main([*argv, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["word_bits"] == 1
    assert f"{facts['sizes']['work_bytes']:,}" in out
    assert main([*argv, "--name", "no-name"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == len(err.splitlines())
    assert "cannot start C identifiers" in err.splitlines()[-1]
    with pytest.raises(SystemExit):
        main([*argv, "--word-bits", "8"])
