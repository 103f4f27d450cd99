"""Runs external programs: the only place of gate2hw that starts processes.

Every program gets a time limit and a session (so a process group) of its own. The whole group is
killed when the limit passes, when the caller is interrupted, and by `stop_all`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gate2hw.errors import ToolFailedError, ToolMissingError, ToolTimeoutError

__all__ = ["ToolRun", "failure", "run_tool", "scratch_dir", "stop_all"]

_TAIL_LINES = 3
_TAIL_CHARACTERS = 600
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.05
_CHUNK_BYTES = 1 << 16

_live: dict[int, subprocess.Popen[bytes]] = {}
_live_lock = threading.Lock()
_killed: set[int] = set()
_stopped_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@dataclass(frozen=True)
class ToolRun:
    """One finished run of a program.

    `memory_bytes` is the peak resident size of the program itself, its children not counted, read
    every 50 ms or more often; `None` where the system does not tell.
    """

    argv: tuple[str, ...]
    stdout: str
    stderr: str
    time_s: float
    returncode: int
    memory_bytes: int | None

    @property
    def output(self) -> str:
        """Standard output followed by standard error."""
        return self.stdout + self.stderr


def run_tool(
    argv: Sequence[str | Path],
    *,
    tool: str,
    cwd: Path,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin_text: str | None = None,
    expect: Sequence[str | Path] = (),
    log_path: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> ToolRun:
    """Run `argv` in `cwd` and return what it printed, once it has ended well.

    Args:
        argv: program and arguments; no shell is involved.
        tool: the name to use in errors.
        cwd: working folder of the program; relative paths in `expect` are seen from here.
        timeout_s: seconds of wall clock after which the whole process group is killed.
        env: variables added to (or replacing those of) the environment.
        stdin_text: text for standard input; otherwise standard input is empty.
        expect: files that the program must write; older ones are removed before it starts.
        log_path: where to keep the command and what it prints on both streams, as it prints it.
        on_line: called with each line that it prints, soon after, without the line's end.

    Raises:
        ToolMissingError: the program cannot be started.
        ToolFailedError: it ended with a non-zero status, or an expected file is missing or empty.
        ToolTimeoutError: it did not end within `timeout_s`.
    """
    words = tuple(str(word) for word in argv)
    outputs = [cwd / path for path in expect]
    for path in outputs:
        path.unlink(missing_ok=True)
    start = time.monotonic()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        _open_log(log_path, words) as log,
    ):
        printed = _Printed((out, err), log, on_line)
        with _standard_input(stdin_text) as standard_input:
            process = _start(words, tool, cwd, env, standard_input, out, err)
        try:
            in_time, memory_bytes = _wait(process, start + timeout_s, printed)
        finally:
            # Also on Ctrl-C; and nothing that the program left behind may go on.
            stopped = _end(process)
        printed.follow()
        time_s = time.monotonic() - start
        returncode = process.returncode
        run = ToolRun(words, _text(out), _text(err), time_s, returncode, memory_bytes)
    if stopped:
        raise ToolFailedError(f"{tool} was stopped before its end, as the whole run was")
    if not in_time:
        raise ToolTimeoutError(
            _with_tail(f"{tool} did not end within {timeout_s:g} s and was killed", run, log_path)
        )
    if returncode != 0:
        raise failure(tool, _describe_exit(returncode), run, log_path)
    for path in outputs:
        if not path.is_file() or path.stat().st_size == 0:
            state = "empty" if path.is_file() else "missing"
            raise failure(tool, f"ended well, but its output {path.name} is {state}", run, log_path)
    return run


def failure(tool: str, what: str, run: ToolRun, log_path: Path | None = None) -> ToolFailedError:
    """Return the error that says `what` went wrong with `tool` and ends with the log's tail."""
    return ToolFailedError(_with_tail(f"{tool} {what}", run, log_path))


def stop_all() -> None:
    """Kill every program that any thread is running, each with its process group.

    The calls that wait for them raise ToolFailedError. Threads alive now, except the main thread
    and the caller, can start no further program, so that a pool that winds down stays down.
    """
    exempt = (threading.current_thread(), threading.main_thread())
    with _live_lock:
        _stopped_threads.update(t for t in threading.enumerate() if t not in exempt)
        for process in _live.values():
            _killed.add(process.pid)
            _signal_group(process)


