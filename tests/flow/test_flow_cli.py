"""The command line: exit codes, one-sentence errors, JSON, no traceback."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate2hw.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one command, argparse's exits included."""
    try:
        code = main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "digit"], "digits"),
        (["train", "digits", "--set", "training.stepz=3"], "steps"),
        (["train", "digits", "--set", "training.steps=many"], "training.steps"),
        (["train", "digits", "--set", "train"], "="),
        (["compile", "nowhere", "-o", "x"], "nowhere"),
        (["verify", "nowhere"], "no build folder"),
        (["synth", "nowhere", "--target", "ice40-hx9k"], "ice40-hx8k"),
        (["synth", "nowhere", "--target", "ice40-hx8k"], "no build folder"),
        (["synth", "nowhere", "--target", "ice40-hx8k", "--clock-mhz", "-3"], "outside"),
        (["report", "nowhere"], "no build folder"),
        (["info", "nowhere"], "no such file"),
        (["frobnicate"], "invalid choice"),
        (["compile", "x", "-o", "y", "-O", "7"], "invalid choice"),
        (["compile", "x", "-o", "y", "--bus-bytes", "3"], "invalid choice"),
    ],
)
def test_bad_input_is_exit_2_and_names_the_way_out(
    argv: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert said in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_json_error_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "nowhere", "--json")
    assert code == 2
    assert json.loads(out)["exit_code"] == 2


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    from gate2hw.cli.commands import COMMANDS

    for command in COMMANDS:
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        assert "usage: gate2hw" in out


def test_targets_lists_four(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "targets", "--json")
    assert code == 0
    names = {target["name"] for target in json.loads(out)}
    assert {"ice40-hx8k", "ice40-up5k", "ecp5-25k", "ecp5-85k"} <= names


