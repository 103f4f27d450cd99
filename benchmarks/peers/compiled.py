"""Peers that call gcc themselves: their call, with a time limit and its result kept by content.

`gcc_kept(folder, limit_s)` puts itself in the place of `subprocess.run`. What the peer emits and
the flags that it chose are untouched; the library is kept under a digest of both, of the compiler
and of the processor, with the seconds that it took.
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["NotCompiledError", "gcc_kept"]

MEMORY_BYTES = 12 << 30


class NotCompiledError(Exception):
    """The compiler failed or took too long."""


def _digest(argv: list[str], compiler: bytes) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else [platform.processor()]
    wanted = ("model name", "flags")
    processor = "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
    flags = [word for word in argv if word.startswith("-") and word != "-o"]
    parts = [compiler, processor.encode(), " ".join(flags).encode(), Path(argv[-1]).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _compile(argv: list[str], limit_s: float) -> dict[str, Any]:
    """Run the compiler; its wall and processor seconds, or {"missing": reason}."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        argv, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_limit_memory, text=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"missing": f"{argv[0]} did not end within {limit_s:g} s", "limit_s": limit_s}
    if process.returncode:
        return {"missing": f"{argv[0]} failed: {errors.strip()[-300:]}", "limit_s": limit_s}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"compile_cpu_s": cpu_s}


def gcc_kept(folder: Path, limit_s: float) -> dict[str, Any]:
    """Replace `subprocess.run`; once it was called, the returned dictionary has `compile_s`."""
    found: dict[str, Any] = {}
    with subprocess.Popen(["gcc", "--version"], stdout=subprocess.PIPE) as process:
        compiler = process.communicate()[0]

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        target = Path(argv[argv.index("-o") + 1])
        digest = _digest(argv, compiler)
        library, notes = folder / f"{digest}.so", folder / f"{digest}.json"
        known = json.loads(notes.read_text()) if notes.is_file() else None
        found["source_bytes"] = Path(argv[-1]).stat().st_size
        found["flags"] = next(word for word in argv if word.startswith("-O"))
        if known and (library.is_file() or known.get("limit_s", 0) >= limit_s):
            found.update(known, kept=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            clock = time.perf_counter()
            entry = _compile(argv, limit_s)
            entry["compile_s"] = time.perf_counter() - clock
            if "missing" not in entry:
                shutil.copy(target, library)
            notes.write_text(json.dumps(entry))
            found.update(entry, kept=False)
        if "missing" in found:
            raise NotCompiledError(found["missing"])
        shutil.copy(library, target)
        return subprocess.CompletedProcess(argv, 0, "", "")

    subprocess.run = run  # type: ignore[assignment]
    return found