@contextmanager
def scratch_dir(parent: Path, name: str) -> Iterator[Path]:
    """Give a hidden folder inside `parent` (made if need be), removed in the end.

    Tools write here; a finished file is then moved into place with `os.replace`, so that a killed
    run leaves nothing half-written under its final name. The folder is on the same file system.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _standard_input(text: str | None) -> Iterator[IO[bytes] | int]:
    if text is None:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


def _start(
    argv: tuple[str, ...],
    tool: str,
    cwd: Path,
    env: Mapping[str, str] | None,
    standard_input: IO[bytes] | int,
    out: IO[bytes],
    err: IO[bytes],
) -> subprocess.Popen[bytes]:
    if not cwd.is_dir():
        raise ToolFailedError(f"{tool} cannot run in {cwd}: there is no such folder")
    try:
        # The lock makes sure that stop_all sees every process that has been started.
        with _live_lock:
            if threading.current_thread() in _stopped_threads:
                raise ToolFailedError(f"{tool} was not started, as the whole run was stopped")
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=standard_input,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            _live[process.pid] = process
    except OSError as error:
        reason = error.strerror or str(error)
        raise ToolMissingError(
            f"{tool} cannot be started as {argv[0]} ({reason}); `gate2hw doctor` says how to get it"
        ) from error
    return process


def _ended(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    # Left as a zombie, so that its id cannot become another program's before its group is killed.
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None


def _peak_memory(pid: int) -> int | None:
    # VmHWM starts anew at exec; ru_maxrss would count our own size at the time of the fork.
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class _Printed:
    """What a running program has printed: copied into its log, and told line by line."""

    def __init__(
        self,
        streams: Sequence[IO[bytes]],
        log: IO[bytes] | None,
        on_line: Callable[[str], None] | None,
    ) -> None:
        self.streams = streams
        self.log = log
        self.on_line = on_line
        self.n_read = [0] * len(streams)
        self.rest = [b""] * len(streams)

    def follow(self) -> None:
        """Take what came since the last call."""
        if self.log is None and self.on_line is None:
            return
        for number, stream in enumerate(self.streams):
            # the program writes at the file's own position, which pread leaves alone
            while chunk := os.pread(stream.fileno(), _CHUNK_BYTES, self.n_read[number]):
                self.n_read[number] += len(chunk)
                if self.log is not None:
                    self.log.write(chunk)
                self._tell(number, chunk)

    def _tell(self, number: int, chunk: bytes) -> None:
        if self.on_line is None:
            return
        *lines, self.rest[number] = (self.rest[number] + chunk).split(b"\n")
        for line in lines:
            self.on_line(line.decode(errors="replace"))


def _wait(
    process: subprocess.Popen[bytes], deadline: float, printed: _Printed
) -> tuple[bool, int | None]:
    """Wait until the process ends or the time is up; return (ended in time, peak memory)."""
    memory_bytes: int | None = None
    pause_s = _FIRST_POLL_S
    while not _ended(process):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False, memory_bytes
        memory_bytes = _peak_memory(process.pid) or memory_bytes
        printed.follow()
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LAST_POLL_S)
    return True, memory_bytes


def _end(process: subprocess.Popen[bytes]) -> bool:
    """Kill what is left of the process group; return whether `stop_all` had done so already."""
    with _live_lock:
        _signal_group(process)
        process.wait()
        _live.pop(process.pid, None)
        stopped = process.pid in _killed
        _killed.discard(process.pid)
    return stopped


def _signal_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


@contextmanager
def _open_log(path: Path | None, argv: Sequence[str]) -> Iterator[IO[bytes] | None]:
    """The log under its own name, begun with the command: it is to be read while it grows."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        file.write(f"$ {shlex.join(argv)}\n".encode())
        yield file


def _describe_exit(returncode: int) -> str:
    if returncode >= 0:
        return f"failed with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"was killed by {name}"


def _with_tail(sentence: str, run: ToolRun, log_path: Path | None) -> str:
    where = f" (full log: {log_path})" if log_path is not None else ""
    return f"{sentence}{where}: {_telling_lines(run.output)}"


def _telling_lines(log: str) -> str:
    """The lines of a log that tell why: the last ones about an error, else the last ones."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|fatal|cannot)\b", line, re.IGNORECASE)]
    errors = [line for line in errors if not re.search(r"\b0 errors\b", line)]
    return " | ".join((errors or lines)[-_TAIL_LINES:])[-_TAIL_CHARACTERS:] or "it printed nothing"