def test_compile_twice_changes_nothing(
    small_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "b"
    assert run(capsys, "compile", str(small_model), "-o", str(out))[0] == 0
    files = {p: p.stat().st_mtime_ns for p in out.rglob("*.*") if p.is_file()}
    code, text, _ = run(capsys, "compile", str(small_model), "-o", str(out))
    assert code == 0
    assert "unchanged" in text
    assert files == {p: p.stat().st_mtime_ns for p in out.rglob("*.*") if p.is_file()}


def test_bad_name_leaves_nothing_behind(
    small_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "b"
    code, _, err = run(capsys, "compile", str(small_model), "-o", str(out), "--name", "2fast")
    assert code == 2
    assert "2fast" in err
    assert not out.exists()


def test_truncated_and_foreign_models(
    small_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = (small_model / "model.safetensors").read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "m.safetensors").write_bytes(whole[:size])
        code, _, err = run(capsys, "compile", str(tmp_path / "m.safetensors"), "-o", "never")
        assert code == 2
        assert "m.safetensors" in err
    (tmp_path / "m.safetensors").write_text("hello, I am a text file")
    assert run(capsys, "info", str(tmp_path / "m.safetensors"))[0] == 2


def test_info_knows_every_file(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("model.safetensors", "golden.npz", "netlist_raw.npz", "netlist.npz"):
        code, out, _ = run(capsys, "info", str(compiled / name), "--json")
        assert code == 0
        assert json.loads(out)["kind"]
    assert run(capsys, "info", str(compiled))[0] == 0


def test_verify_refuses_altered_verilog(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verilog = build / "rtl" / "tiny_gates.v"
    verilog.write_text(verilog.read_text() + "\n// a remark\n")
    code, _, err = run(capsys, "verify", str(build))
    assert code == 2
    assert "changed since" in err


def test_verify_refuses_golden_of_another_model(
    build: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import gate2hw

    other = tmp_path / "other"
    gate2hw.train("digits-orpool", other, overrides=["training.steps=3", "seed=99"])
    shutil.copy(other / "golden.npz", tmp_path / "golden.npz")
    code, _, err = run(capsys, "verify", str(build), "--golden", str(tmp_path / "golden.npz"))
    assert code == 2
    assert "another model" in err


def test_verify_of_target_that_was_not_synthesised(
    build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "verify", str(build), "--target", "ecp5-25k", "--no-proof")
    assert code == 2
    assert "not synthesised" in err


@pytest.mark.parametrize(
    ("number", "code", "named"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_stopped_training_says_so_and_resumes(
    tmp_path: Path, number: signal.Signals, code: int, named: str
) -> None:
    argv = [sys.executable, "-m", "gate2hw", "train", "digits-orpool", "-o", str(tmp_path / "m")]
    process = subprocess.Popen(
        [*argv, "--set", "training.steps=100000"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "m" / "recipe.toml").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {named}; run the same command again with --resume" in err
    assert "Traceback" not in err
    assert (tmp_path / "m" / "checkpoint.safetensors").is_file()
    assert not list((tmp_path / "m").glob("*.tmp"))


def test_a_model_without_golden_leaves_none_of_the_old_one(
    build: Path, small_model: Path, tmp_path: Path
) -> None:
    import gate2hw

    other = tmp_path / "other.safetensors"
    gate2hw.train("digits-orpool", tmp_path / "o", overrides=["training.steps=3", "seed=99"])
    shutil.copy(tmp_path / "o" / "model.safetensors", other)
    assert (build / "golden.npz").is_file()
    step = gate2hw.compile(other, build, name="second")
    assert not (build / "golden.npz").exists()
    assert not list((build / "rtl").glob("tiny*"))
    report = gate2hw.report(build)["report"]
    assert report["model"]["digest"] == step.result["model"]["digest"]
    assert report["model"]["accuracy"] is None


def test_another_model_file_in_the_build_folder_is_the_one_compiled(
    build: Path, tmp_path: Path
) -> None:
    import gate2hw

    gate2hw.train("digits-orpool", tmp_path / "o", overrides=["training.steps=3", "seed=98"])
    (build / "golden.npz").unlink()
    shutil.copy(tmp_path / "o" / "model.safetensors", build / "other.safetensors")
    step = gate2hw.compile(build / "other.safetensors", build)
    facts = gate2hw.info(build / "model.safetensors")
    assert facts["digest"] == step.result["model"]["digest"]


def test_synth_refuses_altered_verilog(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verilog = build / "rtl" / "tiny_core.v"
    verilog.write_text(verilog.read_text() + "// altered\n")
    code, _, err = run(capsys, "synth", str(build), "--target", "ecp5-25k")
    assert code == 2
    assert "changed since" in err


def test_a_skipped_proof_keeps_the_verdict_of_the_run_before(build: Path) -> None:
    from gate2hw.flow.build import BuildFolder

    folder = BuildFolder(build)
    folder.put("verify.proof", "key", [], {"check": {"result": "failed"}, "reason": None}, 1.0)
    import gate2hw

    gate2hw.verify(build, proof=False, simulator="icarus", n_random=0)
    assert (folder.result("verify.proof") or {})["check"] == {"result": "failed"}


@pytest.mark.parametrize("steps", ['{"compile": 5}', '{"compile": {}}', '"x"'])
@pytest.mark.parametrize("command", ["report", "verify", "synth"])
def test_a_build_record_of_the_wrong_shape_is_exit_2(
    steps: str, command: str, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (build / "build.json").write_text(f'{{"schema": 1, "steps": {steps}}}')
    options = ["--target", "ice40-up5k"] if command == "synth" else []
    code, _, err = run(capsys, command, str(build), *options)
    assert code == 2
    assert "damaged" in err


@pytest.mark.parametrize("command", ["train", "compile", "synth"])
def test_a_full_disk_is_one_sentence_and_exit_2(
    command: str,
    build: Path,
    small_model: Path,
    tmp_path: Path,
) -> None:
    argv = {
        "train": ["train", "digits-orpool", "-o", str(tmp_path / "t")],
        "compile": ["compile", str(small_model), "-o", str(tmp_path / "c")],
        "synth": ["synth", str(build), "--target", "ice40-up5k"],
    }[command]
    # files may not grow beyond 8 KiB: every larger write fails as on a full disk
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); "
        "from gate2hw.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    if command == "train":
        argv += ["--set", "training.steps=3"]
    done = subprocess.run(
        [sys.executable, "-c", limited, *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_where_a_folder_should_be_is_exit_2(
    build: Path, small_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    assert run(capsys, "compile", str(small_model), "-o", str(tmp_path / "file"))[0] == 2
    (build / "ice40-up5k").write_text("x")
    assert run(capsys, "synth", str(build), "--target", "ice40-up5k")[0] == 2
    assert run(capsys, "train", "digits", "--data", str(tmp_path / "nowhere"))[0] == 2


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("gate2hw.nn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run(capsys, "train", "digits", "-o", str(tmp_path / "m"))
    assert code == 2
    assert "pip install torch" in err
