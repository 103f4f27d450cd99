"""Equivalence checking: right verdicts, and no verdict believed that ABC did not print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError
from gate2hw.tools.abc import cec, run_script

N = 300


def blif(path: Path, cover: str, names: str = "x", n_inputs: int = N) -> Path:
    """One output over inputs 0, 7 and the last; `cover` its BLIF cover, of 3 columns."""
    inputs = " ".join(f"{names}{k}" for k in range(n_inputs))
    used = f"{names}0 {names}7 {names}{n_inputs - 1}"
    path.write_text(
        f".model m\n.inputs {inputs}\n.outputs y0 y1\n.names {used} y0\n{cover}\n"
        f".names {names}3 y1\n1 1\n.end\n"
    )
    return path


def test_equal_circuits_under_other_names_and_paths(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    a = blif(folder / "a.blif", "11- 1\n1-1 1")
    b = blif(tmp_path / "b.blif", "111 1\n110 1\n101 1", names="other")
    result = cec(a, b, timeout_s=20)
    assert (result.status, result.counterexample) == ("equivalent", None)
    assert not list(folder.glob(".abc*"))


def test_difference_comes_with_an_input_in_order(tmp_path: Path) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    b = blif(tmp_path / "b.blif", "110 1")
    result = cec(a, b, timeout_s=20)
    assert result.status == "different"
    example = result.counterexample
    assert example is not None
    assert len(example) == N
    assert (example[0], example[7], example[N - 1]) == (1, 1, 1)


def test_unequal_interfaces_are_no_verdict(tmp_path: Path) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    b = blif(tmp_path / "b.blif", "11- 1", n_inputs=N + 1)
    with pytest.raises(ToolFailedError, match="different number of primary inputs"):
        cec(a, b, timeout_s=20)


def test_unreadable_and_wrong_files(tmp_path: Path) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    broken = tmp_path / "b.aig"
    broken.write_bytes(b"aig 5 3 0 1")
    with pytest.raises(ToolFailedError, match="without a verdict"):
        cec(a, broken, timeout_s=20)
    with pytest.raises(InputError, match="no such file"):
        cec(a, tmp_path / "no.aig", timeout_s=20)
    with pytest.raises(InputError, match="files only"):
        cec(a, tmp_path / "b.aag", timeout_s=20)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Error: Empty network.'",
        "exit 0",
        "echo 'Networks are equivalent'; echo 'Networks are NOT EQUIVALENT'",
        "echo '# Networks are equivalent, it said once'",
    ],
)
def test_exit_zero_is_not_believed(
    tmp_path: Path, fake_tool: Callable[[str, str], Path], script: str
) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    fake_tool("abc", script)
    with pytest.raises(ToolFailedError, match="without a verdict"):
        cec(a, a, timeout_s=5)


def test_counter_example_with_a_gap_is_refused(
    tmp_path: Path, fake_tool: Callable[[str, str], Path]
) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    line = "INPUT: pi0 = 1'h0, pi2 = 1'h1.  OUTPUT: po0 = 1'h0 (a), po0 = 1'h1 (b)."
    fake_tool("abc", f'echo "Networks are NOT EQUIVALENT.  Time = 0"\necho "{line}"')
    with pytest.raises(ToolFailedError, match="lacks inputs"):
        cec(a, a, timeout_s=5)


def test_giving_up_and_hanging_are_undecided(
    tmp_path: Path, fake_tool: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    fake_tool("abc", "echo 'Networks are UNDECIDED.  Time = 20 sec'")
    assert cec(a, a, timeout_s=5).status == "undecided"
    monkeypatch.setattr("gate2hw.tools.abc._GRACE_S", 0.0)
    fake_tool("abc", "sleep 60")
    result = cec(a, a, timeout_s=0.3)
    assert result.status == "undecided"
    assert result.time_s < 20


def test_missing_abc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    monkeypatch.setenv("GATE2HW_ABC", str(tmp_path / "none"))
    with pytest.raises(ToolMissingError, match="GATE2HW_ABC"):
        cec(a, a, timeout_s=5)


def test_a_script_reads_and_writes_files(tmp_path: Path) -> None:
    a = blif(tmp_path / "a.blif", "11- 1\n1-1 1")
    out = tmp_path / "out.aig"
    run_script(
        ["read_blif in.blif", "strash", "write_aiger out.aig"],
        inputs={"in.blif": a},
        outputs={"out.aig": out},
        timeout_s=20,
    )
    assert out.read_bytes().startswith(b"aig ")


@pytest.mark.parametrize(
    "commands",
    [
        ["read_blif broken.blif", "strash", "write_aiger out.aig"],
        ["read_blif in.blif", "no_such_command", "strash", "write_aiger out.aig"],
        ["read_blif in.blif", "strash"],
    ],
)
def test_a_script_that_fails_is_an_error(tmp_path: Path, commands: list[str]) -> None:
    a = blif(tmp_path / "a.blif", "11- 1")
    broken = tmp_path / "broken.blif"
    broken.write_text(".model m\n.inputs a\n.outputs y\n.names a b c y\n1 1\n.end\n")
    out = tmp_path / "out.aig"
    with pytest.raises(ToolFailedError):
        run_script(
            commands,
            inputs={"in.blif": a, "broken.blif": broken},
            outputs={"out.aig": out},
            timeout_s=20,
        )
    assert not out.exists()
