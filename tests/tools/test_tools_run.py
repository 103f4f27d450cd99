"""Processes: output, limits, and that nothing is left running."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate2hw.errors import ToolFailedError, ToolMissingError, ToolTimeoutError
from gate2hw.tools.run import run_tool, scratch_dir, stop_all


def sh(script: str, cwd: Path, timeout_s: float = 20.0, **options: object) -> object:
    return run_tool(
        ["/bin/sh", "-c", script],
        tool="shelly",
        cwd=cwd,
        timeout_s=timeout_s,
        **options,  # type: ignore[arg-type]
    )


def is_gone(pid: int) -> bool:
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def wait_for(path: Path) -> int:
    for _ in range(500):
        if path.is_file() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def test_run_returns_streams_input_environment_and_log(tmp_path: Path) -> None:
    run = run_tool(
        ["/bin/sh", "-c", 'cat; echo "$COLOUR" >&2; echo data > out'],
        tool="shelly",
        cwd=tmp_path,
        timeout_s=20,
        env={"COLOUR": "red"},
        stdin_text="hello\n",
        expect=["out"],
        log_path=tmp_path / "log",
    )
    assert (run.stdout, run.stderr, run.returncode) == ("hello\n", "red\n", 0)
    assert "hello\nred\n" in (tmp_path / "log").read_text()


def test_log_and_lines_come_while_the_tool_runs(tmp_path: Path) -> None:
    """The tool ends only when its first line has been seen, in the log and by the callback."""
    told: list[str] = []

    def on_line(line: str) -> None:
        told.append(line)
        assert line in (tmp_path / "log").read_text()
        (tmp_path / "go").touch()

    run = sh(
        "printf 'be'; sleep 0.1; echo gin >&2; echo gin; "
        "while [ ! -f go ]; do sleep 0.02; done; printf end",
        tmp_path,
        log_path=tmp_path / "logs" / ".." / "log",
        on_line=on_line,
    )
    assert sorted(told) == ["begin", "gin"]
    assert run.stdout == "begin\nend"
    assert (tmp_path / "log").read_text().startswith("$ /bin/sh -c")
    assert (tmp_path / "log").read_text().endswith("end")


def test_a_killed_tool_leaves_the_log_so_far(tmp_path: Path) -> None:
    with pytest.raises(ToolTimeoutError, match=r"log\): half"):
        sh("echo half; sleep 60", tmp_path, timeout_s=0.5, log_path=tmp_path / "log")
    assert (tmp_path / "log").read_text().endswith("half\n")


def test_memory_is_the_tools_own_not_ours(tmp_path: Path) -> None:
    ballast = bytearray(200_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    small = run_tool(["/bin/sleep", "0.2"], tool="sleep", cwd=tmp_path, timeout_s=20)
    code = "import time; b = b'x' * 100_000_000; time.sleep(0.2)"
    large = run_tool([sys.executable, "-c", code], tool="py", cwd=tmp_path, timeout_s=20)
    assert small.memory_bytes is not None
    assert large.memory_bytes is not None
    assert small.memory_bytes < 20_000_000
    assert 100_000_000 < large.memory_bytes < 180_000_000


def test_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="shelly cannot be started as /no/such"):
        run_tool(["/no/such"], tool="shelly", cwd=tmp_path, timeout_s=5)


def test_failure_ends_with_the_telling_lines_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match=r"shelly failed with exit status 3.*ERROR: bad net"):
        sh("echo 'ERROR: bad net'; echo more; exit 3", tmp_path, log_path=tmp_path / "log")
    assert "bad net" in (tmp_path / "log").read_text()
    with pytest.raises(ToolFailedError, match="it printed nothing"):
        sh("exit 1", tmp_path)


def test_death_by_signal_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="shelly was killed by SIGSEGV"):
        sh("kill -SEGV $$", tmp_path)


@pytest.mark.parametrize(("script", "state"), [("true", "missing"), (": > out", "empty")])
def test_good_exit_without_output_is_a_failure(tmp_path: Path, script: str, state: str) -> None:
    (tmp_path / "out").write_text("from an earlier run")
    with pytest.raises(ToolFailedError, match=f"output out is {state}"):
        sh(script, tmp_path, expect=["out"])


def test_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ToolTimeoutError, match=r"did not end within 0\.5 s and was killed"):
        sh("sleep 60 & echo $! > pid; wait", tmp_path, timeout_s=0.5)
    assert time.monotonic() - start < 10
    assert is_gone(wait_for(tmp_path / "pid"))


def test_children_left_behind_are_killed(tmp_path: Path) -> None:
    sh("sleep 60 & echo $! > pid", tmp_path)
    assert is_gone(wait_for(tmp_path / "pid"))


def test_keyboard_interrupt_kills_the_group_and_is_raised(tmp_path: Path) -> None:
    # a shell lets what it starts in the background ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        wait_for(tmp_path / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        sh("sleep 60 & echo $! > pid; wait", tmp_path)
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert is_gone(wait_for(tmp_path / "pid"))


def test_stop_all_kills_what_other_threads_run_and_keeps_them_stopped(tmp_path: Path) -> None:
    caught: list[str] = []

    def work(name: str) -> None:
        for script in (f"sleep 60 & echo $! > {name}; wait", f"touch {name}.second"):
            try:
                sh(script, tmp_path)
            except ToolFailedError as error:
                caught.append(str(error))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    pids = [wait_for(tmp_path / name) for name in ("a", "b")]
    stop_all()
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert all(is_gone(pid) for pid in pids)
    assert sum("stopped before its end" in text for text in caught) == 2
    assert sum("was not started" in text for text in caught) == 2
    assert not list(tmp_path.glob("*.second"))
    sh("touch later", tmp_path)
    assert (tmp_path / "later").exists()


def test_scratch_folder_goes_also_after_an_error(tmp_path: Path) -> None:
    def use() -> Iterator[Path]:
        with scratch_dir(tmp_path / "new", "x") as folder:
            (folder / "half").write_text("half")
            yield folder
            raise RuntimeError("died")

    steps = use()
    folder = next(steps)
    assert folder.parent == tmp_path / "new"
    with pytest.raises(RuntimeError, match="died"):
        next(steps)
    assert not folder.exists()
